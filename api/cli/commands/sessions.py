"""``recount sessions``, ``messages``, ``audit``, ``diff`` and ``replay``: commands that read the store."""

from __future__ import annotations

from typing import Annotated

import typer

from recountdb.api.cli.commands.options import AsJson, Data, Limit, Order, Project, Scope, SessionName

app = typer.Typer(rich_markup_mode=None)


@app.command()
def sessions(
    limit: Limit = None,
    order: Order = "oldest",
    user_id: Annotated[str | None, typer.Option(metavar="USER", help="Only this user's.")] = None,
    metadata: Annotated[
        str | None, typer.Option(metavar="JSON", help="Only those whose metadata contain this object.")
    ] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Only deleted ones.")] = False,
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List sessions in the order they began."""
    from recountdb.api.cli import reading

    reading.sessions(
        data,
        project,
        limit=limit,
        order=order,
        user_id=user_id,
        metadata=metadata,
        deleted=deleted,
        as_json=as_json,
    )


@app.command()
def messages(
    session: SessionName,
    limit: Limit = None,
    order: Order = "oldest",
    as_of: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="As they were: at a version (7) or a time (RFC 3339)."),
    ] = None,
    scope: Scope = "",
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show a session's messages, as they are or as they were."""
    from recountdb.api.cli import reading

    reading.messages(
        data, project, session, scope=scope, limit=limit, order=order, as_of=as_of, as_json=as_json
    )


@app.command()
def audit(
    session: Annotated[str | None, typer.Argument(metavar="SESSION", help="The session's id.")] = None,
    thread: Annotated[str | None, typer.Option(metavar="ID", help="A thread instead.")] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="A user instead.")] = None,
    actor: Annotated[
        str | None, typer.Option(metavar="ACTOR", help="Only what this one did, as key:1f0c9a7e.")
    ] = None,
    of_user: Annotated[
        str | None, typer.Option(metavar="ID", help="Only of this user and of their sessions.")
    ] = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Only this type; may be repeated.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Recorded from then on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Recorded before then.")] = None,
    request_id: Annotated[str | None, typer.Option(metavar="ID", help="Only what this request did.")] = None,
    causation_id: Annotated[
        str | None, typer.Option(metavar="EVENT", help="Only what this event led to: STREAM/VERSION.")
    ] = None,
    chain: Annotated[
        bool, typer.Option("--chain", help="With --causation-id: the event and all that followed from it.")
    ] = False,
    reads: Annotated[
        bool, typer.Option("--reads", help="Who read what instead, if the server records it.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="How many at most; else all.")] = None,
    order: Order = "oldest",
    scope: Scope = "",
    project: Project = "default",
    all_projects: Annotated[bool, typer.Option("--all-projects", help="Whatever project it is.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show what was recorded: what, when and by whom. Of a session, thread or user, or over the whole log."""
    from recountdb.api.cli import auditing, reading

    where = None if all_projects else project
    if reads:
        auditing.reads(data, where, actor=actor, limit=limit, order=order, as_json=as_json)
        return
    named = {"session": session, "thread": thread, "user": user}
    filters = {
        "actor": actor,
        "user_id": of_user,
        "since": since,
        "until": until,
        "request_id": request_id,
        "causation_id": causation_id,
        "chain": chain,
    }
    if any(named.values()) and not (any(filters.values()) or type_ or all_projects):
        reading.audit(data, project, named, scope=scope, limit=limit, order=order, as_json=as_json)
        return
    auditing.audit(
        *(data, where, named),
        scope=scope,
        filters=filters,
        types=type_ or [],
        limit=limit,
        order=order,
        as_json=as_json,
    )


@app.command()
def diff(
    session: SessionName,
    from_: Annotated[
        str, typer.Option("--from", metavar="MOMENT", help="A version (7) or a time (RFC 3339).")
    ],
    to: Annotated[str | None, typer.Option(metavar="MOMENT", help="A version or a time; else now.")] = None,
    scope: Scope = "",
    project: Project = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, with a JSON Patch.")] = False,
    data: Data = None,
) -> None:
    """Tell what changed in a session. Between two moments, in words that do not say what was said."""
    from recountdb.api.cli import timetravel

    timetravel.diff(data, project, session, scope=scope, from_=from_, to=to, as_json=as_json)


@app.command()
def replay(
    session: SessionName,
    speed: Annotated[
        str,
        typer.Option(metavar="SPEED", help="How many times as fast as it was: 10x; max for no pauses."),
    ] = "1x",
    first: Annotated[
        int | None,
        typer.Option("--from", min=1, metavar="V", help="From this version on; else from the start."),
    ] = None,
    last: Annotated[
        int | None, typer.Option("--to", min=1, metavar="V", help="Up to this version; else to the end.")
    ] = None,
    scope: Scope = "",
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Play a session again, turn by turn.

    With the pauses there were, if none longer than 5 seconds. Ctrl-C ends it.
    """
    from recountdb.api.cli import timetravel

    timetravel.replay(
        data, project, session, scope=scope, speed=speed, first=first, last=last, as_json=as_json
    )
