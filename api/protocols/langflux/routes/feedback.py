"""``/api/v1/feedback``: ratings of answers, kept as metadata of the message that they are about.

A message has one feedback, the last one; its id is that of the message.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fastapi import Request
from starlette.responses import Response

from recountdb.api.protocols.base import RequestContext, authenticate, read_body
from recountdb.api.protocols.langflux.errors import FlowiseRefusal
from recountdb.api.protocols.langflux.filters import (
    ExpressQuery,
    check_chatflow_id,
    decode_chatflow,
    read_uuid,
)
from recountdb.api.protocols.langflux.routing import create_flowise_router
from recountdb.api.protocols.langflux.shapes.feedback import FeedbackToGive, find_chat_id, to_feedback
from recountdb.api.protocols.langflux.shapes.messages import (
    KEY,
    find_feedback,
    find_scope,
    format_flowise_time,
)
from recountdb.api.schemas.responses import Json
from recountdb.domain.commands.conversations import ChangeMessage
from recountdb.domain.errors import NotFound
from recountdb.domain.sessions import Session
from recountdb.projections.queries.recent_messages import RecentFilter, find_newest_messages
from recountdb.projections.views.messages import FoundMessage, get_message

router = create_flowise_router()


@router.post("/api/v1/feedback/{chatflow}")
async def give_feedback(chatflow: str, request: Request) -> Response:
    """Rate an answer."""
    context = await authenticate(request)
    scope = check_chatflow_id(chatflow)
    body = await read_body(request, FeedbackToGive)
    if not body.messageId:
        raise FlowiseRefusal(400, "Message ID is required")
    found = await _find_message(context, body.messageId)
    _refuse_elsewhere(found, body, scope)
    if body.rating is None:
        raise FlowiseRefusal(500, "Error: rating is required")
    feedback = to_feedback(found, body, context.store.now())
    await _keep(context, found, feedback)
    return Json(feedback)


@router.put("/api/v1/feedback/{feedback}")
async def change_feedback(feedback: str, request: Request) -> Response:
    """Change a feedback."""
    context = await authenticate(request)
    body = await read_body(request, FeedbackToGive)
    found = await _find_rated(context, feedback)
    _refuse_elsewhere(found, body, found.scope)
    given = body.model_dump(include={"rating", "content"}, exclude_unset=True)
    if given.get("rating", "") is None:
        raise FlowiseRefusal(500, "Error: rating is required")
    await _keep(context, found, given)
    return Json({"status": "OK"})


@router.get("/api/v1/feedback/{chatflow}")
async def list_feedback(chatflow: str, request: Request) -> Response:
    """List the feedback on the answers of a chatflow."""
    context, query = await authenticate(request), ExpressQuery(request)
    said = RecentFilter(scope=decode_chatflow(chatflow), metadata={KEY: {"feedback": {}}})
    since, until = query.time("startDate"), query.time("endDate")
    rated = await context.find_whole(find_newest_messages, said, limit=None)
    given = [found for one in reversed(rated) if (found := find_feedback(one.message)) is not None]
    listed = [
        feedback
        for feedback in sorted(given, key=lambda one: str(one.get("createdDate")))
        if query.one("chatId") in (None, feedback.get("chatId"))
        and (since is None or str(feedback.get("createdDate")) >= format_flowise_time(since))
        and (until is None or str(feedback.get("createdDate")) <= format_flowise_time(until))
    ]
    return Json(listed[::-1] if query.is_descending else listed)


def _refuse_elsewhere(found: FoundMessage, body: FeedbackToGive, scope: str) -> None:
    """Refuse a feedback that names another chatflow or chat than the message's; its body may name neither."""
    is_of_chat = not body.chatId or body.chatId == find_chat_id(found)
    is_of_chatflow = not body.chatflowid or find_scope(body.chatflowid) == found.scope
    if not (is_of_chat and is_of_chatflow and scope == found.scope):
        raise FlowiseRefusal(400, "the message is not one of this chatflow and chat")


async def _find_message(context: RequestContext, message_id: str) -> FoundMessage:
    """Return the message with this id. Raises a refusal when there is none in a session."""
    valid_id = read_uuid(message_id)
    if valid_id is not None:
        with suppress(NotFound):
            found = await context.find(get_message, valid_id)
            if found.kind == Session.KIND:
                return found
    raise FlowiseRefusal(404, f"Message with id {message_id[:100]} not found")


async def _find_rated(context: RequestContext, feedback_id: str) -> FoundMessage:
    """Return the message that a feedback is about. Raises a refusal when there is none.

    The feedback has the id of its message, or another id if it was imported.
    """
    said = RecentFilter(message_id=read_uuid(feedback_id), metadata={KEY: {"feedback": {}}})
    found = (
        await context.find_whole(find_newest_messages, said, limit=1) if said.message_id is not None else []
    )
    if not found:
        said = RecentFilter(metadata={KEY: {"feedback": {"id": feedback_id}}})
        found = await context.find_whole(find_newest_messages, said, limit=1)
    if not found:
        raise FlowiseRefusal(404, "Feedback not found")
    return found[0]


async def _keep(context: RequestContext, found: FoundMessage, feedback: dict[str, Any]) -> None:
    await context.execute(
        ChangeMessage(
            kind=Session.KIND,
            name=found.conversation,
            scope=found.scope,
            message_id=found.message.id,
            metadata={KEY: {"feedback": feedback}},
        )
    )
