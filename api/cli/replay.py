"""``recount replay``: play a session again, event by event."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from recountdb.api.cli.options import AsJson, Data, Project, Scope, SessionName
from recountdb.api.cli.output import show_json

app = typer.Typer(rich_markup_mode=None)


@app.command()
def replay(
    session: SessionName,
    speed: Annotated[
        str,
        typer.Option(metavar="SPEED", help="How many times as fast as it was: 10x; max for no pauses."),
    ] = "1x",
    first: Annotated[
        int | None,
        typer.Option("--from", min=1, metavar="V", help="From this version on. Default: from the start."),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option("--to", min=1, metavar="V", help="Up to this version. Default: to the end."),
    ] = None,
    scope: Scope = "",
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Play a session again, turn by turn.

    Pauses are as long as they were, 5 seconds at most. Ctrl-C ends it.
    """
    replay_session(data, (project, scope, session), speed=speed, first=first, last=last, as_json=as_json)


def replay_session(
    data: Path | None,
    session: tuple[str, str, str],
    *,
    speed: str,
    first: int | None,
    last: int | None,
    as_json: bool,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Print the events of a session, given by project, scope and name. Ctrl-C ends it without an error.

    ``pause``: waits for a number of seconds.
    """
    from recountdb.api.cli.arguments import parse_speed
    from recountdb.api.cli.store import locate_store
    from recountdb.api.cli.wording import ConversationPrinter
    from recountdb.api.schemas.responses import event_resource
    from recountdb.domain.commands.base import Name
    from recountdb.projections.lists.paging import KEY_MAX
    from recountdb.projections.queries.history import find_named_stream
    from recountdb.projections.queries.replay import pace_entries, read_entries

    project, scope, name = session
    times = parse_speed(speed, "--speed")
    with suppress(KeyboardInterrupt), locate_store(data).open_store() as application:
        stream_id = find_named_stream(application, Name(project, "session", scope, name))
        printer = ConversationPrinter(application, stream_id)
        entries = read_entries(application.log, stream_id, first or 1, last or KEY_MAX - 1)
        for seconds, entry in pace_entries(entries, times):
            if seconds:
                pause(seconds)
            if as_json:
                show_json(event_resource(entry))
            else:
                printer.show(application.events.to_event(entry))
