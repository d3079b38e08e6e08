"""``recount purge``, ``purges``, ``hold`` and ``release``: erasure for good, and legal holds."""

from __future__ import annotations

from typing import Annotated

import typer

from recountdb.api.cli.commands.options import (
    AsJson,
    Data,
    Limit,
    Order,
    Project,
    Scope,
    SessionOption,
    ThreadOption,
    UserOption,
)

app = typer.Typer(rich_markup_mode=None)


@app.command()
def purge(
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            help="What was deleted longer ago: 30d, 12h, 5m. Else RECOUNT_RETENTION_DAYS, or 30d.",
        ),
    ] = None,
    session: SessionOption = None,
    thread: ThreadOption = None,
    user: Annotated[
        str | None,
        typer.Option(metavar="ID", help="This user, their sessions, and what they said among others."),
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept in the log for good.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    scrub: Annotated[
        bool,
        typer.Option(
            "--scrub", help="Also rewrite all tables, so that no freed page keeps old bytes. Writers wait."
        ),
    ] = False,
    scope: Scope = "",
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Erase for good what was deleted long ago, or what is named. Prints a receipt for each stream.

    What is named goes, deleted or live. What is under a legal hold stays; then the exit code is 1.
    """
    from recountdb.api.cli import purging

    purging.purge(
        data,
        project,
        {"session": session, "thread": thread, "user": user},
        scope=scope,
        older_than=older_than,
        reason=reason,
        is_rehearsal=dry_run,
        scrub=scrub,
        as_json=as_json,
    )


@app.command()
def purges(
    limit: Limit = None,
    order: Order = "oldest",
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List the receipts of what was purged."""
    from recountdb.api.cli import purging

    purging.purges(data, project, limit=limit, order=order, as_json=as_json)


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
    from recountdb.api.cli import purging

    purging.hold(data, project, {"session": session, "thread": thread, "user": user}, reason, scope=scope)


@app.command()
def release(
    session: SessionOption = None,
    thread: ThreadOption = None,
    user: UserOption = None,
    scope: Scope = "",
    project: Project = "default",
    data: Data = None,
) -> None:
    """Let what is under a legal hold be purged again."""
    from recountdb.api.cli import purging

    purging.release(data, project, {"session": session, "thread": thread, "user": user}, scope=scope)
