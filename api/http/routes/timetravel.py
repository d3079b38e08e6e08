"""Routes for the past of a conversation: compare two moments, fork, replay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query
from starlette.responses import Response, StreamingResponse
from uuid_utils.compat import uuid7

from recountdb.api.http.context import Follow, NameOf, Read, SessionName, Store, Write, WriteContext
from recountdb.api.http.query_parameters import VERSION_DIGITS_MAX, DifferenceQuery, ReplayQuery
from recountdb.api.http.routes import native_router
from recountdb.api.http.routes.conversations import execute_to_response, origins_of
from recountdb.api.http.routes.events import STREAM_WEIGHT_MAX, event_stream, record
from recountdb.api.schemas.diff import difference_resource
from recountdb.api.schemas.requests import NewFork
from recountdb.api.schemas.responses import DifferenceResource, Json, SessionResource
from recountdb.api.services.fork import Cut, prepare_fork
from recountdb.domain.commands.base import Command
from recountdb.domain.commands.conversations import Fork
from recountdb.domain.errors import InvalidInput
from recountdb.domain.sessions import Session
from recountdb.projections.lists.paging import KEY_MAX
from recountdb.projections.queries.diff import compare_moments
from recountdb.projections.queries.history import AsOf, find_named_stream
from recountdb.projections.queries.replay import PAGE_ENTRIES, pace_entries
from recountdb.projections.views.messages import ConversationKind

router = native_router("sessions")

Pause = Callable[[float], Awaitable[object]]
"""A coroutine function that waits for a number of seconds."""


def add_difference_route(router: APIRouter, kind: ConversationKind, name_of: NameOf) -> None:
    """Add the route for the difference of two moments of a conversation."""

    @router.get(f"/{kind}s/{{{kind}_id}}/diff", response_model=DifferenceResource, name=f"diff {kind}")
    async def difference(
        reading: Read, query: Annotated[DifferenceQuery, Query()], name: str = Depends(name_of)
    ) -> Response:
        """Changes between two moments, as a JSON Patch (RFC 6902) and in words.

        The patch is for a document of the conversation and those of its messages that differ, by id.
        """
        old, new = await reading.recall(
            compare_moments,
            reading.name(kind, name),
            query.from_,
            query.to if query.to is not None else AsOf(),
        )
        origins = await origins_of(reading.store, reading.project, [new.conversation])
        return Json(await reading.store.call(difference_resource, old, new, origins))


@router.post(
    "/sessions/{session_id}/fork", response_model=SessionResource, status_code=201, name="fork session"
)
async def fork_session(name: SessionName, body: NewFork, writing: Write) -> Response:
    """Begin another session with what this one held then: its messages, metadata and user.

    They are copies: what happens to one session later leaves the other as it is.
    """
    command = await writing.store.call(
        prepare_fork,
        writing.store.application,
        writing.name(Session.KIND, name),
        body.session_id or str(uuid7()),
        Cut(body.version, body.message_id),
        metadata=body.metadata,
        expected_version=writing.expected_version,
        forks_max=writing.store.settings.forks_max,
    )
    return await execute_to_response(_because_of_source(writing, command), command, 201)


def _because_of_source(writing: WriteContext, command: Command) -> WriteContext:
    """Return ``writing`` with the last event of a fork's source as the cause of the events it records."""
    if not isinstance(command, Fork):
        return writing
    cause = f"{command.source.id}/{command.source.version}"
    return replace(writing, context=replace(writing.context, causation_id=cause))


@router.get(
    "/sessions/{session_id}/replay",
    name="replay session",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "server-sent events"}},
)
async def replay_session(
    name: SessionName,
    reading: Follow,
    query: Annotated[ReplayQuery, Query()],
    last_event_id: Annotated[str | None, Header(description="go on after this version")] = None,
) -> Response:
    """The session's events once more, as server-sent events, with the pauses there were between them.

    Each has its version as ``id``. A pause is never longer than 5 seconds. Last comes an event ``end``.
    """
    stream_id = await reading.recall(find_named_stream, reading.name(Session.KIND, name))
    first = query.from_ if last_event_id is None else _version_in(last_event_id) + 1
    last = KEY_MAX - 1 if query.to is None else query.to
    return event_stream(replayed(reading.store, stream_id, first, last, query.speed))


def _version_in(last_event_id: str) -> int:
    if last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) <= VERSION_DIGITS_MAX:
        return int(last_event_id)
    raise InvalidInput("Last-Event-ID", "must be the id of an event, a number")


async def replayed(
    store: Store, stream_id: UUID, first: int, last: int, speed: float, pause: Pause = asyncio.sleep
) -> AsyncIterator[bytes]:
    """Yield the stream's entries from version ``first`` to ``last``, as records of server-sent events."""
    select = partial(store.application.log.select_stream, stream_id, limit=PAGE_ENTRIES)
    after, before = first - 1, None
    while True:
        entries = await store.call(select, gt=after, lt=last + 1, weight_max=STREAM_WEIGHT_MAX)
        if not entries:
            break
        for seconds, entry in pace_entries(entries, speed, before):
            if seconds:
                await pause(seconds)
            if store.tail.is_stopped:
                return
            yield await store.call(record, entry, str(entry.originator_version))
        after, before = entries[-1].originator_version, entries[-1].recorded_at
    yield b"event: end\ndata: {}\n\n"
