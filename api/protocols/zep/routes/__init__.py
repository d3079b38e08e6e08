"""Zep's routes, in the order of its contract: sessions, memory, messages, users, health."""

from starlette.routing import BaseRoute

from recountdb.api.protocols.zep.routes import memory, messages, sessions, strays, users

ROUTES: list[BaseRoute] = [
    *sessions.router.routes,
    *memory.router.routes,
    *messages.router.routes,
    *users.router.routes,
    *strays.router.routes,
]
