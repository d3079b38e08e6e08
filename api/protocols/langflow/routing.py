"""The routers of Langflow's routes."""

from __future__ import annotations

from fastapi import APIRouter

from recountdb.api.protocols.base import create_router, make_route_class
from recountdb.api.protocols.langflow.errors import answer_langflow_error


def create_langflow_router() -> APIRouter:
    return create_router(make_route_class(answer_langflow_error))
