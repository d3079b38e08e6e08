"""Zep's routes, in the order of its contract: sessions, memory, messages, search, users, health."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from recountdb.api.http.context import name_in_path
from recountdb.api.protocols.base import Visit, body_as, protocol_router, route_class, visit
from recountdb.api.protocols.zep.answers import COOKIE, answered, ok, refuse, text, told
from recountdb.api.protocols.zep.memory import memory_of
from recountdb.api.protocols.zep.models import (
    MetadataPatch,
    NewMemory,
    NewSession,
    SearchPayload,
    UserMembers,
    memory_object,
    message_object,
    search_result,
    session_object,
    user_object,
)
from recountdb.api.protocols.zep.searching import candidates, is_diverse, search_for, weight
from recountdb.api.services.purge import carry_out
from recountdb.api.settings import Settings
from recountdb.domain.commands import AddMessages, ChangeMessage, ChangeUser, Delete, MergeMetadata, Start
from recountdb.domain.errors import AlreadyExists, MessageIdTaken, NotFound, OnHold
from recountdb.domain.sessions import Session
from recountdb.domain.users import Profile, User
from recountdb.domain.values import check_name
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.queries.paging import KEY_MAX, PAGE_BYTES_MAX, Filter, Page, Window, cursor_for
from recountdb.projections.queries.purge import of_user, rehearse
from recountdb.projections.queries.search import diversified, rank_messages
from recountdb.projections.views.messages import get_message_in, known_ids, numbered_page
from recountdb.projections.views.sessions import get_session, list_sessions
from recountdb.projections.views.users import get_user, list_users

EVERYTHING = 2**40  # rows; more than any store has
PAGE_DEFAULT = 100  # messages on a page whose size is not a number
PURGE_SECONDS_MAX = 8  # of waiting for another purge; zep-python waits 10 s for a response
DELETED_THROUGH_ZEP = "deleted through Zep's API"
PLACES = ("/api/v1/sessions", "/api/v1/user", "/api/v1/collection", "/healthz")
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


class _ZepRoute(route_class(told)):  # type: ignore[misc]
    """Route that ignores repeated and trailing slashes in a path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = _without_spare_slashes(scope["path"])
        return super().matches({**scope, "path": path})  # type: ignore[no-any-return]


def _without_spare_slashes(path: str) -> str:
    return re.sub("/{2,}", "/", path).rstrip("/") or "/"


def router(settings: Settings) -> APIRouter:
    """Return a router with all of Zep's routes that the package's docstring names."""
    router = protocol_router(_ZepRoute)
    _add_session_routes(router)
    _add_memory_routes(router, settings.zep_message_window)
    _add_message_routes(router)
    _add_user_routes(router)
    _add_health_route(router)
    _add_stray_routes(router)
    return router


def _add_session_routes(router: APIRouter) -> None:
    @router.get("/api/v1/sessions")
    async def list_all(request: Request) -> Response:
        here = await _visited(request)
        sessions = await here.find_whole(_all_sessions, _window_of(request), Filter(scope=""))
        return answered(list(map(session_object, sessions.items)))

    @router.post("/api/v1/sessions")
    async def create(request: Request) -> Response:
        here = await _visited(request)
        body = await body_as(request, NewSession)
        name = _checked(body.session_id, "session_id")
        if body.user_id is not None and not await _is_user(here, body.user_id):
            refuse(f"user does not exist with user_id: {body.user_id}")
        start = Start(kind=Session.KIND, name=name, user_id=body.user_id, metadata=body.metadata)
        return answered(session_object(await _started(here, start)), 201)

    @router.get("/api/v1/sessions/{session_id}")
    async def get(session_id: str, request: Request) -> Response:
        here = await _visited(request)
        return answered(session_object(await here.find(get_session, _named(session_id, Session.KIND))))

    @router.patch("/api/v1/sessions/{session_id}")
    async def merge_metadata(session_id: str, request: Request) -> Response:
        here = await _visited(request)
        body = await body_as(request, MetadataPatch)
        command = MergeMetadata(
            kind=Session.KIND,
            name=_named(session_id, Session.KIND),
            metadata=body.merged,
            leaves_trace=body.metadata is None or bool(body.merged),
        )
        outcome = await here.execute(command)
        return answered(session_object(outcome.state))  # type: ignore[arg-type]


def _add_memory_routes(router: APIRouter, message_window: int) -> None:
    @router.get("/api/v1/sessions/{session_id}/memory")
    async def get(session_id: str, request: Request) -> Response:
        here = await _visited(request)
        wanted = _integer(request, "lastn")
        if wanted < 0:
            refuse("lastn must not be negative")
        last = min(wanted, EVERYTHING)
        memory = memory_object((), None)
        with suppress(NotFound):
            found = await here.find_whole(
                memory_of, _named_loosely(session_id), last=last, window=message_window
            )
            memory = memory_object(*found)
        return answered(memory)

    @router.post("/api/v1/sessions/{session_id}/memory")
    async def add(session_id: str, request: Request) -> Response:
        here = await _visited(request)
        body = await body_as(request, NewMemory)
        messages = body.messages or []
        given = [message.given_id for message in messages if message.given_id is not None]
        taken = await here.find(known_ids, given) if given else ()
        if taken:  # possibly in another session, which the command does not check
            raise MessageIdTaken(min(taken))
        name = _checked(_named_loosely(session_id), "session_id")
        command = AddMessages(
            kind=Session.KIND,
            name=name,
            messages=[message.to_message() for message in messages],
            given_ids=frozenset(given),
            known_ids="refuse",
        )
        outcome = await here.execute(command)
        if not outcome.events:  # no messages for a live session: touch it all the same
            await here.execute(MergeMetadata(kind=Session.KIND, name=name, metadata={}, leaves_trace=True))
        return ok()

    @router.delete("/api/v1/sessions/{session_id}/memory")
    async def delete(session_id: str, request: Request) -> Response:
        here = await _visited(request)
        command = Delete(kind=Session.KIND, name=_named(session_id, Session.KIND), reason=DELETED_THROUGH_ZEP)
        outcome = await here.execute(command)
        if not outcome.events:
            raise NotFound(Session.KIND)
        return ok()

    @router.post("/api/v1/sessions/{session_id}/search")
    async def search(session_id: str, request: Request) -> Response:
        here = await _visited(request)
        body = await body_as(request, SearchPayload)
        wanted = search_for(body, _integer(request, "limit"))
        if body.search_scope == "summary":
            return answered([])
        limit = wanted.limit
        if is_diverse(body):
            wanted = replace(wanted, limit=candidates(limit))
        found = await here.find_whole(rank_messages, "session", _named_loosely(session_id), wanted)
        if is_diverse(body):
            found = await here.store.call(diversified, found, limit, weight=weight(body))
        return answered(list(map(search_result, found)))


def _add_message_routes(router: APIRouter) -> None:
    @router.get("/api/v1/sessions/{session_id}/messages")
    async def page(session_id: str, request: Request) -> Response:
        here = await _visited(request)
        size = _integer(request, "limit", otherwise=PAGE_DEFAULT)
        number = max(_integer(request, "cursor", otherwise=1), 1)
        name = _named_loosely(session_id)
        wanted = min(size, EVERYTHING) if size > 0 else None
        messages, total = await here.find_whole(numbered_page, "session", name, number=number, size=wanted)
        found = list(map(message_object, messages))
        return answered({"messages": found, "total_count": total, "row_count": len(found)})

    @router.get("/api/v1/sessions/{session_id}/messages/{message_id}")
    async def get(session_id: str, message_id: str, request: Request) -> Response:
        here = await _visited(request)
        return answered(await _found_message(here, session_id, _identified(message_id)))

    @router.patch("/api/v1/sessions/{session_id}/messages/{message_id}")
    async def merge_metadata(session_id: str, message_id: str, request: Request) -> Response:
        here = await _visited(request)
        body = await body_as(request, MetadataPatch)
        command = ChangeMessage(
            kind=Session.KIND,
            name=_named(session_id, Session.KIND),
            message_id=_identified(message_id),
            metadata=body.merged,
        )
        await here.execute(command)
        return answered(await _found_message(here, session_id, command.message_id))


def _add_user_routes(router: APIRouter) -> None:
    @router.get("/api/v1/user")
    async def list_all(request: Request) -> Response:
        here = await _visited(request)
        users = await here.find_whole(_all_users, _window_of(request))
        return answered(list(map(user_object, users.items)))

    @router.post("/api/v1/user")
    async def create(request: Request) -> Response:
        here = await _visited(request)
        body = await body_as(request, UserMembers)
        if not body.user_id:
            refuse("UserID cannot be empty")
        name = _checked(body.user_id, "user_id")
        profile = Profile.model_validate(body.profile)
        start = Start(kind=User.KIND, name=name, profile=profile, metadata=body.metadata)
        return answered(user_object(await _started(here, start)), 201)

    @router.get("/api/v1/user/{user_id}")
    async def get(user_id: str, request: Request) -> Response:
        here = await _visited(request)
        return answered(user_object(await here.find(get_user, _named(user_id, User.KIND))))

    @router.patch("/api/v1/user/{user_id}")
    async def change(user_id: str, request: Request) -> Response:
        here = await _visited(request)
        body = await body_as(request, UserMembers)
        name = _named(user_id, User.KIND)
        await here.find(get_user, name)  # to Zep, a deleted user does not exist
        outcome = await here.execute(ChangeUser(name=name, changes=body.profile, metadata=body.metadata))
        return answered(user_object(outcome.state))  # type: ignore[arg-type]

    @router.delete("/api/v1/user/{user_id}")
    async def delete(user_id: str, request: Request) -> Response:
        here = await _visited(request)
        name = _named(user_id, User.KIND)
        await here.find(get_user, name)
        await here.store.call(_purge_user, here, name)
        return ok()

    @router.get("/api/v1/user/{user_id}/sessions")
    async def sessions(user_id: str, request: Request) -> Response:
        here = await _visited(request)
        owned = Filter(scope="", user_id=_named_loosely(user_id))
        found = await here.find_whole(_all_sessions, Window(limit=EVERYTHING), owned)
        return answered(list(map(session_object, found.items)))


def _add_health_route(router: APIRouter) -> None:
    @router.api_route("/healthz", methods=["GET", "HEAD"])
    async def health() -> Response:
        return text(".")


def _add_stray_routes(router: APIRouter) -> None:
    """Add routes that answer, as Zep does, requests at Zep's addresses for which no earlier route exists.

    The routes added before count as known: another method there is a 405, any other path a 404.
    """
    known = [route.path_regex for route in router.routes if isinstance(route, _ZepRoute)]

    async def stray(request: Request) -> Response:
        await _visited(request, scope="read")
        is_known = any(path.match(_without_spare_slashes(request.scope["path"])) for path in known)
        raise HTTPException(405 if is_known else 404, "method not allowed" if is_known else "not found")

    for place in PLACES:
        router.add_api_route(place, stray, methods=METHODS)
        router.add_api_route(f"{place}/{{rest:path}}", stray, methods=METHODS)


async def _visited(request: Request, *, scope: str | None = None) -> Visit:
    return await visit(request, scope=scope, key=request.cookies.get(COOKIE))


def _named_loosely(segment: str) -> str:
    """Return a path segment as a name; the empty text, which names nothing, if it is not a valid name."""
    with suppress(ValueError):
        return name_in_path(segment)
    return ""


def _named(segment: str, kind: str) -> str:
    """Return a path segment as a name. Raises NotFound if it is not a valid name."""
    try:
        return name_in_path(segment)
    except ValueError:
        raise NotFound(kind) from None


def _checked(name: str | None, member: str) -> str:
    """Return the name for something new. Raises an error that is answered with 400 if it is not valid."""
    try:
        return check_name(name or "")
    except ValueError as error:
        refuse(f"{member} {error}")


def _identified(segment: str) -> UUID:
    try:
        return UUID(segment)
    except ValueError:
        refuse("the message's uuid is none")


def _integer(request: Request, parameter: str, *, otherwise: int | None = None) -> int:
    """Return a number in the query; 0 if it is absent or empty.

    ``otherwise``: the result for a text that is not a number; None: raise an error that is answered with 400.
    """
    given = request.query_params.get(parameter, "")
    if not given:
        return 0
    if INTEGER.fullmatch(given) and abs(int(given)) <= KEY_MAX:
        return int(given)
    if otherwise is None:
        refuse(f"{parameter} must be an integer")
    return otherwise


def _window_of(request: Request) -> Window:
    """Return the page that Zep's ``limit`` and ``cursor``, the number of the last row before it, ask for."""
    limit, after = _integer(request, "limit"), _integer(request, "cursor")
    cursor = cursor_for(after, "oldest") if after > 0 else None
    count = min(limit, EVERYTHING) if limit > 0 else EVERYTHING
    return Window(limit=count, cursor=cursor)


def _all_sessions(
    database: Database, project: str, window: Window, criteria: Filter, *, bytes_max: int = PAGE_BYTES_MAX
) -> Page[Session]:
    """Return sessions as ``list_sessions`` does, all of the window. Raises TooLarge."""
    return list_sessions(database, project, replace(window, bytes_max=bytes_max, is_whole=True), criteria)


def _all_users(
    database: Database, project: str, window: Window, *, bytes_max: int = PAGE_BYTES_MAX
) -> Page[User]:
    """Return users as ``list_users`` does, all of the window. Raises TooLarge."""
    return list_users(database, project, replace(window, bytes_max=bytes_max, is_whole=True))


async def _started(here: Visit, start: Start) -> Any:
    """Start a session or user and return its state. One that exists already is answered with 400."""
    try:
        outcome = await here.execute(start)
    except AlreadyExists:
        refuse(f"{start.kind} already exists with {start.kind}_id: {start.name}")
    return outcome.state


async def _is_user(here: Visit, user_id: str) -> bool:
    with suppress(NotFound):
        await here.find(get_user, user_id)
        return True
    return False


async def _found_message(here: Visit, session_id: str, message_id: UUID) -> dict[str, Any]:
    name = _named(session_id, Session.KIND)
    return message_object(await here.find(get_message_in, "session", name, message_id))


def _purge_user(here: Visit, name: str) -> None:
    """Erase a user and everything of theirs, or nothing if a legal hold forbids it. Raises OnHold."""
    application = here.store.application
    targets = list(of_user(application.database, here.project, name))
    for target in targets:
        if rehearse(application, target).why_not is not None:
            raise OnHold(target.kind)
    carry_out(
        application,
        targets,
        lambda project: here.context,
        reason=DELETED_THROUGH_ZEP,
        insist=True,
        patience_seconds=PURGE_SECONDS_MAX,
    )
