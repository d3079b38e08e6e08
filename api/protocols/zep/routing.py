"""The routers of Zep's routes, which ignore repeated and trailing slashes."""

from __future__ import annotations

import re

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope

from recountdb.api.protocols.base import create_router, make_route_class
from recountdb.api.protocols.zep.errors import answer_zep_error


class ZepRoute(make_route_class(answer_zep_error)):  # type: ignore[misc]
    """Route that ignores repeated and trailing slashes in a path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = strip_slashes(scope["path"])
        return super().matches({**scope, "path": path})  # type: ignore[no-any-return]


def strip_slashes(path: str) -> str:
    """Return a path without repeated and trailing slashes."""
    return re.sub("/{2,}", "/", path).rstrip("/") or "/"


def create_zep_router() -> APIRouter:
    return create_router(ZepRoute)
