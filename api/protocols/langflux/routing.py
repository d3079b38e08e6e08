"""The routers of Flowise's routes."""

from __future__ import annotations

from fastapi import APIRouter

from recountdb.api.protocols.base import create_router, make_route_class
from recountdb.api.protocols.langflux.errors import answer_flowise_error


def create_flowise_router() -> APIRouter:
    return create_router(make_route_class(answer_flowise_error))
