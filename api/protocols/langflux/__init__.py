"""LangFlux, which is Flowise: ``/api/v1/chatmessage…``, feedback, figures, export, and predictions.

What Flowise calls a chatflow is the scope of a session; the session's name is the ``sessionId``, or where
there is none the ``chatId``. What a chat message has that ours has no place for, its feedback too, is kept in
the message's metadata under ``langflux``.

- ``messages``: a chat message in Flowise's shape, and in ours
- ``chatmessages``: reading, writing and deleting them
- ``feedback``: what people thought of an answer
- ``overview``: figures, and the export
- ``predictions``: an answer, by the responder that is configured
"""

from __future__ import annotations

from fastapi import APIRouter

from recountdb.api.protocols.base import protocol_router, route_class
from recountdb.api.protocols.langflux import chatmessages, feedback, overview, predictions
from recountdb.api.protocols.langflux.errors import tell
from recountdb.api.settings import Settings


def router(settings: Settings) -> APIRouter:
    """Flowise's routes, as ``settings`` want them."""
    router = protocol_router(route_class(tell))
    chatmessages.add_routes(router, settings)
    feedback.add_routes(router)
    overview.add_routes(router)
    predictions.add_routes(router, settings)
    return router
