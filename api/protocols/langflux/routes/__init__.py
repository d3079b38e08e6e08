"""Flowise's routes: chat messages, feedback, figures and export, and predictions."""

from starlette.routing import BaseRoute

from recountdb.api.protocols.langflux.routes import feedback, messages, overview, predictions

ROUTES: list[BaseRoute] = [
    *messages.router.routes,
    *feedback.router.routes,
    *overview.router.routes,
    *predictions.router.routes,
]
