"""Motorhead's routes, of the self-hosted server and of the managed edition, which wraps each response."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

from recountdb.api.http.context import NameInPath
from recountdb.api.protocols.base import (
    BodyInvalid,
    RequestContext,
    authenticate,
    create_router,
    make_route_class,
    read_body,
)
from recountdb.api.protocols.motorhead.errors import answer_motorhead_error
from recountdb.api.protocols.motorhead.rules import (
    HITS_MAX,
    PAGE_MAX,
    SIZE_MAX,
    RemoveMemory,
    build_addition,
    build_namespace_filter,
)
from recountdb.api.protocols.motorhead.shapes import (
    DONE,
    EMPTY_MEMORY,
    Retrieval,
    UtterancesToAdd,
    to_motorhead_hit,
    to_motorhead_memory,
)
from recountdb.api.schemas.responses import Json
from recountdb.domain.errors import NotFound
from recountdb.domain.messages import MessageState
from recountdb.domain.values import Text
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.lists.paging import PAGE_BYTES_MAX, Numbered, Page, Window
from recountdb.projections.queries.search import Search, rank_messages
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.sessions import get_session, list_sessions_by_last_message

M = TypeVar("M", bound=BaseModel)

MANAGED = "/v1/motorhead"
"""The prefix of the managed edition."""

SelfHostedRoute = make_route_class(answer_motorhead_error)


class ManagedRoute(SelfHostedRoute):  # type: ignore[misc, valid-type]
    """Route of the managed edition, whose responses are wrapped in ``data``."""


router = create_router(SelfHostedRoute)
"""The routes of both editions, each below its prefix."""

key_router = create_router(ManagedRoute)
"""The routes at which clients of the managed edition check their key."""


@router.get("/")
async def report_health(request: Request) -> Response:
    # A browser gets a page at the root; see api.http.routes.pages.
    headers = {"Vary": "Accept"} if request.scope["route"].path == "/" else {}
    return _answer(request, {"now": time.time_ns() // 1_000_000}, headers)


@router.get("/sessions")
async def list_sessions(
    request: Request,
    page: Annotated[int, Query(ge=1)] = 1,
    size: Annotated[int, Query(ge=1, le=SIZE_MAX)] = 10,
    namespace: Text = "",
) -> Response:
    """List the names of the sessions in a namespace, the one whose last message is oldest first."""
    context = await _authenticate_client(request)
    if page > PAGE_MAX:
        return PlainTextResponse("Page size must not exceed 100", 400)
    in_namespace = build_namespace_filter(namespace)
    sessions = await context.find(list_sessions_by_last_message, Numbered(page, size), in_namespace)
    return _answer(request, [session.name for session in sessions])


@router.get("/sessions/{session_id}/memory")
async def read_memory(request: Request, session_id: NameInPath) -> Response:
    context = await _authenticate_client(request)
    limit = context.store.settings.motorhead_window + 1
    memory = EMPTY_MEMORY
    with suppress(NotFound):
        session = await context.find(get_session, session_id)
        messages = await context.find_whole(_find_newest_messages, session_id, limit)
        memory = to_motorhead_memory(session, messages.items)
    return _answer(request, memory)


@router.post("/sessions/{session_id}/memory")
async def add_memory(request: Request, session_id: NameInPath, namespace: Text = "") -> Response:
    context = await _authenticate_client(request)
    await context.execute(build_addition(session_id, await _read_json(request, UtterancesToAdd), namespace))
    return _answer(request, DONE)


@router.delete("/sessions/{session_id}/memory")
async def delete_memory(request: Request, session_id: NameInPath, namespace: Text = "") -> Response:
    context = await _authenticate_client(request)
    with suppress(NotFound):
        await context.execute(RemoveMemory(name=session_id, namespace=namespace))
    return _answer(request, DONE)


@router.post("/sessions/{session_id}/retrieval")
async def retrieve_messages(request: Request, session_id: NameInPath) -> Response:
    """Search the messages of a session, if long-term memory is switched on."""
    context = await _authenticate_client(request, scope="read")
    retrieval = await _read_json(request, Retrieval)
    if not context.store.settings.motorhead_long_term_memory:
        return PlainTextResponse("Long term memory is disabled", 400)
    search = Search(text=retrieval.text, limit=HITS_MAX)
    ranked = await context.find_whole(rank_messages, "session", session_id, search)
    return _answer(request, list(map(to_motorhead_hit, ranked)))


@key_router.get("/v1/keys/current")
@key_router.get(f"{MANAGED}/keys/current")
async def check_key(request: Request) -> Response:
    await _authenticate_client(request)
    return _answer(request, DONE)


def place_routes(prefix: str) -> list[BaseRoute]:
    """Return the routes of both editions, with everything below ``prefix``."""
    base = prefix.rstrip("/")
    placed = APIRouter(include_in_schema=False)
    _place_edition(placed, base, SelfHostedRoute)
    _place_edition(placed, f"{base}{MANAGED}", ManagedRoute)
    _copy_routes(placed, key_router, base, ManagedRoute)
    return placed.routes


def _place_edition(placed: APIRouter, prefix: str, route_class: type[APIRoute]) -> None:
    if prefix:  # its root answers without the slash as well
        placed.add_api_route(prefix, report_health, methods=["GET"], route_class_override=route_class)
    _copy_routes(placed, router, prefix, route_class)


def _copy_routes(placed: APIRouter, source: APIRouter, prefix: str, route_class: type[APIRoute]) -> None:
    for route in source.routes:
        assert isinstance(route, APIRoute)
        placed.add_api_route(
            f"{prefix}{route.path}",
            route.endpoint,
            methods=sorted(route.methods or ()),
            route_class_override=route_class,
        )


def _answer(request: Request, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response in the shape of the edition whose route was called."""
    is_managed = isinstance(request.scope["route"], ManagedRoute)
    return Json({"data": body} if is_managed else body, headers=headers)


async def _authenticate_client(request: Request, scope: str | None = None) -> RequestContext:
    return await authenticate(request, scope=scope, key=request.headers.get("x-metal-api-key"))


async def _read_json(request: Request, model: type[M]) -> M:
    """Return the body as a ``model``. Raises BodyInvalid, also if the Content-Type is not JSON."""
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise BodyInvalid("", "the content type must be application/json", is_json=False)
    return await read_body(request, model)


def _find_newest_messages(
    database: Database, project: str, name: str, limit: int, *, bytes_max: int = PAGE_BYTES_MAX
) -> Page[MessageState]:
    """Return the newest messages of a session, newest first. Raises NotFound, TooLarge."""
    window = Window(limit, "newest", bytes_max=bytes_max, is_whole=True)
    return page_messages(database, project, "session", name, window)
