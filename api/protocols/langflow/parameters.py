"""FastAPI dependencies of Langflow's routes: the caller, the flows that the request is about, and filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import Depends, Query, Request

from recountdb.api.http.middleware import SLASH_IN_SEGMENT
from recountdb.api.protocols.base import RequestContext, authenticate
from recountdb.api.protocols.langflow.rules import Flows, select_shared, select_unshared
from recountdb.domain.values import Text


async def _authenticate_client(request: Request) -> RequestContext:
    """Authenticate the caller, whose key may also be in the query as Langflow's clients send it."""
    return await authenticate(request, key=request.query_params.get("x-api-key"))


Caller = Annotated[RequestContext, Depends(_authenticate_client)]
Words = Annotated[Text, Query()]
Count = Annotated[int, Query(ge=0, le=2**62)]


class FlowsContext(NamedTuple):
    """A request's context, and the flows that the request is about."""

    context: RequestContext
    flows: Flows


async def _all_flows(context: Caller) -> FlowsContext:
    return FlowsContext(context, select_unshared())


async def _one_or_all_flows(context: Caller, flow_id: UUID | None = None) -> FlowsContext:
    return FlowsContext(context, select_unshared(flow_id))


async def _shared_flow(context: Caller, source_flow_id: UUID) -> FlowsContext:
    return FlowsContext(context, select_shared(context.event_context.actor, source_flow_id))


AllFlows = Annotated[FlowsContext, Depends(_all_flows)]
OneOrAllFlows = Annotated[FlowsContext, Depends(_one_or_all_flows)]
SharedFlow = Annotated[FlowsContext, Depends(_shared_flow)]


@dataclass(frozen=True)
class MessageQuery:
    """The filters, order and page of a list of messages."""

    session_id: str = ""
    end_user_id: Words = ""
    sender: Words = ""
    sender_name: Words = ""
    order_by: str = "timestamp"
    order: str = "ASC"
    limit: Count = 0
    offset: Count = 0


Messages = Annotated[MessageQuery, Depends()]


def decode_segment(segment: str) -> str:
    """Return a path segment with its encoded slashes decoded."""
    return segment.replace(SLASH_IN_SEGMENT, "/")
