"""Langflow's routes: the message history, its changes, runs, and those of its in-process store."""

from starlette.routing import BaseRoute

from recountdb.api.protocols.langflow.routes import changes, messages, runs, store

ROUTES: list[BaseRoute] = [
    *messages.router.routes,
    *changes.router.routes,
    *runs.router.routes,
    *store.router.routes,
]
