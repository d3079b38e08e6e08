"""The figures of a chatflow, and the export of its conversations."""

from __future__ import annotations

from dataclasses import replace

from fastapi import Request
from starlette.responses import Response

from recountdb.api.protocols.base import authenticate, read_body
from recountdb.api.protocols.langflux.errors import FlowiseRefusal
from recountdb.api.protocols.langflux.filters import (
    ExpressQuery,
    Selection,
    build_filter,
    decode_chatflow,
    expand_values,
    parse_time,
)
from recountdb.api.protocols.langflux.queries import find_selected
from recountdb.api.protocols.langflux.routing import create_flowise_router
from recountdb.api.protocols.langflux.shapes.export import ExportRequest, count_messages, group_conversations
from recountdb.api.schemas.responses import Json

router = create_flowise_router()


@router.get("/api/v1/stats/{chatflow}")
async def report_figures(chatflow: str, request: Request) -> Response:
    """Count the messages of a chatflow, and the ratings of its answers."""
    context = await authenticate(request)
    selection = ExpressQuery(request).select(decode_chatflow(chatflow), has_feedback=True)
    return Json(count_messages(await find_selected(context, replace(selection, page=0))))


@router.post("/api/v1/export-import/chatflow-messages")
async def export_conversations(request: Request) -> Response:
    """Export the conversations of a chatflow, newest first."""
    context = await authenticate(request, scope="read")
    body = await read_body(request, ExportRequest)
    if not body.chatflowId:
        raise FlowiseRefusal(400, "Error: chatflowId is required!")
    until = parse_time("endDate", body.endDate) if body.endDate else None
    said = build_filter(
        decode_chatflow(body.chatflowId),
        {},
        chat_types=_read_values(body.chatType),
        since=parse_time("startDate", body.startDate) if body.startDate else None,
        until=until,
    )
    selection = Selection(said, _read_values(body.feedbackType) or None)
    return Json(group_conversations(await find_selected(context, selection)))


def _read_values(value: list[str] | str | None) -> list[str]:
    """Return a value, several, or the items of a JSON array, as a list."""
    return expand_values([value] if isinstance(value, str) else value or ())
