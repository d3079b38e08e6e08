"""FastAPI dependencies of the monitor's routes: the caller, and the flows that the request is about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import Depends, Query, Request

from recountdb.api.http.middleware import SLASH_IN_SEGMENT
from recountdb.api.protocols.base import Visit, visit
from recountdb.api.protocols.langflow.flows import Flows, shared, unshared
from recountdb.domain.values import Text


async def _visitor(request: Request) -> Visit:
    """Authenticate the caller, whose key may also be in the query as Langflow's clients send it."""
    return await visit(request, key=request.query_params.get("x-api-key"))


Here = Annotated[Visit, Depends(_visitor)]
Words = Annotated[Text, Query()]
Count = Annotated[int, Query(ge=0, le=2**62)]


class Visited(NamedTuple):
    """A visit, and the flows that it is about."""

    here: Visit
    flows: Flows


Visiting = Callable[..., Awaitable[Visited]]
"""A dependency that makes a Visited of a request: one of the following."""


async def every_flow(here: Here) -> Visited:
    return Visited(here, unshared())


async def one_or_every_flow(here: Here, flow_id: UUID | None = None) -> Visited:
    return Visited(here, unshared(flow_id))


async def shared_flow(here: Here, source_flow_id: UUID) -> Visited:
    return Visited(here, shared(here.context.actor, source_flow_id))


def in_path(segment: str) -> str:
    return segment.replace(SLASH_IN_SEGMENT, "/")
