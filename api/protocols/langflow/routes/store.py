"""``/api/v1/recount/messages``: the calls of Langflow's own message store, for use from its process.

Langflow has no such routes; ``recount_client.langflow`` calls them. The monitor's routes cannot serve it:
they show neither users nor nested content blocks, list errors too, and return 200 messages at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from starlette.responses import Response

from recountdb.api.protocols.base import RequestContext, read_body, retry_conflicts
from recountdb.api.protocols.langflow.commands import (
    build_update,
    check_session_id,
    find_message,
    group_deletions,
)
from recountdb.api.protocols.langflow.errors import LangflowRefusal
from recountdb.api.protocols.langflow.execution import answer_no_content, delete_all, execute_built
from recountdb.api.protocols.langflow.filters import ORDER_BY, filter_by_sender, filter_by_sender_name
from recountdb.api.protocols.langflow.parameters import Caller, Count, Words
from recountdb.api.protocols.langflow.routing import create_langflow_router
from recountdb.api.protocols.langflow.rules import ALL_FLOWS, Flows, choose_scope
from recountdb.api.protocols.langflow.shapes.messages import KEY, to_full_message
from recountdb.api.protocols.langflow.shapes.store import (
    UPDATABLE,
    ComponentMessage,
    MessageBatch,
    refuse_incomplete,
    to_component_members,
    to_recount_message,
)
from recountdb.api.schemas.responses import Json
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.errors import NotFound
from recountdb.domain.messages import Message
from recountdb.domain.sessions import Session
from recountdb.domain.values import NonEmptyText
from recountdb.projections.queries.recent_messages import find_newest_messages
from recountdb.projections.views.messages import FoundMessage, get_message

router = create_langflow_router()

PATH = "/api/v1/recount/messages"

Required = Annotated[NonEmptyText, Query()]


@router.get(PATH)
async def get_messages(
    context: Caller,
    flow_id: Required,
    user_id: Required,
    session_id: Words = "",
    context_id: Words = "",
    sender: Words = "",
    sender_name: Words = "",
    order_by: Words = "timestamp",
    order: Words = "DESC",
    limit: Count = 0,
) -> Response:
    """List messages that are not marked as errors, newest first unless ``order`` is another than DESC."""
    if order_by not in ("", *ORDER_BY):
        raise LangflowRefusal(400, f"messages have no order by {order_by}; there is {', '.join(ORDER_BY)}")
    said = Flows(choose_scope(flow_id)).said(
        session=session_id or None,
        owner=choose_scope(user_id),
        metadata={KEY: {"context_id": context_id}} if context_id else None,
        without={KEY: {"error": True}},
        label=filter_by_sender(sender),
        speaker=filter_by_sender_name(sender_name),
    )
    is_newest_first = order_by in ("", "timestamp") and order in ("", "DESC")
    rows = limit or None
    found = await context.find_whole(find_newest_messages, said, limit=rows if is_newest_first else None)
    if not is_newest_first:
        found = _sort(found, order_by or "timestamp", is_descending=order == "DESC")[:rows]
    return _respond(found)


@router.post(PATH)
async def add_messages(context: Caller, request: Request) -> Response:
    """Add messages, those of one session in one transaction."""
    batch = await read_body(request, MessageBatch)
    return _respond(await _add(context, batch, batch.messages))


@router.put(PATH)
async def store_messages(context: Caller, request: Request) -> Response:
    """Add each message, or change the one with its id.

    A message of another flow, as when that flow ran this one, stays as it is and is added here anew.
    """
    batch = await read_body(request, MessageBatch)
    refuse_incomplete(batch.messages)
    found: list[FoundMessage] = []
    for message in batch.messages:
        changed = await _update(context, batch, message)
        if not changed and await _is_known(context, message.id):
            message = message.model_copy(update={"id": None})
        found += changed or await _add(context, batch, [message])
    return _respond(found)


@router.patch(PATH)
async def update_messages(context: Caller, request: Request) -> Response:
    """Change messages by their ids; one that is missing, or not of what is executing, is skipped.

    A change alone does not mark a message as edited, since components change their own messages as they come;
    ``edit`` in the message does.
    """
    batch = await read_body(request, MessageBatch)
    return _respond([one for message in batch.messages for one in await _update(context, batch, message)])


@router.delete(PATH)
async def delete_messages(
    context: Caller, flow_id: Required, user_id: Required, session_id: Words = "", context_id: Words = ""
) -> Response:
    """Delete a user's messages in a session, or in a context, which wins if both are given."""
    if not session_id and not context_id:
        raise LangflowRefusal(400, "session_id or context_id must be given to delete messages")
    said = Flows(choose_scope(flow_id)).said(
        session=None if context_id else session_id,
        metadata={KEY: {"context_id": context_id}} if context_id else None,
        owner=choose_scope(user_id),
    )
    await delete_all(
        context, group_deletions(await context.find_whole(find_newest_messages, said, limit=None))
    )
    return answer_no_content()


@router.delete(f"{PATH}/{{message_id}}")
async def delete_message(
    context: Caller, message_id: str, flow_id: Words = "", user_id: Words = ""
) -> Response:
    """Delete one message; one that is missing, or not of what is executing, is skipped."""
    with suppress(NotFound):
        await delete_all(context, group_deletions([await _find_own(context, message_id, flow_id, user_id)]))
    return answer_no_content()


async def _add(
    context: RequestContext, batch: MessageBatch, messages: Sequence[ComponentMessage]
) -> list[FoundMessage]:
    """Record messages, and return them as they are now. Raises InvalidInput before any is recorded."""
    refuse_incomplete(messages)
    by_session: dict[tuple[str, str], list[Message]] = {}
    ids = []
    for one in messages:
        message = to_recount_message(one, batch, now=context.store.now())
        flow = batch.flow_id or one.flow_id
        session = (choose_scope(flow) if flow else "", check_session_id(one.session_id))
        by_session.setdefault(session, []).append(message)
        ids.append(message.id)
    recorded: dict[UUID, UUID] = {}
    for (scope, name), said in by_session.items():
        recorded |= await _record(context, scope, name, said)
    return [await context.find(get_message, recorded[message_id]) for message_id in ids]


async def _record(context: RequestContext, scope: str, name: str, said: list[Message]) -> dict[UUID, UUID]:
    """Record messages in a session; return, by given id, the id that each message has now."""
    ids = [message.id for message in said]
    adding = AddMessages(
        kind=Session.KIND,
        scope=scope,
        name=name,
        messages=said,
        given_ids=frozenset(ids),
        hidden_ids="renew",
    )
    outcome = await context.execute(adding)
    return dict(zip(ids, outcome.message_ids, strict=True))


async def _update(
    context: RequestContext, batch: MessageBatch, message: ComponentMessage
) -> list[FoundMessage]:
    """Change the message with this id, and return it as it is now; return nothing if it is not there."""
    members = message.model_dump(exclude_unset=True)
    given = {name: members[name] for name in UPDATABLE if members.get(name) is not None}
    try:
        message_id = (await _find_own(context, message.id, batch.flow_id, batch.user_id)).message.id
        change = partial(execute_built, context, build_update, message_id, given, is_edit=False)
        outcome = await retry_conflicts(change)
        return [await context.find(get_message, outcome.message_ids[0])]
    except NotFound:
        return []


async def _find_own(
    context: RequestContext, message_id: str | None, flow_id: str | None, user_id: str | None
) -> FoundMessage:
    """Return the message with this id, if the flow and user, where known, may access it. Raises NotFound."""
    flows = Flows(choose_scope(flow_id)) if flow_id else ALL_FLOWS
    found = await context.recall(find_message, context.project, _to_uuid(message_id), flows)
    if flow_id and user_id and found.message.user_id not in (None, choose_scope(user_id)):
        raise NotFound("message")
    return found


async def _is_known(context: RequestContext, message_id: str | None) -> bool:
    try:
        await context.recall(find_message, context.project, _to_uuid(message_id))
    except NotFound:
        return False
    return True


def _to_uuid(message_id: str | None) -> UUID:
    """Return the id of a message. Raises NotFound for a text that no message can have as its id."""
    try:
        return UUID(message_id or "")
    except ValueError:
        raise NotFound("message") from None


def _sort(found: list[FoundMessage], order_by: str, *, is_descending: bool) -> list[FoundMessage]:
    """Return ``found``, which comes newest first, in the order of one of Langflow's columns."""
    rows = found if is_descending else found[::-1]
    if order_by == "timestamp":
        return rows
    return sorted(rows, key=lambda one: str(to_full_message(one).get(order_by)), reverse=is_descending)


def _respond(found: Iterable[FoundMessage]) -> Response:
    return Json([to_component_members(one) for one in found])
