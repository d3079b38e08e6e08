"""Langflow 1.13: ``/api/v1/monitor/messages…``, ``/api/v1/run/{flow}``, and its in-process message store.

What Langflow calls a flow is the scope of a session, the session id its name. What a Langflow message has
that ours has no place for is kept in the message's metadata under ``langflow``, as it came.

- ``messages``: a message in Langflow's shapes, and in ours
- ``flows``: which flows a request is about, and how those that are shared are kept apart
- ``visiting``: who asks, and about which flows
- ``reading``, ``changing``: messages and sessions over HTTP
- ``changes``: what a change is in commands of ours
- ``sessions``: which session a run belongs to
- ``runs``: running a flow, by the responder that is configured
- ``store``: the calls of Langflow's own message store, for use inside its process
"""

from __future__ import annotations

from fastapi import APIRouter

from recountdb.api.protocols.base import protocol_router, route_class
from recountdb.api.protocols.langflow import changing, reading, runs
from recountdb.api.protocols.langflow.errors import tell
from recountdb.api.protocols.langflow.visiting import every_flow, one_or_every_flow, shared_flow
from recountdb.api.settings import Settings

MESSAGES = "/api/v1/monitor/messages"
SHARED = f"{MESSAGES}/shared"


def router(settings: Settings) -> APIRouter:
    """Langflow's routes, as ``settings`` want them."""
    router = protocol_router(route_class(tell))
    is_capped = not settings.langflow_list_all
    reading.add_routes(router, MESSAGES, one_or_every_flow, is_capped=is_capped)
    reading.add_routes(router, SHARED, shared_flow, is_capped=is_capped)
    changing.add_routes(router, MESSAGES, every_flow)
    changing.add_routes(router, SHARED, shared_flow)
    changing.add_bulk_routes(router, MESSAGES, every_flow)
    runs.add_routes(router, settings)
    return router
