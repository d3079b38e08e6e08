"""Langflow's routes: the message history, its changes, and runs."""

from starlette.routing import BaseRoute

from recountdb.api.protocols.langflow.routes import changes, messages, runs

ROUTES: list[BaseRoute] = [*messages.router.routes, *changes.router.routes, *runs.router.routes]
