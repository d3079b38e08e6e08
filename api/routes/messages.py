"""/v1/messages: messages over all conversations of a project."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from api.dependencies import FilteredByUser, MessageId, Read, Role, WindowedNewest
from api.resources import (
    FoundMessageResource,
    Json,
    PageResource,
    found_message_resource,
    page_resource,
)
from projections.messages import get_message, search_messages

router = APIRouter(tags=["messages"])


@router.get("/messages", response_model=PageResource[FoundMessageResource], name="list messages")
def list_(reading: Read, window: WindowedNewest, criteria: FilteredByUser, role: Role = None) -> Response:
    """Messages of all conversations, in the order they were recorded; the newest first by default."""
    page = search_messages(
        reading.store.database,
        reading.project,
        window,
        criteria.with_role(role),
        settled=reading.store.application.log.settled_position(),
    )
    return Json(page_resource(page, found_message_resource))


@router.get("/messages/{message_id}", response_model=FoundMessageResource, name="get message")
def get(message_id: MessageId, reading: Read) -> Response:
    """A message wherever it is, and the conversation it is in."""
    found = get_message(reading.store.database, reading.project, message_id)
    return Json(found_message_resource(found))
