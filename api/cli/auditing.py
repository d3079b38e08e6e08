"""``recount audit`` over the whole log, filtered by actor, time, type or cause; and who read what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from recountdb.api.cli.output import shortened, show_table
from recountdb.api.cli.reading import MOMENT, paged, show_all_json
from recountdb.api.cli.store import name_of, opened, place, running
from recountdb.api.schemas.responses import event_resource
from recountdb.api.services.read_audit import RecordedRead, page_reads
from recountdb.domain.errors import InvalidInput, NotFound
from recountdb.eventlog.log.recorder import LogEntry
from recountdb.projections.lists.paging import KEY_MAX, Order
from recountdb.projections.queries.audit import AuditFilter, page_audit
from recountdb.projections.views.names import find_stream


def audit(
    data: Path | None,
    project: str | None,
    named: Mapping[str, str | None],
    *,
    scope: str,
    filters: Mapping[str, Any],
    types: Sequence[str],
    limit: int | None,
    order: Order,
    as_json: bool,
) -> None:
    """Show the recorded events.

    ``project`` None means all projects. ``named`` maps a kind to a name or None; at most one may be named,
    and only within one project. ``filters`` are the members of AuditFilter, times as text.
    Raises InvalidInput, and NotFound where there is no stream of that name.
    """
    moments = {name: _moment_in(filters[name], name) for name in ("since", "until")}
    criteria = AuditFilter(types=types, **{**filters, **moments})
    given = [(kind, name) for kind, name in named.items() if name is not None]
    if len(given) > 1 or (given and project is None):
        raise InvalidInput("SESSION", "name one session, thread or user, and that of one project")
    with opened(place(data)) as database, running(database) as application:
        for kind, name in given:
            assert project is not None
            stream_id = find_stream(database, name_of(project, kind, name, scope))
            if stream_id is None:
                raise NotFound(kind)
            criteria = replace(criteria, stream_id=stream_id)
        fetch = partial(page_audit, application, project, criteria=criteria)
        found = paged(fetch, limit or KEY_MAX, order)
        if as_json:
            show_all_json({"project": entry.project, **event_resource(entry)} for entry in found)
        else:
            columns = ["position", "type", "recorded", "actor", "request", "stream", "version", "payload"]
            show_table(columns, map(_entry_row, found))


def _moment_in(text: str | None, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        return MOMENT.validate_python(text)
    except ValidationError:
        raise InvalidInput(f"--{name}", "must be a time like 2026-11-20T19:50:25Z") from None


def _entry_row(entry: LogEntry) -> list[Any]:
    event = event_resource(entry)
    shown = ("position", "type", "recorded_at", "actor", "request_id", "stream_id", "version")
    return [*(event[name] for name in shown), shortened(event["payload"])]


def reads(
    data: Path | None,
    project: str | None,
    *,
    actor: str | None,
    limit: int | None,
    order: Order,
    as_json: bool,
) -> None:
    """Show the reads that the server recorded, if it does. ``project`` None means all projects."""
    with opened(place(data)) as database:
        found = paged(partial(page_reads, database, project, actor=actor), limit or KEY_MAX, order)
        if as_json:
            show_all_json(map(vars, found))
        else:
            columns = ["read", "project", "actor", "request", "method", "route", "parameters", "status"]
            show_table(columns, map(_read_row, found))


def _read_row(read: RecordedRead) -> list[Any]:
    asked = [read.request_id, read.method, read.route, shortened(read.parameters)]
    return [read.read_at, read.project, read.actor, *asked, read.status]
