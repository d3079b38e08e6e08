"""``recount audit``: show what was recorded, or who read what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from recountdb.api.cli.options import AsJson, Data, Order, Project, Scope
from recountdb.api.cli.output import shortened, show_all_json, show_table

EVENT = {"type": "type", "recorded": "recorded_at", "actor": "actor", "request": "request_id"}
STREAM_COLUMNS = {"version": "version", **EVENT, "payload": "payload"}
LOG_COLUMNS = {
    "position": "position",
    **EVENT,
    "stream": "stream_id",
    "version": "version",
    "payload": "payload",
}
READ_COLUMNS = {
    "read": "read_at",
    "project": "project",
    "actor": "actor",
    "request": "request_id",
    "method": "method",
    "route": "route",
    "parameters": "parameters",
    "status": "status",
}
"""Columns of tables, and the members that they show."""

ONE_NAME = "name one session, thread or user, and that of one project"

app = typer.Typer(rich_markup_mode=None)


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
        bool, typer.Option("--reads", help="Show who read what instead, if the server records it.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many at most. Default: all.")
    ] = None,
    order: Order = "oldest",
    scope: Scope = "",
    project: Project = "default",
    all_projects: Annotated[bool, typer.Option("--all-projects", help="Of every project.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show what was recorded, when and by whom.

    Of a session, thread or user, or over the whole log.
    """
    if reads:
        where = None if all_projects else project
        _show_reads(data, where, actor=actor, limit=limit, order=order, as_json=as_json)
        return
    criteria = {
        "actor": actor,
        "user_id": of_user,
        "types": type_ or [],
        "since": since,
        "until": until,
        "request_id": request_id,
        "causation_id": causation_id,
        "chain": chain,
    }
    named = {"session": session, "thread": thread, "user": user}
    page: dict[str, Any] = {"limit": limit, "order": order, "as_json": as_json}
    if any(named.values()) and not (any(criteria.values()) or all_projects):
        _show_stream(data, project, named, scope=scope, **page)
    else:
        _show_log(data, None if all_projects else project, named, criteria, scope=scope, **page)


def _show_stream(
    data: Path | None,
    project: str,
    named: Mapping[str, str | None],
    *,
    scope: str,
    limit: int | None,
    order: Order,
    as_json: bool,
) -> None:
    """Show the events of one stream."""
    from recountdb.api.cli.arguments import choose_name
    from recountdb.api.cli.lists import list_all
    from recountdb.api.cli.store import locate_store
    from recountdb.api.schemas.responses import event_resource
    from recountdb.projections.queries.audit_trail import page_stream
    from recountdb.projections.queries.history import find_named_stream

    name = choose_name(project, named, scope, what="SESSION", advice=ONE_NAME)
    assert name is not None
    with locate_store(data).open_store() as application:
        fetch = partial(page_stream, application.log, find_named_stream(application, name))
        _show(map(event_resource, list_all(fetch, limit, order)), STREAM_COLUMNS, as_json=as_json)


def _show_log(
    data: Path | None,
    project: str | None,
    named: Mapping[str, str | None],
    criteria: Mapping[str, Any],
    *,
    scope: str,
    limit: int | None,
    order: Order,
    as_json: bool,
) -> None:
    """Show the events of the log that meet the criteria; ``project`` None means all projects."""
    from recountdb.api.cli.arguments import choose_name, parse_instant
    from recountdb.api.cli.lists import list_all
    from recountdb.api.cli.store import locate_store
    from recountdb.api.schemas.responses import event_resource
    from recountdb.domain.errors import InvalidInput
    from recountdb.projections.queries.audit import AuditFilter, page_audit
    from recountdb.projections.queries.history import find_named_stream

    if project is None and any(named.values()):
        raise InvalidInput("SESSION", ONE_NAME)
    times = {bound: parse_instant(criteria[bound], f"--{bound}") for bound in ("since", "until")}
    name = choose_name(project or "", named, scope, what="SESSION", advice=ONE_NAME)
    with locate_store(data).open_store() as application:
        stream_id = None if name is None else find_named_stream(application, name)
        entries = AuditFilter(**{**criteria, **times, "stream_id": stream_id})
        found = list_all(partial(page_audit, application, project, criteria=entries), limit, order)
        events = ({"project": entry.project, **event_resource(entry)} for entry in found)
        _show(events, LOG_COLUMNS, as_json=as_json)


def _show_reads(
    data: Path | None,
    project: str | None,
    *,
    actor: str | None,
    limit: int | None,
    order: Order,
    as_json: bool,
) -> None:
    """Show the reads that the server recorded, if it does; ``project`` None means all projects."""
    from recountdb.api.cli.lists import list_all
    from recountdb.api.cli.store import locate_store
    from recountdb.api.services.read_audit import page_reads

    with locate_store(data).open_database() as database:
        found = list_all(partial(page_reads, database, project, actor=actor), limit, order)
        _show(map(vars, found), READ_COLUMNS, as_json=as_json)


def _show(resources: Iterable[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool) -> None:
    """Print resources; as a table, the members that ``columns`` names."""
    if as_json:
        show_all_json(resources)
        return
    rows = ([_cell(one, member) for member in columns.values()] for one in resources)
    show_table(list(columns), rows)


def _cell(resource: Mapping[str, Any], member: str) -> Any:
    value = resource[member]
    return shortened(value) if member in ("payload", "parameters") else value
