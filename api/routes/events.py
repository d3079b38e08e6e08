"""/v1/events: the log itself, in pages or live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from api.dependencies import Read, Reading, Store, Windowed
from api.resources import EventResource, Json, PageResource, event_resource, page_resource
from domain import values
from domain.commands import Name
from domain.errors import InvalidInput
from eventlog.recorder import LogEntry
from projections.history import stream_named
from projections.paging import KEY_MAX, page_of

router = APIRouter(tags=["events"])

HEARTBEAT_SECONDS = 15.0
PAGE_ENTRIES = 500

Types = Annotated[list[values.Text] | None, Query(alias="type", description="only these types; repeatable")]
SessionId = Annotated[values.Name | None, Query(description="only this session's")]
ThreadId = Annotated[UUID | None, Query(description="only this thread's")]


@router.get("/events", response_model=PageResource[EventResource], name="list events")
def list_(
    reading: Read,
    window: Windowed,
    types: Types = None,
    session_id: SessionId = None,
    thread_id: ThreadId = None,
) -> Response:
    """Everything recorded in the project, in the one order of the log."""
    log = reading.store.application.log
    stream_id = stream_asked_for(reading, session_id, thread_id)
    settled = log.settled_position()
    after = window.after()
    is_newest_first = window.order == "newest"
    entries = log.select_project(
        reading.project,
        gt=0 if is_newest_first else after or 0,
        lt=min(after or KEY_MAX, settled + 1) if is_newest_first else settled + 1,
        limit=window.limit + 1,
        topics=types or (),
        stream_id=stream_id,
        desc=is_newest_first,
    )
    page = page_of(entries, window, lambda entry: entry.id)
    return Json(page_resource(page, event_resource))


@router.get(
    "/events/stream",
    name="stream events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "server-sent events"}},
)
async def stream(
    reading: Read,
    types: Types = None,
    session_id: SessionId = None,
    thread_id: ThreadId = None,
    after: Annotated[
        int | None,
        Query(ge=0, le=KEY_MAX, description="from after this position; else from now on"),
    ] = None,
    last_event_id: Annotated[str | None, Header(description="resume after this event")] = None,
) -> Response:
    """New events as they are recorded, as server-sent events; none is missed and none repeated.

    Each has its position as ``id``; after a lost connection a client resumes by sending the last
    one it saw as ``Last-Event-ID``, as browsers do by themselves.
    """
    stream_id = await run_in_threadpool(stream_asked_for, reading, session_id, thread_id)
    start = position_in(last_event_id) if last_event_id is not None else after
    if start is None:
        start = await run_in_threadpool(reading.store.application.log.settled_position)
    records = follow(reading.store, reading.project, start, types or (), stream_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(records, media_type="text/event-stream", headers=headers)


def position_in(last_event_id: str) -> int:
    if last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) <= 18:
        return int(last_event_id)
    raise InvalidInput("Last-Event-ID", "must be the id of an event, a number")


def stream_asked_for(reading: Reading, session_id: str | None, thread_id: UUID | None) -> UUID | None:
    if session_id is not None:
        name = Name(reading.project, "session", "", session_id)
    elif thread_id is not None:
        name = Name(reading.project, "thread", "", str(thread_id))
    else:
        return None
    return stream_named(reading.store.application, name)


async def follow(
    store: Store, project: str, position: int, types: list[str] | tuple[()], stream_id: UUID | None
) -> AsyncIterator[bytes]:
    """The project's entries after ``position`` as records of server-sent events, without end."""
    yield b": following\n\n"
    while not store.tail.is_stopped:
        settled = store.tail.settled
        if settled <= position:
            if not await store.tail.wait_beyond(position, timeout_seconds=HEARTBEAT_SECONDS):
                yield b": still here\n\n"
            continue
        entries = await asyncio.to_thread(
            store.application.log.select_project,
            project,
            gt=position,
            lt=settled + 1,
            limit=PAGE_ENTRIES,
            topics=types,
            stream_id=stream_id,
        )
        if entries:
            yield b"".join(map(record, entries))
        position = entries[-1].id if len(entries) == PAGE_ENTRIES else settled


def record(entry: LogEntry) -> bytes:
    data = to_json(event_resource(entry))
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (entry.id, entry.topic.encode(), data)
