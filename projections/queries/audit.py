"""The audit query, which searches the whole log by actor, time and cause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from recountdb.domain.errors import InvalidInput
from recountdb.eventlog.application import Recount
from recountdb.eventlog.log.rows import LogEntry
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.lists.paging import Page, Rows, Window, read_page
from recountdb.projections.queries.audit_trail import bound_page, to_rows

SQL = Statements(__name__, "audit")

CAUSE = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([1-9][0-9]{0,17})")


@dataclass(frozen=True)
class AuditFilter:
    """Filter for entries of the log. None, or no types, filters nothing.

    ``stream_id``: entries of one session, thread or user. ``user_id``: entries of this user and of their
    sessions. ``since`` (inclusive) and ``until`` (exclusive): the time of recording. ``causation_id``:
    entries that this event ("<stream>/<version>") led to; ``chain``: also the event itself, and all that its
    consequences led to in turn.
    """

    actor: str | None = None
    stream_id: UUID | None = None
    user_id: str | None = None
    types: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    request_id: str | None = None
    causation_id: str | None = None
    chain: bool = False


def page_audit(
    application: Recount, project: str | None, window: Window, criteria: AuditFilter
) -> Page[LogEntry]:
    """Return a page of what was recorded in a project, or in all (None), by position. Raises InvalidInput.

    It goes up to the settled position (see eventlog.log.order), so that no page has gaps that fill later.
    """
    log = application.log
    settled, epochs = log.settled()
    bound = {"project": project} | parameters(application.database, project, criteria)
    sql = SQL["select_audit_descending" if window.order == "newest" else "select_audit"]

    def fetch(after: int | None, limit: int, weight_max: int) -> Rows[LogEntry]:
        low, high = bound_page(after, window.order, settled + 1)
        within = {"gt": low, "lt": high, "limit": limit, "weight_max": weight_max}
        # The statement is planned for the given filters, so that the index of one of them is used.
        return to_rows(log.select_entries(sql, bound | within, within=epochs))

    return read_page(fetch, window, lambda entry: entry.id, epochs)


def parameters(database: Database, project: str | None, criteria: AuditFilter) -> dict[str, Any]:
    causes, root_stream, root_version = _causes_of(database, project, criteria)
    return {
        "actor": criteria.actor,
        "stream": criteria.stream_id,
        "user_id": criteria.user_id,
        "topics": list(criteria.types) or None,
        "since": criteria.since,
        "until": criteria.until,
        "request_id": criteria.request_id,
        "causes": causes,
        "root_stream": root_stream,
        "root_version": root_version,
    }


def _causes_of(
    database: Database, project: str | None, criteria: AuditFilter
) -> tuple[list[str] | None, UUID | None, int | None]:
    """Return the events one of which must have led to an entry, and the event that is an entry itself.

    The event is given by its stream and version. All are None when there is no such condition. Raises
    InvalidInput.
    """
    if criteria.causation_id is None:
        if criteria.chain:
            raise InvalidInput("chain", "goes with causation_id, which says where the chain begins")
        return None, None, None
    match = CAUSE.fullmatch(criteria.causation_id)
    if match is None:
        raise InvalidInput("causation_id", "must be an event, as <stream id>/<version>")
    if not criteria.chain:
        return [criteria.causation_id], None, None
    bound = {"project": project, "causation_id": criteria.causation_id}
    causes = [cause for (cause,) in database.fetch(SQL["select_chain"], bound, prepare=False)]
    return causes, UUID(match[1]), int(match[2])
