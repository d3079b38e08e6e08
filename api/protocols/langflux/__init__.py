"""LangFlux, which is Flowise: ``/api/v1/chatmessage…``, feedback, figures, export, and predictions.

A Flowise chatflow is the scope of a session; the session's name is the ``sessionId``, or the ``chatId`` if
there is none. The members of a chat message that have no counterpart in Recount, including its feedback,
are kept in the message's metadata under ``langflux``.

- ``messages``: a chat message in Flowise's shape, and in Recount's
- ``chatmessages``: reading, writing and deleting chat messages
- ``feedback``: ratings of answers
- ``overview``: figures, and the export
- ``predictions``: answers, by the responder that is configured
"""

from __future__ import annotations

from fastapi import APIRouter

from recountdb.api.protocols.base import protocol_router, route_class
from recountdb.api.protocols.langflux import chatmessages, feedback, overview, predictions
from recountdb.api.protocols.langflux.errors import tell
from recountdb.api.settings import Settings


def router(settings: Settings) -> APIRouter:
    """Return a router of Flowise's routes for these settings."""
    router = protocol_router(route_class(tell))
    chatmessages.add_routes(router, settings)
    feedback.add_routes(router)
    overview.add_routes(router)
    predictions.add_routes(router, settings)
    return router
