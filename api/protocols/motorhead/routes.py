"""Motorhead, the memory server of Metal: self-hosted, and the managed edition that wrapped each answer.

It has no ids and no times of messages. A session's memory is its newest messages, a context that an
application or a model made of the older ones, and the tokens that this took. All but the messages is
in the session's metadata under ``motorhead``, as ``{"context": …, "tokens": …, "namespaces": {"": true}}``:
the namespaces are the listings that the session is in, the empty one that without a name.
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
"""Under this key of a session's metadata is what the store has no place for."""

PAGE_MAX = 100
SIZE_MAX = 2**53
HITS_MAX = 10

M = TypeVar("M", bound=BaseModel)


# What comes in. Members that are not known are passed over.


class Utterance(BaseModel):
    role: Text
    content: Text


class NewMemory(BaseModel):
    messages: list[Utterance]
    context: Text | None = None


class Question(BaseModel):
    text: Text


# What goes out.


def health() -> dict[str, Any]:
    return {"now": time.time_ns() // 1_000_000}


def memory(session: Session, messages: Sequence[MessageState]) -> dict[str, Any]:
    """``messages``: the newest first, as they stay."""
    context, tokens = known(session).get("context"), known(session).get("tokens")
    return {
        "messages": [{"role": message.role, "content": text_of(message.content)} for message in messages],
        "context": context if isinstance(context, str) else None,
        "tokens": tokens if type(tokens) is int else 0,
    }


NO_MEMORY: dict[str, Any] = {"messages": [], "context": None, "tokens": 0}
DONE: dict[str, Any] = {"status": "Ok"}


def hit(found: Ranked) -> dict[str, Any]:
    message, distance = found.message, 1 - found.score
    return {
        "role": message.role,
        "content": text_of(message.content),
        "dist": round(min(max(distance, 0.0), 1.0), 6),
    }


def error_answer(request: Request, error: Exception) -> Response:
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


# The routes.

Shape = Callable[[Any], Any]


def plain(answer: Any) -> Any:
    return answer


def wrapped(answer: Any) -> Any:
    return {"data": answer}


def router(settings: Settings) -> APIRouter:
    """Self-hosted at the prefix of the settings, and managed at ``/v1/motorhead`` under it."""
    base = settings.motorhead_prefix.rstrip("/")
    router = protocol_router(route_class(error_answer))
    add_edition(router, settings, plain, base)
    add_edition(router, settings, wrapped, f"{base}/v1/motorhead")
    add_keys(router, base)
    return router


def add_edition(router: APIRouter, settings: Settings, shape: Shape, prefix: str) -> None:
    """All that a Motorhead server at ``prefix`` answers, each answer in this ``shape``."""
    at_memory = f"{prefix}/sessions/{{session_id}}/memory"

    async def get_health() -> Response:
        headers = (
            {} if prefix else {"Vary": "Accept"}
        )  # a browser gets a page there; see api.http.routes.pages
        return Json(shape(health()), headers=headers)

    for path in {prefix, f"{prefix}/"} - {""}:
        router.get(path)(get_health)

    @router.get(f"{prefix}/sessions")
    async def get_sessions(
        request: Request,
        page: Annotated[int, Query(ge=1)] = 1,
        size: Annotated[int, Query(ge=1, le=SIZE_MAX)] = 10,
        namespace: Text = "",
    ) -> Response:
        visitor = await visit_with_key(request)
        if page > PAGE_MAX:
            return PlainTextResponse("Page size must not exceed 100", 400)
        return Json(shape(await listed(visitor, namespace, Numbered(page, size))))

    @router.get(at_memory)
    async def get_memory(request: Request, session_id: NameInPath) -> Response:
        visitor = await visit_with_key(request)
        return Json(shape(await remembered(visitor, session_id, settings.motorhead_window + 1)))

    @router.post(at_memory)
    async def post_memory(request: Request, session_id: NameInPath, namespace: Text = "") -> Response:
        visitor = await visit_with_key(request)
        await visitor.execute(addition(session_id, await json_body(request, NewMemory), namespace))
        return Json(shape(DONE))

    @router.delete(at_memory)
    async def delete_memory(request: Request, session_id: NameInPath, namespace: Text = "") -> Response:
        visitor = await visit_with_key(request)
        await forget(visitor, session_id, namespace)
        return Json(shape(DONE))

    @router.post(f"{prefix}/sessions/{{session_id}}/retrieval")
    async def post_retrieval(request: Request, session_id: NameInPath) -> Response:
        visitor = await visit_with_key(request, scope="read")
        question = await json_body(request, Question)
        if not settings.motorhead_long_term_memory:
            return PlainTextResponse("Long term memory is disabled", 400)
        search = Search(text=question.text, limit=HITS_MAX)
        found = await visitor.find_whole(rank_messages, "session", session_id, search)
        return Json(shape(list(map(hit, found))))


def add_keys(router: APIRouter, base: str) -> None:
    """Where clients of the managed edition see whether their key is good."""

    @router.get(f"{base}/v1/keys/current")
    @router.get(f"{base}/v1/motorhead/keys/current")
    async def get_current_key(request: Request) -> Response:
        await visit_with_key(request)
        return Json(wrapped(DONE))


async def visit_with_key(request: Request, scope: str | None = None) -> Visit:
    return await visit(request, scope=scope, key=request.headers.get("x-metal-api-key"))


async def json_body(request: Request, model: type[M]) -> M:
    """The body, unless it is said to be something other than JSON. Raises BodyInvalid."""
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise BodyInvalid("", "the content type must be application/json", is_json=False)
    return await body_as(request, model)


# The translation.


async def listed(visitor: Visit, namespace: str, page: Numbered) -> list[str]:
    """The names of the sessions of a namespace that were not posted to for the longest time, first."""
    in_namespace = Filter(scope="", metadata={OURS: {"namespaces": {namespace: True}}})
    sessions = await visitor.find(list_sessions_last_spoken_in, page, in_namespace)
    return [session.name for session in sessions]


async def remembered(visitor: Visit, name: str, limit: int) -> dict[str, Any]:
    try:
        session = await visitor.find(get_session, name)
        page = await visitor.find_whole(newest_of, name, limit)
    except NotFound:
        return NO_MEMORY
    return memory(session, page.items)


def newest_of(
    database: Database, project: str, name: str, limit: int, *, bytes_max: int = PAGE_BYTES_MAX
) -> Page[MessageState]:
    """Return the newest messages of a session, the newest first. Raises NotFound, TooLarge."""
    window = Window(limit, "newest", bytes_max=bytes_max, is_whole=True)
    return page_messages(database, project, "session", name, window)


def addition(name: str, new: NewMemory, namespace: str) -> AddMessages:
    """What was known of a deleted session is forgotten where this brings it back."""
    facts: dict[str, JsonValue] = {"namespaces": {namespace: True}}
    if new.context is not None:
        facts["context"] = new.context
    return AddMessages(
        kind=Session.KIND,
        name=name,
        messages=[message_from(utterance) for utterance in new.messages],
        metadata={OURS: facts},
        existing_metadata="merge",
        renewal={OURS: None},
    )


def message_from(utterance: Utterance) -> Message:
    return Message(id=uuid7(), role=utterance.role, content=utterance.content)


async def forget(visitor: Visit, name: str, namespace: str) -> None:
    """Delete a session; one that another namespace lists stays there, with nothing in it."""
    nothing: JsonValue = {"context": None, "tokens": 0, "namespaces": {namespace: False}}

    def is_over(session: Session) -> bool:
        return namespaces(session) <= {namespace}

    with suppress(NotFound):
        await visitor.execute(Clear(kind=Session.KIND, name=name, metadata={OURS: nothing}, is_over=is_over))


def known(session: Session) -> dict[str, JsonValue]:
    """What the session's metadata hold for this protocol."""
    ours = (session.metadata or {}).get(OURS)
    return ours if isinstance(ours, dict) else {}


def namespaces(session: Session) -> set[str]:
    """The listings that a session is in."""
    named = known(session).get("namespaces")
    return {name for name, is_in in named.items() if is_in is True} if isinstance(named, dict) else set()
