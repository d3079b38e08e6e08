"""/v1/events: the log itself, in pages or live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query
from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse

from api.dependencies import Read, Reading, Store
from api.queries import EventListQuery, EventsQuery, EventStreamQuery
from api.resources import EventResource, Json, PageResource, event_resource, page_resource
from api.routes import native_router
from domain.errors import InvalidInput
from domain.sessions import Session
from domain.threads import Thread
from eventlog.recorder import LogEntry
from projections.history import stream_named
from projections.trail import page_project

router = native_router("events")

HEARTBEAT_SECONDS = 15.0
PAGE_ENTRIES = 500


@router.get("/events", response_model=PageResource[EventResource], name="list events")
async def list_(reading: Read, query: Annotated[EventListQuery, Query()]) -> Response:
    """Everything recorded in the project, in the one order of the log."""
    stream_id = await stream_asked_for(reading, query)
    page = await reading.recall(
        page_project, reading.project, query.window, topics=query.type, stream_id=stream_id
    )
    return Json(page_resource(page, event_resource))


@router.get(
    "/events/stream",
    name="stream events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "server-sent events"}},
)
async def stream(
    reading: Read,
    query: Annotated[EventStreamQuery, Query()],
    last_event_id: Annotated[str | None, Header(description="resume after this event")] = None,
) -> Response:
    """New events as they are recorded, as server-sent events; none is missed and none repeated.

    Each has its position as ``id``; after a lost connection a client resumes by sending the last
    one it saw as ``Last-Event-ID``, as browsers do by themselves.
    """
    stream_id = await stream_asked_for(reading, query)
    start = position_in(last_event_id) if last_event_id is not None else query.after
    if start is None:
        start = await reading.store.call(reading.store.application.log.settled_position)
    records = follow(reading.store, reading.project, start, query.type, stream_id)
    return event_stream(records)


def event_stream(records: AsyncIterator[bytes]) -> StreamingResponse:
    """Records of server-sent events as an answer."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(records, media_type="text/event-stream", headers=headers)


def position_in(last_event_id: str) -> int:
    if last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) <= 18:
        return int(last_event_id)
    raise InvalidInput("Last-Event-ID", "must be the id of an event, a number")


async def stream_asked_for(reading: Reading, query: EventsQuery) -> UUID | None:
    if query.session_id is not None:
        return await reading.recall(stream_named, reading.name(Session.KIND, query.session_id))
    if query.thread_id is not None:
        return await reading.recall(stream_named, reading.name(Thread.KIND, str(query.thread_id)))
    return None


async def follow(
    store: Store, project: str, position: int, types: list[str], stream_id: UUID | None
) -> AsyncIterator[bytes]:
    """The project's entries after ``position`` as records of server-sent events, without end."""
    yield b": following\n\n"
    while not store.tail.is_stopped:
        settled = store.tail.settled
        if settled <= position:
            if not await store.tail.wait_beyond(position, timeout_seconds=HEARTBEAT_SECONDS):
                yield b": still here\n\n"
            continue
        entries = await store.call(
            store.application.log.select_project,
            project,
            gt=position,
            lt=settled + 1,
            limit=PAGE_ENTRIES,
            topics=types,
            stream_id=stream_id,
        )
        if entries:
            yield b"".join(record(entry, entry.id) for entry in entries)
        position = entries[-1].id if len(entries) == PAGE_ENTRIES else settled


def record(entry: LogEntry, id: int) -> bytes:
    data = to_json(event_resource(entry))
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (id, entry.topic.encode(), data)
