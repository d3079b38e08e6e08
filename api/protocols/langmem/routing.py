"""The routers of LangMem's routes."""

from __future__ import annotations

from fastapi import APIRouter

from recountdb.api.protocols.base import create_router, make_route_class
from recountdb.api.protocols.langmem.errors import answer_langmem_error


def create_langmem_router() -> APIRouter:
    return create_router(make_route_class(answer_langmem_error))
