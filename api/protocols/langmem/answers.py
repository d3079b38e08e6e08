"""LangMem's responses: objects as plain dicts, and errors as ``{"detail": …}``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from recountdb.api.http.problems import field_of, reason_of
from recountdb.api.protocols.base import Visit, status_of
from recountdb.domain.functions import Function
from recountdb.domain.threads import Thread
from recountdb.domain.users import User
from recountdb.projections.queries.paging import LIMIT_MAX, PAGE_BYTES_MAX, Page, Window

T = TypeVar("T")


def tell(request: Request, error: Exception) -> Response:
    """Return the response to an error: its status, and the reason in one sentence."""
    detail = str(error)
    match error:
        case RequestValidationError():
            found = error.errors()[0]
            detail = f"{field_of(found['loc'])}: {reason_of(found)}"
        case HTTPException():
            detail = error.detail
    status = status_of(error, invalid=422)
    return Response(to_json({"detail": detail}), status, media_type="application/json")


def thread_object(thread: Thread) -> dict[str, Any]:
    return {
        "id": thread.name,
        "metadata": thread.metadata or {},
        "created_at": thread.created_at,
        "updated_at": thread.updated_at,
    }


def user_object(user: User) -> dict[str, Any]:
    return {
        "id": user.name,
        "name": user.profile.display_name,
        "tags": user.profile.tags,
        "metadata": user.metadata or {},
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    }


def function_object(function: Function) -> dict[str, Any]:
    definition = function.definition
    named = {"name": definition.name, "description": definition.description}
    return {
        "id": function.name,
        "type": definition.type,
        **named,
        "custom_instructions": definition.instructions,
        "schema": {**named, "parameters": definition.parameters},
        "status": "active" if definition.is_enabled else "disabled",
        "created_at": function.created_at,
        "updated_at": function.updated_at,
    }


async def everything(visit: Visit, query: Callable[..., Page[T]], window: Window) -> list[T]:
    """Return the items of all pages, for a listing without pages in LangMem. ``window``: gives the order."""
    found: list[T] = []
    cursor = None
    while True:
        page = await visit.find(query, Window(LIMIT_MAX, window.order, cursor))
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found
        if len(page.items) < LIMIT_MAX:  # it came to so many bytes
            await visit.answer.hold(PAGE_BYTES_MAX)
