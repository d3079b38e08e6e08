"""LangMem's routes: threads, users, functions, and the memories of threads and users."""

from starlette.routing import BaseRoute

from recountdb.api.protocols.langmem.routes import functions, memory, threads, users

ROUTES: list[BaseRoute] = [
    *threads.router.routes,
    *users.router.routes,
    *functions.router.routes,
    *memory.router.routes,
]
