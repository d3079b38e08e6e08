"""The hosted LangMem service, as the ``langmem.Client`` of releases 0.0.2 to 0.0.4 calls it.

LangMem's threads are Recount's threads, and its users Recount's users of the same UUIDs; a user's ``name``
is the display name. A memory function is a function of Recount's, and the memory of it that an application
stores for a user is the user's state document under the function's id. Recount makes no memories itself.
"""

from __future__ import annotations

from fastapi import APIRouter

from recountdb.api.protocols.base import protocol_router, route_class
from recountdb.api.protocols.langmem import functions, memory, threads, users
from recountdb.api.protocols.langmem.answers import tell
from recountdb.api.settings import Settings


def router(settings: Settings) -> APIRouter:
    router = protocol_router(route_class(tell))
    for part in (threads, users, functions, memory):
        part.add_routes(router)
    return router
