"""``GET …/messages`` and ``…/messages/sessions``: the message history, of flows and of shared ones alike."""

from __future__ import annotations

from starlette.responses import Response

from recountdb.api.protocols.langflow.filters import (
    cap_rows,
    decode_session_id,
    filter_by_sender,
    filter_by_sender_name,
    find_owners,
    refuse_unknown_order,
    sort_items,
)
from recountdb.api.protocols.langflow.parameters import (
    Count,
    FlowsContext,
    MessageQuery,
    Messages,
    OneOrAllFlows,
    SharedFlow,
)
from recountdb.api.protocols.langflow.routing import create_langflow_router
from recountdb.api.protocols.langflow.shapes.messages import to_list_item
from recountdb.api.schemas.responses import Json
from recountdb.projections.queries.recent_messages import find_newest_messages, find_recent_sessions

router = create_langflow_router()


@router.get("/api/v1/monitor/messages")
async def list_messages(where: OneOrAllFlows, query: Messages) -> Response:
    """List the newest ``limit`` messages after skipping ``offset``, and only then sort them."""
    return await _list_messages(where, query)


@router.get("/api/v1/monitor/messages/shared")
async def list_shared_messages(where: SharedFlow, query: Messages) -> Response:
    return await _list_messages(where, query)


@router.get("/api/v1/monitor/messages/sessions")
async def list_sessions(where: OneOrAllFlows, limit: Count = 0, offset: Count = 0) -> Response:
    """List session ids, the one with the newest message first."""
    return await _list_sessions(where, limit, offset)


@router.get("/api/v1/monitor/messages/shared/sessions")
async def list_shared_sessions(where: SharedFlow, limit: Count = 0, offset: Count = 0) -> Response:
    return await _list_sessions(where, limit, offset)


async def _list_messages(where: FlowsContext, query: MessageQuery) -> Response:
    refuse_unknown_order(query.order_by, query.order)
    said = where.flows.said(
        session=decode_session_id(query.session_id),
        users=find_owners(query.end_user_id),
        label=filter_by_sender(query.sender),
        speaker=filter_by_sender_name(query.sender_name),
    )
    rows = _count_rows(where, query.limit)
    found = await where.context.find_whole(find_newest_messages, said, limit=rows, offset=query.offset)
    return Json(sort_items(list(map(to_list_item, found)), query.order_by, query.order))


async def _list_sessions(where: FlowsContext, limit: int, offset: int) -> Response:
    sessions = await where.context.find(
        find_recent_sessions,
        where.flows.said(),
        limit=_count_rows(where, limit),
        offset=offset,
        unless_begins="agentic_",
    )
    return Json([session.name for session in sessions])


def _count_rows(where: FlowsContext, limit: int) -> int | None:
    return cap_rows(limit, is_capped=not where.context.store.settings.langflow_list_all)
