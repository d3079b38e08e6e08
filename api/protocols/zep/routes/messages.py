"""``…/messages``: the messages of a session in pages, and their metadata."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from recountdb.api.protocols.base import RequestContext, read_body
from recountdb.api.protocols.zep.parameters import (
    authenticate_client,
    read_integer,
    read_message_id,
    read_name,
    read_name_loosely,
)
from recountdb.api.protocols.zep.queries import ROWS_MAX
from recountdb.api.protocols.zep.responses import respond_json
from recountdb.api.protocols.zep.routing import create_zep_router
from recountdb.api.protocols.zep.shapes import MetadataToMerge, to_zep_message
from recountdb.domain.commands.conversations import ChangeMessage
from recountdb.domain.sessions import Session
from recountdb.projections.views.messages import get_message_in, get_numbered_page

PAGE_SIZE_DEFAULT = 100
"""The number of messages on a page whose size is not a number."""

router = create_zep_router()


@router.get("/api/v1/sessions/{session_id}/messages")
async def list_messages(session_id: str, request: Request) -> Response:
    """List a page of messages; ``cursor`` is the number of the page."""
    context = await authenticate_client(request)
    size = read_integer(request, "limit", default=PAGE_SIZE_DEFAULT)
    number = max(read_integer(request, "cursor", default=1), 1)
    found, total = await context.find_whole(
        get_numbered_page,
        "session",
        read_name_loosely(session_id),
        number=number,
        size=min(size, ROWS_MAX) if size > 0 else None,
    )
    messages = list(map(to_zep_message, found))
    return respond_json({"messages": messages, "total_count": total, "row_count": len(messages)})


@router.get("/api/v1/sessions/{session_id}/messages/{message_id}")
async def read_message(session_id: str, message_id: str, request: Request) -> Response:
    context = await authenticate_client(request)
    return respond_json(await _find_message(context, session_id, read_message_id(message_id)))


@router.patch("/api/v1/sessions/{session_id}/messages/{message_id}")
async def merge_message_metadata(session_id: str, message_id: str, request: Request) -> Response:
    context = await authenticate_client(request)
    body = await read_body(request, MetadataToMerge)
    command = ChangeMessage(
        kind=Session.KIND,
        name=read_name(session_id, Session.KIND),
        message_id=read_message_id(message_id),
        metadata=body.merged,
    )
    await context.execute(command)
    return respond_json(await _find_message(context, session_id, command.message_id))


async def _find_message(context: RequestContext, session_id: str, message_id: UUID) -> dict[str, Any]:
    name = read_name(session_id, Session.KIND)
    return to_zep_message(await context.find(get_message_in, "session", name, message_id))
