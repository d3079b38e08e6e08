"""``/api/v1/chatmessage/{chatflowid}``: reading, writing and deleting chat messages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

from fastapi import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from recountdb.api.protocols.base import RequestContext, authenticate, read_body
from recountdb.api.protocols.langflux.errors import FlowiseRefusal
from recountdb.api.protocols.langflux.filters import (
    ExpressQuery,
    check_chatflow_id,
    decode_chatflow,
    parse_time,
)
from recountdb.api.protocols.langflux.queries import find_selected
from recountdb.api.protocols.langflux.routing import create_flowise_router
from recountdb.api.protocols.langflux.shapes.messages import (
    ChatMessageToAdd,
    from_flowise_message,
    to_flowise_message,
)
from recountdb.api.protocols.responder.exchange import Exchange
from recountdb.api.schemas.responses import Json
from recountdb.domain.commands.conversations import DeleteMessages
from recountdb.domain.errors import MessageIdTaken, NotFound
from recountdb.domain.sessions import Session
from recountdb.projections.views.messages import FoundMessage, get_message

router = create_flowise_router()


@router.get("/api/v1/chatmessage")
@router.get("/api/v1/chatmessage/")
@router.delete("/api/v1/chatmessage")
@router.delete("/api/v1/chatmessage/")
async def refuse_unnamed_chatflow(request: Request) -> Response:
    """Refuse a request that names no chatflow."""
    await authenticate(request)
    raise FlowiseRefusal(412, "Error: chatMessagesController - id not provided!")


@router.get("/api/v1/chatmessage/{chatflow}")
async def list_messages(chatflow: str, request: Request) -> Response:
    """List the chat messages of a chatflow."""
    return await _list_messages(chatflow, request)


@router.get("/api/v1/internal-chatmessage/{chatflow}")
async def list_internal_messages(chatflow: str, request: Request) -> Response:
    """List the chat messages from the canvas only, and never in pages."""
    return await _list_messages(chatflow, request, is_internal=True)


@router.post("/api/v1/chatmessage/{chatflow}")
async def add_message(chatflow: str, request: Request) -> Response:
    """Store a message, and answer what was stored."""
    context = await authenticate(request)
    scope = check_chatflow_id(chatflow)
    body = await read_body(request, ChatMessageToAdd)
    given = body.model_dump(mode="json", exclude_none=True)
    chat_id = given.setdefault("chatId", given.get("sessionId") or str(uuid7()))
    at = None if body.createdDate is None else parse_time("createdDate", body.createdDate)
    exchange = Exchange(context, scope, given.get("sessionId") or chat_id)
    if body.id is not None:
        await _refuse_taken(exchange, body.id)
    message = await exchange.record(from_flowise_message(given, at), body.id)
    found = await context.find(get_message, message.id)
    return Json(to_flowise_message(found, as_strings=_has_string_columns(context)))


@router.delete("/api/v1/chatmessage/{chatflow}")
async def delete_messages(chatflow: str, request: Request) -> Response:
    """Delete the messages of a chatflow that the parameters select; without parameters, all of them."""
    context = await authenticate(request)
    scope = check_chatflow_id(chatflow)
    query = ExpressQuery(request)
    query.refuse_unclear()
    # As in Flowise, empty values filter nothing if a chat is given.
    selection = query.select(scope, has_feedback=True, is_strict=not query.one("chatId"))
    found = await find_selected(context, selection, with_one_before=False)
    return Json({"raw": [], "affected": await _delete_all(context, found)})


@router.put("/api/v1/chatmessage/abort/{chatflow}/{chat_id}")
async def abort_answer(chatflow: str, chat_id: str, request: Request) -> Response:
    """Acknowledge the request; an answer under way goes on until its caller hangs up."""
    await authenticate(request)
    return Json({"status": 200, "message": "Chat message aborted"})


async def _list_messages(chatflow: str, request: Request, *, is_internal: bool = False) -> Response:
    context = await authenticate(request)
    query = ExpressQuery(request)
    has_feedback = bool(query.one("feedback"))
    chat_types = ["INTERNAL"] if is_internal else None
    selection = query.select(decode_chatflow(chatflow), has_feedback=has_feedback, chat_types=chat_types)
    if is_internal:
        selection = replace(selection, page=0)
    found = await find_selected(context, selection, is_descending=query.is_descending)
    as_strings = _has_string_columns(context)
    return Json([to_flowise_message(one, as_strings=as_strings, has_feedback=has_feedback) for one in found])


def _has_string_columns(context: RequestContext) -> bool:
    """Return whether JSON columns are shown as texts, as servers up to 2.0.5 do."""
    return context.store.settings.langflux_json_columns == "string"


async def _refuse_taken(exchange: Exchange, message_id: UUID) -> None:
    """Raise MessageIdTaken when a message of another session has this id."""
    with suppress(NotFound):
        found = await exchange.context.find(get_message, message_id)
        if (found.scope, found.conversation) != (exchange.scope, exchange.session):
            raise MessageIdTaken(message_id)


async def _delete_all(context: RequestContext, found: Sequence[FoundMessage]) -> int:
    """Delete messages, by one command for each session; return how many messages this deleted."""
    by_session: dict[str, list[FoundMessage]] = {}
    for one in found:
        by_session.setdefault(one.conversation, []).append(one)
    count = 0
    for name, members in by_session.items():
        ids = [one.message.id for one in members]
        with suppress(NotFound):
            outcome = await context.execute(
                DeleteMessages(kind=Session.KIND, name=name, scope=members[0].scope, message_ids=ids)
            )
            count += len(outcome.events)
    return count
