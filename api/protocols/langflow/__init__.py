"""Langflow 1.13: ``/api/v1/monitor/messages…``, ``/api/v1/run/{flow}``, and its in-process message store.

A Langflow flow is the scope of a session, the session id its name. The members of a Langflow message that
have no counterpart in Recount are kept unchanged in the message's metadata under ``langflow``.

- ``messages``: a message in Langflow's shapes, and in Recount's
- ``flows``: the flows that a request is about, and how those that are shared are kept apart
- ``visiting``: the caller of a request, and the flows it is about
- ``reading``, ``changing``: messages and sessions over HTTP
- ``changes``: changes as Recount's commands
- ``sessions``: the session that a run belongs to
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
    """Return a router of Langflow's routes for these settings."""
    router = protocol_router(route_class(tell))
    is_capped = not settings.langflow_list_all
    reading.add_routes(router, MESSAGES, one_or_every_flow, is_capped=is_capped)
    reading.add_routes(router, SHARED, shared_flow, is_capped=is_capped)
    changing.add_routes(router, MESSAGES, every_flow)
    changing.add_routes(router, SHARED, shared_flow)
    changing.add_bulk_routes(router, MESSAGES, every_flow)
    runs.add_routes(router, settings)
    return router
