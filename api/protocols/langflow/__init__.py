"""Langflow 1.13: ``/api/v1/monitor/messages…``, ``/api/v1/run/{flow}``, and its in-process message store.

What Langflow calls a flow is the scope of a session, the session id its name. What a Langflow message has
that ours has no place for is kept in the message's metadata under ``langflow``, as it came.

- ``messages``: a message in Langflow's shapes, and in ours
- ``monitor``: reading and changing messages
- ``sessions``: which session a run belongs to
- ``runs``: running a flow, by the responder that is configured
- ``store``: the calls of Langflow's own message store, for use inside its process
"""

from __future__ import annotations

from fastapi import APIRouter

from api.protocols.frame import protocol_router, route_class
from api.protocols.langflow import monitor, runs
from api.protocols.langflow.errors import tell
from api.settings import Settings


def router(settings: Settings) -> APIRouter:
    """Langflow's routes, as ``settings`` want them."""
    router = protocol_router(route_class(tell))
    monitor.add_routes(router, settings)
    runs.add_routes(router, settings)
    return router
