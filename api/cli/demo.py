"""``recount demo``: a tour of the store that runs its own commands."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import typer

from recountdb import api
from recountdb.api.cli.options import Data

PROJECT = "default"

app = typer.Typer(rich_markup_mode=None)


@app.command()
def demo(context: typer.Context, data: Data = None) -> None:
    """Show what the store can do, on sample conversations, and end.

    Uses a directory that is thrown away afterwards, unless --data names one.
    """
    from recountdb.api.cli.store import locate_store

    # PostgreSQL runs throughout, so that the commands need not each start it.
    with _directory_for(data) as directory, locate_store(directory).run_postgres():
        typer.echo(f"Recount keeps conversations in {directory} for this demo.")
        _show_steps(_Tour(context, directory))
    typer.echo("")
    if data is None:
        typer.echo("That was a throw-away store. Keep one, and go on there with the commands above:")
        typer.echo("  recount demo --data ./recount-demo")
    where = data or "./recount-demo"
    typer.echo(f"Serve it:\n  recount serve --data {shlex.quote(str(where))}")


@contextmanager
def _directory_for(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="recount-demo-") as scratch:
        yield Path(scratch) / "data"


@dataclass(frozen=True)
class _Tour:
    """Runner of commands on the demo's store."""

    context: typer.Context
    directory: Path

    def run(self, title: str, *command: str) -> None:
        """Run a command, below a title and the command line as it would be typed."""
        typer.echo(f"\n{title}\n\n$ recount {shlex.join(command)}")
        program = self.context.find_root().command
        arguments = [*command, "--data", str(self.directory)]
        program.main(arguments, prog_name="recount", standalone_mode=False)


@dataclass(frozen=True)
class _Talk:
    """A session, its version, and its first and last message."""

    name: str
    version: int
    first_id: UUID
    first_content: str
    last_id: UUID


def _show_steps(tour: _Tour) -> None:
    from importlib.resources import files

    sample = files(api) / "sample" / "taskmaster4-sample.jsonl.gz"
    tour.run("1. Load sample conversations (Taskmaster-4, CC BY 4.0)", "import", str(sample))
    title = "2. Find sessions by what their metadata contain"
    tour.run(title, "sessions", "--metadata", '{"vertical": "Coffee"}', "--limit", "3")
    talk = _choose_talk(tour.directory)
    _change(tour.directory, talk)
    tour.run("4. See who changed what, and when", "audit", talk.name, "--order", "newest", "--limit", "2")
    tour.run("5. Read it as it is now", "messages", talk.name)
    title = f"6. Read it as it was before, at version {talk.version}"
    tour.run(title, "messages", talk.name, "--as-of", str(talk.version))


def _choose_talk(directory: Path) -> _Talk:
    """Return a session of about six messages, few enough to show."""
    from recountdb.api.cli.store import locate_store
    from recountdb.projections.lists.paging import Filter, Window
    from recountdb.projections.views.messages import page_messages
    from recountdb.projections.views.sessions import list_sessions

    with locate_store(directory).open_database() as database:
        page = list_sessions(database, PROJECT, Window(1000), Filter(metadata={"vertical": "Coffee"}))
        sessions = [session for session in page.items if session.message_count > 1]
        session = min(sessions, key=lambda session: abs(session.message_count - 6))
        messages = page_messages(database, PROJECT, "session", session.name, Window()).items
    first, last = messages[0], messages[-1]
    return _Talk(session.name, session.version, first.id, str(first.content), last.id)


def _change(directory: Path, talk: _Talk) -> None:
    """Correct the first message of a session and delete its last."""
    from pydantic import JsonValue
    from pydantic_core import to_json

    from recountdb.api.cli.store import execute_command
    from recountdb.domain.commands.conversations import ChangeMessage, DeleteMessage

    correction: dict[str, JsonValue] = {"content": f"{talk.first_content} (corrected)"}
    typer.echo("\n3. Correct a message and delete another, as a program would while 'recount serve' runs")
    path = f"http://127.0.0.1:8000/v1/sessions/{talk.name}/messages"
    body = shlex.quote(to_json(correction).decode())
    json = "-H 'Content-Type: application/json'"
    typer.echo(f"\n$ curl -X PATCH {path}/{talk.first_id} \\\n    {json} -d {body}")
    typer.echo(f"$ curl -X DELETE {path}/{talk.last_id}")
    edit = ChangeMessage(kind="session", name=talk.name, message_id=talk.first_id, changes=correction)
    execute_command(directory, PROJECT, edit)
    execute_command(
        directory, PROJECT, DeleteMessage(kind="session", name=talk.name, message_id=talk.last_id)
    )
