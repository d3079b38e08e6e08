"""``recount demo``: a tour of the store that runs its own commands."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import typer
from pydantic_core import to_json

from recountdb import api
from recountdb.api.cli.commands import app
from recountdb.api.cli.store import connected, contexts, opened, place, running
from recountdb.domain.commands import ChangeMessage, DeleteMessage
from recountdb.domain.messages import MessageState
from recountdb.domain.sessions import Session
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.lists.paging import Filter, Window
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.sessions import list_sessions

SAMPLE = files(api) / "sample" / "taskmaster4-sample.jsonl.gz"
PROJECT = "default"


def demo(data: Path | None) -> None:
    """Run the demo. PostgreSQL runs throughout, so that the commands need not each start it."""
    with _directory_for(data) as directory, connected(place(directory)):
        _say(f"Recount keeps conversations in {directory} for this demo.")
        _show(directory, "1. Load sample conversations (Taskmaster-4, CC BY 4.0)", "import", str(SAMPLE))
        title = "2. Find sessions by what their metadata contain"
        _show(directory, title, "sessions", "--metadata", '{"vertical": "Coffee"}', "--limit", "3")
        name, version = _change(directory)
        title = "4. See who changed what, and when"
        _show(directory, title, "audit", name, "--order", "newest", "--limit", "2")
        _show(directory, "5. Read it as it is now", "messages", name)
        title = f"6. Read it as it was before, at version {version}"
        _show(directory, title, "messages", name, "--as-of", str(version))
    _say("")
    if data is None:
        _say("That was a throw-away store. Keep one, and go on there with the commands above:")
        _say("  recount demo --data ./recount-demo")
    where = data or "./recount-demo"
    _say(f"Serve it:\n  recount serve --data {shlex.quote(str(where))}")


@contextmanager
def _directory_for(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="recount-demo-") as scratch:
        yield Path(scratch) / "data"


def _say(text: str) -> None:
    typer.echo(text)


def _show(directory: Path, title: str, *command: str) -> None:
    """Run a command, below a title and the command line as it would be typed."""
    _say(f"\n{title}\n\n$ recount {shlex.join(command)}")
    app([*command, "--data", str(directory)], prog_name="recount", standalone_mode=False)


def _change(directory: Path) -> tuple[str, int]:
    """Correct a session's first message and delete its last. Returns its name, and its version before."""
    with opened(place(directory)) as database:
        session, messages = _chosen(database)
        first, last = messages[0], messages[-1]
        correction = f"{first.content} (corrected)"
        _say("\n3. Correct a message and delete another, as a program would while 'recount serve' runs")
        path = f"http://127.0.0.1:8000/v1/sessions/{session.name}/messages"
        body = shlex.quote(to_json({"content": correction}).decode())
        _say(f"\n$ curl -X PATCH {path}/{first.id} \\\n    -H 'Content-Type: application/json' -d {body}")
        _say(f"$ curl -X DELETE {path}/{last.id}")
        kind, name, context = Session.KIND, session.name, contexts(PROJECT, database.clock)
        edit = ChangeMessage(kind=kind, name=name, message_id=first.id, changes={"content": correction})
        deletion = DeleteMessage(kind=kind, name=name, message_id=last.id)
        with running(database) as application:
            application.execute(edit, context())
            application.execute(deletion, context())
    return session.name, session.version


def _chosen(database: Database) -> tuple[Session, list[MessageState]]:
    """Return a session of about six messages, few enough to show, and those messages."""
    page = list_sessions(database, PROJECT, Window(1000), Filter(metadata={"vertical": "Coffee"}))
    sessions = [session for session in page.items if session.message_count > 1]
    session = min(sessions, key=lambda session: abs(session.message_count - 6))
    return session, list(page_messages(database, PROJECT, "session", session.name, Window()).items)
