"""/threads: conversations, their messages and state documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from recountdb.api.protocols.base import Visit, body_as, visit
from recountdb.api.protocols.langmem.answers import everything, thread_object
from recountdb.api.protocols.langmem.bodies import NewMessages, NewThread, NewThreadState, ThreadStateQuery
from recountdb.api.protocols.langmem.messages import Format, SentMessage, told
from recountdb.api.schemas.responses import Json
from recountdb.domain.commands import AddMessages, SetState
from recountdb.domain.errors import NotFound
from recountdb.domain.threads import Thread
from recountdb.eventlog.write.ports import Outcome
from recountdb.projections.queries.paging import Window
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.states import get_state
from recountdb.projections.views.threads import get_thread, list_threads

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000


async def _create_thread(request: Request) -> Response:
    """Create a thread, or add to an existing one; given metadata then replace all that it had."""
    here = await visit(request)
    body = await body_as(request, NewThread)
    outcome = await _add(here, body.id or uuid7(), body.messages or (), metadata=body.metadata)
    assert isinstance(outcome.state, Thread)
    return Json(thread_object(outcome.state))


async def _add_messages(request: Request, thread_id: UUID) -> Response:
    """Add the messages that do not exist yet, and answer with the ids of all, new or existing."""
    here = await visit(request)
    body = await body_as(request, NewMessages)
    outcome = await _add(here, thread_id, body.messages)
    return Json({"message_ids": outcome.message_ids})


async def _add(
    here: Visit,
    thread_id: UUID,
    messages: Sequence[SentMessage],
    *,
    metadata: dict[str, Any] | None = None,
) -> Outcome:
    """Add messages to a thread, creating it if needed, and create users for the speakers."""
    return await here.execute(
        AddMessages(
            kind=Thread.KIND,
            name=str(thread_id),
            messages=[message.message() for message in messages],
            given_ids=frozenset(message.id for message in messages if message.id is not None),
            known_ids="pass_over",
            hidden_ids="renew",
            metadata=metadata,
            existing_metadata="replace",
            meets_users=True,
        )
    )


async def _get_thread(request: Request, thread_id: UUID) -> Response:
    here = await visit(request)
    return Json(thread_object(await here.find(get_thread, str(thread_id))))


async def _list_threads(request: Request) -> Response:
    """List all threads, newest first."""
    here = await visit(request)
    threads = await everything(here, list_threads, Window(order="newest"))
    return Json([thread_object(thread) for thread in threads])


async def _list_messages(
    request: Request,
    thread_id: UUID,
    response_format: Format = "openai",
    page_size: int = PAGE_SIZE_DEFAULT,
    ascending_order: bool = True,
    cursor: str | None = None,
) -> Response:
    """List a page of messages in the order they were added, or backwards; empty for a missing thread."""
    here = await visit(request)
    size = min(max(page_size, 1), PAGE_SIZE_MAX)
    window = Window(size, "oldest" if ascending_order else "newest", cursor)
    try:
        page = await here.find(page_messages, "thread", str(thread_id), window)
    except NotFound:
        return Json({"messages": [], "next_cursor": None})
    messages = [told(message, response_format) for message in page.items]
    return Json({"messages": messages, "next_cursor": page.next_cursor})


async def _add_thread_state(request: Request, thread_id: UUID) -> Response:
    """Replace the document under a key, creating the thread if needed."""
    here = await visit(request)
    body = await body_as(request, NewThreadState)
    await here.execute(SetState(kind=Thread.KIND, name=str(thread_id), key=body.key, state=body.state))
    return Json({})


async def _get_thread_state(request: Request, thread_id: UUID) -> Response:
    here = await visit(request, scope="read")
    body = await body_as(request, ThreadStateQuery)
    return Json({"state": await here.find(get_state, "thread", str(thread_id), body.key)})


async def _trigger_all_for_thread(request: Request, thread_id: UUID) -> Response:
    """Do nothing, because no memories are made of messages."""
    await visit(request)
    return Json({})


def add_routes(router: APIRouter) -> None:
    router.post("/threads")(_create_thread)
    router.get("/threads")(_list_threads)
    router.get("/threads/{thread_id}")(_get_thread)
    router.post("/threads/{thread_id}/add_messages")(_add_messages)
    router.get("/threads/{thread_id}/messages")(_list_messages)
    router.post("/threads/{thread_id}/trigger-all")(_trigger_all_for_thread)
    router.post("/threads/{thread_id}/thread_state")(_add_thread_state)
    router.post("/threads/{thread_id}/thread_state/query")(_get_thread_state)
