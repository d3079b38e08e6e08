"""/v1/messages: messages over all conversations of a project."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from recountdb.api.http.context import MessageId, Read
from recountdb.api.http.query_parameters import MessageListQuery
from recountdb.api.http.routes import native_router
from recountdb.api.schemas.responses import (
    FoundMessageResource,
    Json,
    PageResource,
    found_message_resource,
    page_resource,
)
from recountdb.projections.views.messages import get_message, search_messages

router = native_router("messages")


@router.get("/messages", response_model=PageResource[FoundMessageResource], name="list messages")
async def list_(reading: Read, query: Annotated[MessageListQuery, Query()]) -> Response:
    """Messages of all conversations, in the order they were recorded; the newest first by default."""
    settled = await reading.store.call(reading.store.application.log.settled_position)
    page = await reading.find(search_messages, query.window, query.criteria, settled=settled)
    return Json(page_resource(page, found_message_resource))


@router.get("/messages/{message_id}", response_model=FoundMessageResource, name="get message")
async def get(message_id: MessageId, reading: Read) -> Response:
    """A message wherever it is, and the conversation it is in."""
    found = await reading.find(get_message, message_id)
    return Json(found_message_resource(found))
