"""``…/memory`` and ``…/search``: the memory of a session, and the search of its messages."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from fastapi import Request
from starlette.responses import Response

from recountdb.api.protocols.base import read_body
from recountdb.api.protocols.zep.errors import refuse_request
from recountdb.api.protocols.zep.parameters import (
    authenticate_client,
    check_new_name,
    read_integer,
    read_name,
    read_name_loosely,
)
from recountdb.api.protocols.zep.queries import ROWS_MAX, find_memory
from recountdb.api.protocols.zep.responses import respond_json, respond_text
from recountdb.api.protocols.zep.routing import create_zep_router
from recountdb.api.protocols.zep.rules import (
    DELETED_THROUGH_ZEP,
    build_search,
    choose_weight,
    count_candidates,
    is_diverse,
)
from recountdb.api.protocols.zep.shapes import MemoryToAdd, SearchRequest, to_zep_hit, to_zep_memory
from recountdb.domain.commands.common import Delete, TouchMetadata
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.errors import MessageIdTaken, NotFound
from recountdb.domain.sessions import Session
from recountdb.projections.queries.search import diversify, rank_messages
from recountdb.projections.views.messages import find_known_ids

router = create_zep_router()


@router.get("/api/v1/sessions/{session_id}/memory")
async def read_memory(session_id: str, request: Request) -> Response:
    """Return the newest messages and the summary; an empty memory for a missing session."""
    context = await authenticate_client(request)
    last = read_integer(request, "lastn")
    if last < 0:
        refuse_request("lastn must not be negative")
    window = context.store.settings.zep_message_window
    memory = to_zep_memory((), None)
    with suppress(NotFound):
        messages, summary = await context.find_whole(
            find_memory, read_name_loosely(session_id), last=min(last, ROWS_MAX), window=window
        )
        memory = to_zep_memory(messages, summary)
    return respond_json(memory)


@router.post("/api/v1/sessions/{session_id}/memory")
async def add_memory(session_id: str, request: Request) -> Response:
    """Add messages to a session, creating it if needed."""
    context = await authenticate_client(request)
    body = await read_body(request, MemoryToAdd)
    messages = body.messages or []
    given = [message.given_id for message in messages if message.given_id is not None]
    taken = await context.find(find_known_ids, given) if given else ()
    if taken:  # possibly in another session, which the command does not check
        raise MessageIdTaken(min(taken))
    name = check_new_name(read_name_loosely(session_id), "session_id")
    command = AddMessages(
        kind=Session.KIND,
        name=name,
        messages=[message.to_message() for message in messages],
        given_ids=frozenset(given),
        known_ids="refuse",
    )
    outcome = await context.execute(command)
    if not outcome.events:  # no messages for a live session: touch it all the same
        await context.execute(TouchMetadata(kind=Session.KIND, name=name, metadata={}))
    return respond_text()


@router.delete("/api/v1/sessions/{session_id}/memory")
async def delete_memory(session_id: str, request: Request) -> Response:
    """Delete a session. Deleting it again is answered with 404."""
    context = await authenticate_client(request)
    name = read_name(session_id, Session.KIND)
    outcome = await context.execute(Delete(kind=Session.KIND, name=name, reason=DELETED_THROUGH_ZEP))
    if not outcome.events:
        raise NotFound(Session.KIND)
    return respond_text()


@router.post("/api/v1/sessions/{session_id}/search")
async def search_memory(session_id: str, request: Request) -> Response:
    context = await authenticate_client(request)
    body = await read_body(request, SearchRequest)
    search = build_search(body, read_integer(request, "limit"))
    if body.search_scope == "summary":
        return respond_json([])
    limit = search.limit
    if is_diverse(body):
        search = replace(search, limit=count_candidates(limit))
    ranked = await context.find_whole(rank_messages, "session", read_name_loosely(session_id), search)
    if is_diverse(body):
        ranked = await context.store.call(diversify, ranked, limit, weight=choose_weight(body))
    return respond_json(list(map(to_zep_hit, ranked)))
