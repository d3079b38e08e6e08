"""The hosted LangMem service, as the ``langmem.Client`` of releases 0.0.2 to 0.0.4 calls it.

Its threads are our threads, its users our users by the same UUIDs; a user's ``name`` is the display name.
A memory function is a function of ours, and what an application puts as a user's memory of one is the user's
state document under the function's id. Nothing here makes memories: what nobody put is not there.
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
