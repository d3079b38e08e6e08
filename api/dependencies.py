"""What routes ask for, as types: the store, the caller, a page, a moment, the state of a request.

All are coroutines, also those that wait for nothing: FastAPI sends a plain function to a thread and
waits for it, which costs more than anything done here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Header, Path, Query, Request
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool

from api.keys import LOCAL, Caller, KeyRing
from api.live import Tail
from api.metrics import Metrics
from api.middleware import SLASH_IN_SEGMENT
from api.problems import Forbidden, Unauthorized
from api.resources import ID_EXAMPLE, SentMoment
from api.settings import Settings, is_loopback
from domain.commands import Command
from domain.errors import InvalidInput
from domain.events import Context, Idempotency
from domain.values import Metadata, Text, check_name, to_utc
from eventlog.application import Recount
from eventlog.changes import Outcome
from eventlog.database import Database
from projections.history import AsOf
from projections.paging import LIMIT_DEFAULT, LIMIT_MAX, Filter, Order, Window

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
VERSION_TAG = re.compile(r'("?)([0-9]{1,18})\1')
METADATA = TypeAdapter(Metadata)
MOMENT = TypeAdapter(SentMoment)


@dataclass(frozen=True)
class Store:
    """Everything that lives as long as the server process (see api.app, which makes it)."""

    settings: Settings
    database: Database
    application: Recount
    keys: KeyRing
    tail: Tail
    metrics: Metrics

    async def execute(self, command: Command, context: Context) -> Outcome:
        """Carry out a command. Raises Refused, NotFound or Unavailable."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Outcome] = loop.create_future()

        def answer(answer: Outcome | BaseException) -> None:
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(settle, answered, answer)

        self.application.send(command, context, answer)
        outcome = await answered
        if not outcome.is_repeat:
            self.metrics.events_recorded.inc(len(outcome.events))
        return outcome


def settle(answered: asyncio.Future[Outcome], answer: Outcome | BaseException) -> None:
    if answered.done():  # the caller hung up
        return
    if isinstance(answer, BaseException):
        answered.set_exception(answer)
    else:
        answered.set_result(answer)


async def store(request: Request) -> Store:
    found: Store = request.app.state.store
    return found


async def caller(request: Request, store: Annotated[Store, Depends(store)]) -> Caller:
    """Who calls. Raises Unauthorized."""
    text = key_in(request)
    is_fresh, found = store.keys.remembered(text)
    if not is_fresh:
        found = await run_in_threadpool(store.keys.caller, text)
    if found is None:
        raise Unauthorized(
            "this key is not one of ours"
            if text is not None
            else "send an API key as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'"
        )
    if found is LOCAL:
        refuse_strange_pages(request)
    return found


def refuse_strange_pages(request: Request) -> None:
    """Keep web pages in somebody's browser from using a server without keys. Raises Forbidden.

    A page can send requests to 127.0.0.1, also under a name of its own (DNS rebinding); the name
    shows in the Host header, and browsers say when a request crosses sites.
    """
    host = request.headers.get("host", "localhost")
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    if not is_loopback(name.lower()) or request.headers.get("sec-fetch-site") == "cross-site":
        raise Forbidden("without API keys only this machine is answered, and no strange web page")


def key_in(request: Request) -> str | None:
    """The key as it was sent: a bearer token, or the header X-API-Key."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.headers.get("x-api-key")


def needs(scope: str) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency: the caller, who has ``scope``. Raises Forbidden."""

    async def check(caller: Annotated[Caller, Depends(caller)]) -> Caller:
        if not caller.may(scope):
            raise Forbidden(f"this key lacks the scope '{scope}'")
        return caller

    return check


@dataclass(frozen=True)
class Writing:
    """A request that may write: its store, and the context of what it records."""

    store: Store
    context: Context
    expected_version: int | None

    async def execute(self, command: Command) -> Outcome:
        return await self.store.execute(command, self.context)


async def writing(
    request: Request,
    store: Annotated[Store, Depends(store)],
    caller: Annotated[Caller, Depends(needs("write"))],
    idempotency_key: Annotated[
        str | None, Header(description="repeat the request with the same key: it is done once")
    ] = None,
    if_match: Annotated[str | None, Header(description="only if it is at this version (ETag)")] = None,
) -> Writing:
    context = Context(
        project=caller.project,
        actor=caller.actor,
        at=datetime.now(UTC),
        request_id=request.scope["request_id"],
        idempotency=await idempotency(request, idempotency_key),
    )
    return Writing(store, context, expected_version(if_match))


async def idempotency(request: Request, key: str | None) -> Idempotency | None:
    if key is None:
        return None
    if not IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidInput("Idempotency-Key", "must be 1 to 255 printable ASCII characters")
    target = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    fingerprint = hashlib.sha256(target + await request.body()).hexdigest()
    return Idempotency(key=key, fingerprint=fingerprint)


def expected_version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    match = VERSION_TAG.fullmatch(if_match.strip())
    if match is None:
        raise InvalidInput("If-Match", 'must be a version, as the ETag "3"')
    return int(match[2])


@dataclass(frozen=True)
class Reading:
    """A request that reads: its store and project."""

    store: Store
    project: str


async def reading(
    store: Annotated[Store, Depends(store)], caller: Annotated[Caller, Depends(needs("read"))]
) -> Reading:
    return Reading(store, caller.project)


async def window(
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    order: Annotated[Order, Query(description="which end to begin with")] = "oldest",
    cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the page before")] = None,
) -> Window:
    return Window(limit, order, cursor)


async def newest_window(
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    order: Annotated[Order, Query(description="which end to begin with")] = "newest",
    cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the page before")] = None,
) -> Window:
    return Window(limit, order, cursor)


async def criteria(
    metadata: Annotated[str | None, Query(description="a JSON object that the metadata must contain")] = None,
    since: Annotated[str | None, Query(description="from this time on (RFC 3339)")] = None,
    until: Annotated[str | None, Query(description="before this time (RFC 3339)")] = None,
    deleted: Annotated[Literal["false", "true", "any"], Query()] = "false",
) -> Filter:
    return Filter(
        metadata=None if metadata is None else metadata_in(metadata),
        since=None if since is None else moment_in("since", since),
        until=None if until is None else moment_in("until", until),
        deleted={"false": False, "true": True, "any": None}[deleted],
    )


async def criteria_with_user(
    criteria: Annotated[Filter, Depends(criteria)], user_id: Annotated[Text | None, Query()] = None
) -> Filter:
    return replace(criteria, user_id=user_id)


def checked(field: str, check: Callable[[str], str], value: str) -> str:
    try:
        return check(value)
    except ValueError as error:
        raise InvalidInput(field, str(error)) from None


def metadata_in(text: str) -> dict[str, Any]:
    try:
        return METADATA.validate_python(json.loads(text))
    except (ValidationError, ValueError, RecursionError):
        raise InvalidInput("metadata", "must be a JSON object") from None


def moment_in(field: str, text: str) -> datetime:
    try:
        return to_utc(MOMENT.validate_python(text))
    except (ValidationError, ValueError):
        raise InvalidInput(field, "must be a time like 2026-11-20T19:50:25Z") from None


async def as_of(
    as_of: Annotated[
        str | None,
        Query(max_length=64, description="as it was: a version (7) or a time (RFC 3339)"),
    ] = None,
) -> AsOf | None:
    if as_of is None:
        return None
    if as_of.isdecimal() and as_of.isascii() and len(as_of) <= 18:
        return AsOf(version=int(as_of))
    return AsOf(moment=moment_in("as_of", as_of))


def name_in_path(field: str, value: str) -> str:
    """A path segment as a name, an encoded slash and all. Raises InvalidInput."""
    return checked(field, check_name, value.replace(SLASH_IN_SEGMENT, "/"))


async def session_name(session_id: Annotated[str, Path(examples=["trip-to-lisbon"])]) -> str:
    return name_in_path("session_id", session_id)


async def user_name(user_id: Annotated[str, Path(examples=["ana"])]) -> str:
    return name_in_path("user_id", user_id)


MessageId = Annotated[UUID, Path(examples=[ID_EXAMPLE])]
ThreadId = Annotated[UUID, Path(examples=[ID_EXAMPLE])]
StoreOf = Annotated[Store, Depends(store)]
Write = Annotated[Writing, Depends(writing)]
Read = Annotated[Reading, Depends(reading)]
Admin = Annotated[Caller, Depends(needs("admin"))]
Windowed = Annotated[Window, Depends(window)]
WindowedNewest = Annotated[Window, Depends(newest_window)]
Filtered = Annotated[Filter, Depends(criteria)]
FilteredByUser = Annotated[Filter, Depends(criteria_with_user)]
Role = Annotated[Text | None, Query()]
Moment_ = Annotated[AsOf | None, Depends(as_of)]
SessionName = Annotated[str, Depends(session_name)]
UserName = Annotated[str, Depends(user_name)]
