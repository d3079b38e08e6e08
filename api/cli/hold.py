"""``recount hold`` and ``release``: legal holds, which keep from being purged."""

from __future__ import annotations

from typing import Annotated

import typer

from recountdb.api.cli.options import Data, Project, Scope, SessionOption, ThreadOption, UserOption
from recountdb.api.cli.output import print_notice

app = typer.Typer(rich_markup_mode=None)


@app.command()
def hold(
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the log.")],
    session: SessionOption = None,
    thread: ThreadOption = None,
    user: UserOption = None,
    scope: Scope = "",
    project: Project = "default",
    data: Data = None,
) -> None:
    """Keep a session, thread or user from being purged. A user's hold covers all that is theirs."""
    from recountdb.api.cli.arguments import require_name
    from recountdb.api.cli.store import execute_command
    from recountdb.domain.commands.retention import PlaceHold

    target = require_name(project, {"session": session, "thread": thread, "user": user}, scope, what="hold")
    command = PlaceHold(kind=target.kind, scope=target.scope, name=target.name, reason=reason)
    execute_command(data, project, command)
    print_notice(f"The {target.kind} is not purged until 'recount release'.")


@app.command()
def release(
    session: SessionOption = None,
    thread: ThreadOption = None,
    user: UserOption = None,
    scope: Scope = "",
    project: Project = "default",
    data: Data = None,
) -> None:
    """Release a legal hold, so that it may be purged again."""
    from recountdb.api.cli.arguments import require_name
    from recountdb.api.cli.store import execute_command
    from recountdb.domain.commands.retention import ReleaseHold

    target = require_name(
        project, {"session": session, "thread": thread, "user": user}, scope, what="release"
    )
    execute_command(data, project, ReleaseHold(kind=target.kind, scope=target.scope, name=target.name))
    print_notice(f"The {target.kind} may be purged again.")
