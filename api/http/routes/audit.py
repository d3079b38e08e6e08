"""/v1/audit: everything recorded in the project, with actor, time and request; and who read it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import Query, Request
from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse

from recountdb.api.http.context import AdminRead, ReadContext
from recountdb.api.http.query_parameters import AuditQuery, ReadListQuery
from recountdb.api.http.routes import native_router
from recountdb.api.http.routes.events import STREAM_WEIGHT_MAX, stream_asked_for
from recountdb.api.schemas.responses import (
    EventResource,
    Json,
    PageResource,
    ReadResource,
    event_resource,
    page_resource,
    read_resource,
)
from recountdb.api.services.read_audit import page_reads
from recountdb.eventlog.log.rows import LogEntry
from recountdb.projections.lists.paging import KEY_MAX, Page, Window
from recountdb.projections.queries.audit import AuditFilter, page_audit

router = native_router("audit")

JSON_LINES = "application/x-ndjson"
LINES_AT_ONCE = 500


@router.get(
    "/audit",
    response_model=PageResource[EventResource],
    name="list audit",
    responses={200: {"content": {JSON_LINES: {}}}},
)
async def list_(request: Request, reading: AdminRead, query: Annotated[AuditQuery, Query()]) -> Response:
    """Everything recorded in the project that all filters keep, in the order of the log.

    As JSON lines, with ``format=ndjson`` or ``Accept: application/x-ndjson``, all of it; or ``limit`` of it,
    if that is given.
    """
    criteria = replace(query.criteria, stream_id=await stream_asked_for(reading, query))
    if not (query.format == "ndjson" or JSON_LINES in request.headers.get("accept", "")):
        page = await reading.recall(page_audit, reading.project, query.window, criteria)
        return Json(page_resource(page, event_resource))
    count = query.limit if "limit" in query.model_fields_set else KEY_MAX
    window = replace(query.window, limit=min(count, LINES_AT_ONCE), bytes_max=STREAM_WEIGHT_MAX)
    first = await reading.recall(page_audit, reading.project, window, criteria)
    return StreamingResponse(_lines(reading, first, window, criteria, count), media_type=JSON_LINES)


async def _lines(
    reading: ReadContext, page: Page[LogEntry], window: Window, criteria: AuditFilter, count: int
) -> AsyncIterator[bytes]:
    """Yield ``page`` and the pages after it as JSON lines, at most ``count`` lines."""
    while True:
        yield await reading.store.call(lines_of, page.items)
        count -= len(page.items)
        if page.next_cursor is None or count <= 0:
            return
        window = replace(window, cursor=page.next_cursor, limit=min(count, LINES_AT_ONCE))
        page = await reading.recall(page_audit, reading.project, window, criteria)


def lines_of(entries: Sequence[LogEntry]) -> bytes:
    """Return entries as JSON lines."""
    return b"".join(to_json(event_resource(entry)) + b"\n" for entry in entries)


@router.get("/audit/reads", response_model=PageResource[ReadResource], name="list audit reads")
async def reads(reading: AdminRead, query: Annotated[ReadListQuery, Query()]) -> Response:
    """Recorded reads in the project, the newest first; none unless the server records reads."""
    page = await reading.find(page_reads, query.window, actor=query.actor)
    return Json(page_resource(page, read_resource))
