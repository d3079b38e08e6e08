"""Motorhead, the memory server of Metal: self-hosted, and the managed edition that wrapped each response.

Motorhead's messages have no ids and no times. A session's memory is its newest messages, a context that an
application or a model made of the older ones, and the tokens that this took. All but the messages is
in the session's metadata under ``motorhead``, as ``{"context": …, "tokens": …, "namespaces": {"": true}}``:
the namespaces are the listings that the session is in; the empty one is the listing without a name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, JsonValue
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from uuid_utils.compat import uuid7

from recountdb.api.http.context import NameInPath
from recountdb.api.http.problems import Unauthorized, field_of, reason_of
from recountdb.api.protocols.base import (
    BodyInvalid,
    Visit,
    body_as,
    protocol_router,
    route_class,
    status_of,
    visit,
)
from recountdb.api.schemas.responses import Json
from recountdb.api.settings import Settings
from recountdb.domain.commands import AddMessages, Clear
from recountdb.domain.errors import NotFound, Unavailable
from recountdb.domain.messages import Message, MessageState, text_of
from recountdb.domain.sessions import Session
from recountdb.domain.values import Text
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.queries.paging import PAGE_BYTES_MAX, Filter, Numbered, Page, Window
from recountdb.projections.queries.search import Ranked, Search, rank_messages
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.sessions import get_session, list_sessions_last_spoken_in

OURS = "motorhead"
"""The key of a session's metadata that holds the members without a counterpart in Recount."""

PAGE_MAX = 100
SIZE_MAX = 2**53
HITS_MAX = 10

M = TypeVar("M", bound=BaseModel)


# Request models. Unknown members are ignored.


class _Utterance(BaseModel):
    role: Text
    content: Text


class _NewMemory(BaseModel):
    messages: list[_Utterance]
    context: Text | None = None


class _Question(BaseModel):
    text: Text


# Responses.


def _health() -> dict[str, Any]:
    return {"now": time.time_ns() // 1_000_000}


def _memory(session: Session, messages: Sequence[MessageState]) -> dict[str, Any]:
    """Return the memory of a session. ``messages``: newest first, an order that is kept."""
    context, tokens = _known(session).get("context"), _known(session).get("tokens")
    return {
        "messages": [{"role": message.role, "content": text_of(message.content)} for message in messages],
        "context": context if isinstance(context, str) else None,
        "tokens": tokens if type(tokens) is int else 0,
    }


NO_MEMORY: dict[str, Any] = {"messages": [], "context": None, "tokens": 0}
DONE: dict[str, Any] = {"status": "Ok"}


def _hit(found: Ranked) -> dict[str, Any]:
    message, distance = found.message, 1 - found.score
    return {
        "role": message.role,
        "content": text_of(message.content),
        "dist": round(min(max(distance, 0.0), 1.0), 6),
    }


def _error_answer(request: Request, error: Exception) -> Response:
    headers = {}
    match error:
        case RequestValidationError():
            first = error.errors()[0]
            reason = f"{field_of(first['loc'])}: {reason_of(first)}"
        case HTTPException():
            reason = str(error.detail)
        case _:
            reason = str(error)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after_seconds)
    return Json({"error": reason}, status_of(error, invalid=400), headers)


# Routes.

Shape = Callable[[Any], Any]


def _plain(answer: Any) -> Any:
    return answer


def _wrapped(answer: Any) -> Any:
    return {"data": answer}


def router(settings: Settings) -> APIRouter:
    """Return a router of both editions.

    The self-hosted one is at the prefix in the settings, the managed one at ``/v1/motorhead`` below it.
    """
    base = settings.motorhead_prefix.rstrip("/")
    router = protocol_router(route_class(_error_answer))
    _add_edition(router, settings, _plain, base)
    _add_edition(router, settings, _wrapped, f"{base}/v1/motorhead")
    _add_keys(router, base)
    return router


def _add_edition(router: APIRouter, settings: Settings, shape: Shape, prefix: str) -> None:
    """Add all routes of a Motorhead server at ``prefix``; ``shape`` is applied to each response."""
    at_memory = f"{prefix}/sessions/{{session_id}}/memory"

    async def get_health() -> Response:
        headers = (
            {} if prefix else {"Vary": "Accept"}
        )  # a browser gets a page there; see api.http.routes.pages
        return Json(shape(_health()), headers=headers)

    for path in {prefix, f"{prefix}/"} - {""}:
        router.get(path)(get_health)

    @router.get(f"{prefix}/sessions")
    async def get_sessions(
        request: Request,
        page: Annotated[int, Query(ge=1)] = 1,
        size: Annotated[int, Query(ge=1, le=SIZE_MAX)] = 10,
        namespace: Text = "",
    ) -> Response:
        visitor = await _visit_with_key(request)
        if page > PAGE_MAX:
            return PlainTextResponse("Page size must not exceed 100", 400)
        return Json(shape(await _listed(visitor, namespace, Numbered(page, size))))

    @router.get(at_memory)
    async def get_memory(request: Request, session_id: NameInPath) -> Response:
        visitor = await _visit_with_key(request)
        return Json(shape(await _remembered(visitor, session_id, settings.motorhead_window + 1)))

    @router.post(at_memory)
    async def post_memory(request: Request, session_id: NameInPath, namespace: Text = "") -> Response:
        visitor = await _visit_with_key(request)
        await visitor.execute(_addition(session_id, await _json_body(request, _NewMemory), namespace))
        return Json(shape(DONE))

    @router.delete(at_memory)
    async def delete_memory(request: Request, session_id: NameInPath, namespace: Text = "") -> Response:
        visitor = await _visit_with_key(request)
        await _forget(visitor, session_id, namespace)
        return Json(shape(DONE))

    @router.post(f"{prefix}/sessions/{{session_id}}/retrieval")
    async def post_retrieval(request: Request, session_id: NameInPath) -> Response:
        visitor = await _visit_with_key(request, scope="read")
        question = await _json_body(request, _Question)
        if not settings.motorhead_long_term_memory:
            return PlainTextResponse("Long term memory is disabled", 400)
        search = Search(text=question.text, limit=HITS_MAX)
        found = await visitor.find_whole(rank_messages, "session", session_id, search)
        return Json(shape(list(map(_hit, found))))


def _add_keys(router: APIRouter, base: str) -> None:
    """Add the routes at which clients of the managed edition check their key."""

    @router.get(f"{base}/v1/keys/current")
    @router.get(f"{base}/v1/motorhead/keys/current")
    async def get_current_key(request: Request) -> Response:
        await _visit_with_key(request)
        return Json(_wrapped(DONE))


async def _visit_with_key(request: Request, scope: str | None = None) -> Visit:
    return await visit(request, scope=scope, key=request.headers.get("x-metal-api-key"))


async def _json_body(request: Request, model: type[M]) -> M:
    """Return the body as a ``model``. Raises BodyInvalid, also if the Content-Type is not JSON."""
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise BodyInvalid("", "the content type must be application/json", is_json=False)
    return await body_as(request, model)


# Translation into commands and queries.


async def _listed(visitor: Visit, namespace: str, page: Numbered) -> list[str]:
    """Return the names of the sessions in a namespace, the one whose last message is oldest first."""
    in_namespace = Filter(scope="", metadata={OURS: {"namespaces": {namespace: True}}})
    sessions = await visitor.find(list_sessions_last_spoken_in, page, in_namespace)
    return [session.name for session in sessions]


async def _remembered(visitor: Visit, name: str, limit: int) -> dict[str, Any]:
    try:
        session = await visitor.find(get_session, name)
        page = await visitor.find_whole(_newest_of, name, limit)
    except NotFound:
        return NO_MEMORY
    return _memory(session, page.items)


def _newest_of(
    database: Database, project: str, name: str, limit: int, *, bytes_max: int = PAGE_BYTES_MAX
) -> Page[MessageState]:
    """Return the newest messages of a session, newest first. Raises NotFound, TooLarge."""
    window = Window(limit, "newest", bytes_max=bytes_max, is_whole=True)
    return page_messages(database, project, "session", name, window)


def _addition(name: str, new: _NewMemory, namespace: str) -> AddMessages:
    """Return the command that adds messages.

    If it brings a deleted session back, the session's former context, tokens and namespaces are dropped.
    """
    facts: dict[str, JsonValue] = {"namespaces": {namespace: True}}
    if new.context is not None:
        facts["context"] = new.context
    return AddMessages(
        kind=Session.KIND,
        name=name,
        messages=[_message_from(utterance) for utterance in new.messages],
        metadata={OURS: facts},
        existing_metadata="merge",
        renewal={OURS: None},
    )


def _message_from(utterance: _Utterance) -> Message:
    return Message(id=uuid7(), role=utterance.role, content=utterance.content)


async def _forget(visitor: Visit, name: str, namespace: str) -> None:
    """Delete a session, or empty it and keep it in the other namespaces that list it."""
    nothing: JsonValue = {"context": None, "tokens": 0, "namespaces": {namespace: False}}

    def is_over(session: Session) -> bool:
        return _namespaces(session) <= {namespace}

    with suppress(NotFound):
        await visitor.execute(Clear(kind=Session.KIND, name=name, metadata={OURS: nothing}, is_over=is_over))


def _known(session: Session) -> dict[str, JsonValue]:
    """Return the members of the session's metadata that belong to this protocol."""
    ours = (session.metadata or {}).get(OURS)
    return ours if isinstance(ours, dict) else {}


def _namespaces(session: Session) -> set[str]:
    """Return the namespaces whose listings include a session."""
    named = _known(session).get("namespaces")
    return {name for name, is_in in named.items() if is_in is True} if isinstance(named, dict) else set()
