"""/v1/events: the log itself, in pages or live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query
from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse

from recountdb.api.http.context import Follow, Read, ReadContext, Store
from recountdb.api.http.query_parameters import EventListQuery, EventsQuery, EventStreamQuery
from recountdb.api.http.routes import native_router
from recountdb.api.schemas.responses import EventResource, Json, PageResource, event_resource, page_resource
from recountdb.domain.errors import InvalidInput, Unavailable
from recountdb.domain.sessions import Session
from recountdb.domain.threads import Thread
from recountdb.eventlog.log.epoch import Epochs, LogPosition, OlderEpoch, Settled, read_position
from recountdb.eventlog.log.rows import Entries, LogEntry
from recountdb.projections.queries.audit_trail import page_project
from recountdb.projections.queries.history import find_named_stream

router = native_router("events")

HEARTBEAT_SECONDS = 15.0
RETRY_SECONDS = 1.0
STILL_HERE = b": still here\n\n"
PAGE_ENTRIES = 500
STREAM_WEIGHT_MAX = 128 * 1024
"""About how many bytes each of many listeners holds at a time, unless a single event is larger."""


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
    reading: Follow,
    query: Annotated[EventStreamQuery, Query()],
    last_event_id: Annotated[str | None, Header(description="resume after this event")] = None,
) -> Response:
    """New events as they are recorded, as server-sent events; none is missed and none repeated.

    Each has its position as ``id``; after a lost connection a client resumes by sending the last
    one it saw as ``Last-Event-ID``, as browsers do by themselves. When the database failed over or was
    restored, the last record is an event ``epoch``, and resuming is answered by 410: both say where to go on.
    """
    stream_id = await stream_asked_for(reading, query)
    after = position_in(last_event_id) if last_event_id is not None else query.start
    start, epochs = await reading.store.call(reading.store.application.log.settled)
    if after is not None:
        start = epochs.check(after)
    records = follow(reading.store, reading.project, Settled(start, epochs), query.type, stream_id)
    return event_stream(records)


def event_stream(records: AsyncIterator[bytes]) -> StreamingResponse:
    """Return records of server-sent events as a response."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(records, media_type="text/event-stream", headers=headers)


def position_in(last_event_id: str) -> LogPosition:
    try:
        return read_position(last_event_id)
    except ValueError:
        raise InvalidInput("Last-Event-ID", "must be the id of an event, such as 4711") from None


async def stream_asked_for(reading: ReadContext, query: EventsQuery) -> UUID | None:
    if query.session_id is not None:
        return await reading.recall(find_named_stream, reading.name(Session.KIND, query.session_id))
    if query.thread_id is not None:
        return await reading.recall(find_named_stream, reading.name(Thread.KIND, str(query.thread_id)))
    return None


async def follow(
    store: Store, project: str, start: Settled, types: list[str], stream_id: UUID | None
) -> AsyncIterator[bytes]:
    """Yield the project's entries after ``start`` as records of server-sent events, until the epoch ends."""
    yield b": following\n\n"
    position, epochs = start
    while not store.tail.is_stopped:
        settled = store.tail.settled
        if settled <= position and not store.tail.is_beyond(epochs):
            if not await store.tail.wait_beyond(position, timeout_seconds=HEARTBEAT_SECONDS):
                yield STILL_HERE
            continue
        select = partial(
            store.application.log.select_project, project, topics=types, stream_id=stream_id, epochs=epochs
        )
        try:
            if store.tail.is_beyond(epochs):
                yield await ending(store, position, epochs)
                return
            part, position = await store.call(_records_between, select, position, settled, epochs)
        except OlderEpoch as error:
            yield _ending_record(error)
            return
        except Unavailable:  # an outage or a failover: the listener stays connected, and misses nothing
            await asyncio.sleep(RETRY_SECONDS)
            yield STILL_HERE
            continue
        if part:
            yield part


def _records_between(
    select: Callable[..., Entries], position: int, settled: int, epochs: Epochs
) -> tuple[bytes, int]:
    """Return the next records after ``position``, and the position up to which they reach."""
    entries = select(gt=position, lt=settled + 1, limit=PAGE_ENTRIES, weight_max=STREAM_WEIGHT_MAX)
    has_more = entries.is_cut or len(entries) == PAGE_ENTRIES
    part = b"".join(record(entry, epochs.spell(entry.id)) for entry in entries)
    return part, entries[-1].id if has_more else settled


async def ending(store: Store, position: int, epochs: Epochs) -> bytes:
    """Return the last record of a stream whose epoch has ended."""
    newer = (await store.call(store.application.log.settled)).epochs
    try:
        newer.check(LogPosition(epochs.current.name, position))
    except OlderEpoch as error:
        return _ending_record(error)
    return b": resume\n\n"


def _ending_record(error: OlderEpoch) -> bytes:
    data = {"detail": str(error), "epoch": error.epoch, "resume_from": error.resume_from}
    return b"event: epoch\ndata: %b\n\n" % to_json(data)


def record(entry: LogEntry, id: str) -> bytes:
    data = to_json(event_resource(entry))
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (id.encode(), entry.topic.encode(), data)
