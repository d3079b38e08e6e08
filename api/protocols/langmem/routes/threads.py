"""/threads: conversations, their messages and state documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from recountdb.api.protocols.base import RequestContext, authenticate, read_body
from recountdb.api.protocols.langmem.queries import find_all_pages
from recountdb.api.protocols.langmem.routing import create_langmem_router
from recountdb.api.protocols.langmem.shapes.messages import Format, SentMessage, to_langmem_message
from recountdb.api.protocols.langmem.shapes.requests import (
    MessagesToAdd,
    StateToSet,
    ThreadStateQuery,
    ThreadToUpsert,
)
from recountdb.api.protocols.langmem.shapes.responses import to_langmem_thread
from recountdb.api.schemas.responses import Json
from recountdb.domain.commands.common import SetState
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.errors import NotFound
from recountdb.domain.threads import Thread
from recountdb.eventlog.write.ports import Outcome
from recountdb.projections.lists.paging import Window
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.states import get_state
from recountdb.projections.views.threads import get_thread, list_threads

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000

router = create_langmem_router()


@router.post("/threads")
async def create_thread(request: Request) -> Response:
    """Create a thread, or add to an existing one; given metadata then replace all that it had."""
    context = await authenticate(request)
    body = await read_body(request, ThreadToUpsert)
    outcome = await _add_to_thread(context, body.id or uuid7(), body.messages or (), metadata=body.metadata)
    assert isinstance(outcome.state, Thread)
    return Json(to_langmem_thread(outcome.state))


@router.post("/threads/{thread_id}/add_messages")
async def add_messages(request: Request, thread_id: UUID) -> Response:
    """Add the messages that do not exist yet, and answer with the ids of all, new or existing."""
    context = await authenticate(request)
    body = await read_body(request, MessagesToAdd)
    outcome = await _add_to_thread(context, thread_id, body.messages)
    return Json({"message_ids": outcome.message_ids})


@router.get("/threads/{thread_id}")
async def read_thread(request: Request, thread_id: UUID) -> Response:
    context = await authenticate(request)
    return Json(to_langmem_thread(await context.find(get_thread, str(thread_id))))


@router.get("/threads")
async def list_all_threads(request: Request) -> Response:
    """List all threads, newest first."""
    context = await authenticate(request)
    threads = await find_all_pages(context, list_threads, Window(order="newest"))
    return Json([to_langmem_thread(thread) for thread in threads])


@router.get("/threads/{thread_id}/messages")
async def list_messages_of_thread(
    request: Request,
    thread_id: UUID,
    response_format: Format = "openai",
    page_size: int = PAGE_SIZE_DEFAULT,
    ascending_order: bool = True,
    cursor: str | None = None,
) -> Response:
    """List a page of messages in the order they were added, or backwards; empty for a missing thread."""
    context = await authenticate(request)
    size = min(max(page_size, 1), PAGE_SIZE_MAX)
    window = Window(size, "oldest" if ascending_order else "newest", cursor)
    try:
        page = await context.find(page_messages, "thread", str(thread_id), window)
    except NotFound:
        return Json({"messages": [], "next_cursor": None})
    messages = [to_langmem_message(message, response_format) for message in page.items]
    return Json({"messages": messages, "next_cursor": page.next_cursor})


@router.post("/threads/{thread_id}/thread_state")
async def add_thread_state(request: Request, thread_id: UUID) -> Response:
    """Replace the document under a key, creating the thread if needed."""
    context = await authenticate(request)
    body = await read_body(request, StateToSet)
    await context.execute(SetState(kind=Thread.KIND, name=str(thread_id), key=body.key, state=body.state))
    return Json({})


@router.post("/threads/{thread_id}/thread_state/query")
async def read_thread_state(request: Request, thread_id: UUID) -> Response:
    context = await authenticate(request, scope="read")
    body = await read_body(request, ThreadStateQuery)
    return Json({"state": await context.find(get_state, "thread", str(thread_id), body.key)})


@router.post("/threads/{thread_id}/trigger-all")
async def trigger_all_for_thread(request: Request, thread_id: UUID) -> Response:
    """Do nothing, because no memories are made of messages."""
    await authenticate(request)
    return Json({})


async def _add_to_thread(
    context: RequestContext,
    thread_id: UUID,
    messages: Sequence[SentMessage],
    *,
    metadata: dict[str, Any] | None = None,
) -> Outcome:
    """Add messages to a thread, creating it if needed, and create users for the speakers."""
    return await context.execute(
        AddMessages(
            kind=Thread.KIND,
            name=str(thread_id),
            messages=[message.to_message() for message in messages],
            given_ids=frozenset(message.id for message in messages if message.id is not None),
            known_ids="pass_over",
            hidden_ids="renew",
            metadata=metadata,
            existing_metadata="replace",
            meets_users=True,
        )
    )
