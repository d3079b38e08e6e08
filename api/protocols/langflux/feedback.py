"""``/api/v1/feedback``: ratings of answers, kept as metadata of the message that they are about.

A message has one feedback, the last one; its id is that of the message.
"""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.responses import Response

from recountdb.api.protocols.base import Visit, body_as, visit
from recountdb.api.protocols.langflux.chatmessages import Query, as_uuid, chatflow_id, scope_in
from recountdb.api.protocols.langflux.errors import refused
from recountdb.api.protocols.langflux.messages import KEY, extras_of, feedback_of, scope_of, wire_time
from recountdb.api.schemas.responses import Json
from recountdb.domain.commands import ChangeMessage
from recountdb.domain.errors import NotFound
from recountdb.domain.sessions import Session
from recountdb.domain.values import Text
from recountdb.projections.queries.recent_messages import Said, newest_messages
from recountdb.projections.views.messages import FoundMessage, get_message

Rating = Literal["THUMBS_UP", "THUMBS_DOWN"]


class _NewFeedback(BaseModel):
    model_config = ConfigDict(extra="ignore")

    chatflowid: Text | None = None
    chatId: Text | None = None  # noqa: N815 - the contract's names
    messageId: Text | None = None  # noqa: N815
    rating: Rating | None = None
    content: Text | None = None


def add_routes(router: APIRouter) -> None:
    @router.post("/api/v1/feedback/{chatflow}")
    async def give(chatflow: str, request: Request) -> Response:
        """Rate an answer."""
        here = await visit(request)
        scope = chatflow_id(chatflow)
        body = await body_as(request, _NewFeedback)
        if not body.messageId:
            raise refused(400, "Message ID is required")
        found = await _message_with(here, body.messageId)
        _check_place(found, body)
        if found.scope != scope:
            raise _elsewhere()
        if body.rating is None:
            raise refused(500, "Error: rating is required")
        told = {
            "id": str(found.message.id),
            "chatflowid": scope,
            "chatId": _chat_of(found),
            "messageId": str(found.message.id),
            "rating": body.rating,
            "content": body.content,
            "createdDate": wire_time(here.store.now()),
        }
        await _keep(here, found, told)
        return Json(told)

    @router.put("/api/v1/feedback/{feedback}")
    async def change(feedback: str, request: Request) -> Response:
        """Change a feedback."""
        here = await visit(request)
        body = await body_as(request, _NewFeedback)
        found = await _rated(here, feedback)
        _check_place(found, body)
        given = body.model_dump(include={"rating", "content"}, exclude_unset=True)
        if given.get("rating", "") is None:
            raise refused(500, "Error: rating is required")
        await _keep(here, found, given)
        return Json({"status": "OK"})

    @router.get("/api/v1/feedback/{chatflow}")
    async def listed(chatflow: str, request: Request) -> Response:
        """List the feedback on the answers of a chatflow."""
        here, query = await visit(request), Query(request)
        said = Said(scope=scope_in(chatflow), metadata={KEY: {"feedback": {}}})
        since, until = query.moment("startDate"), query.moment("endDate")
        rated = await here.find_whole(newest_messages, said, limit=None)
        found = [given for one in reversed(rated) if (given := feedback_of(one.message)) is not None]
        told = [
            feedback
            for feedback in sorted(found, key=lambda one: str(one.get("createdDate")))
            if query.one("chatId") in (None, feedback.get("chatId"))
            and (since is None or str(feedback.get("createdDate")) >= wire_time(since))
            and (until is None or str(feedback.get("createdDate")) <= wire_time(until))
        ]
        return Json(told[::-1] if query.is_descending else told)


def _chat_of(found: FoundMessage) -> str:
    return str(extras_of(found.message).get("chatId", found.conversation))


def _check_place(found: FoundMessage, body: _NewFeedback) -> None:
    """Refuse a feedback that names another chatflow or chat than the message's; it may name neither."""
    if body.chatId and body.chatId != _chat_of(found):
        raise _elsewhere()
    if body.chatflowid and scope_of(body.chatflowid) != found.scope:
        raise _elsewhere()


def _elsewhere() -> HTTPException:
    return refused(400, "the message is not one of this chatflow and chat")


async def _message_with(here: Visit, message_id: str) -> FoundMessage:
    """Return the message with this id. Raises a refusal when there is none in a session."""
    found_id = scope_of(message_id)
    try:
        if found_id is not None:
            found = await here.find(get_message, UUID(found_id))
            if found.kind == Session.KIND:
                return found
    except NotFound:
        pass
    raise refused(404, f"Message with id {message_id[:100]} not found")


async def _rated(here: Visit, feedback_id: str) -> FoundMessage:
    """Return the message that a feedback is about. Raises a refusal when there is none.

    The feedback has the id of its message, or another id if it was imported.
    """
    said = Said(message_id=as_uuid(feedback_id), metadata={KEY: {"feedback": {}}})
    found = await here.find_whole(newest_messages, said, limit=1) if said.message_id is not None else []
    if not found:
        said = Said(metadata={KEY: {"feedback": {"id": feedback_id}}})
        found = await here.find_whole(newest_messages, said, limit=1)
    if not found:
        raise refused(404, "Feedback not found")
    return found[0]


async def _keep(here: Visit, found: FoundMessage, feedback: dict[str, Any]) -> None:
    await here.execute(
        ChangeMessage(
            kind=Session.KIND,
            name=found.conversation,
            scope=found.scope,
            message_id=found.message.id,
            metadata={KEY: {"feedback": feedback}},
        )
    )
