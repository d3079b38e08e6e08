"""Dependencies of routes, as types: the store, the caller, the name in the path.

They are few, and they call each other directly, not through FastAPI. All are coroutines, also those
that wait for nothing, for FastAPI runs a plain function in a thread. Either would cost more than
anything done here.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from typing import Annotated, Concatenate, ParamSpec, TypeVar
from uuid import UUID

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AfterValidator

from recountdb.api.http.long_answers import Permission
from recountdb.api.http.middleware import SLASH_IN_SEGMENT
from recountdb.api.http.positions import HEADER
from recountdb.api.http.problems import Forbidden, Unauthorized
from recountdb.api.http.store import PROJECT as PROJECT
from recountdb.api.http.store import Store as Store
from recountdb.api.schemas.examples import ID_EXAMPLE
from recountdb.api.services.keys import LOCAL, Caller
from recountdb.api.settings import is_loopback
from recountdb.domain.commands.base import Command, Name
from recountdb.domain.errors import InvalidInput
from recountdb.domain.events import Context, Idempotency
from recountdb.domain.sessions import Session
from recountdb.domain.values import NAME_LENGTH_MAX, Text, check_name
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.write.ports import Outcome

P = ParamSpec("P")
R = TypeVar("R")

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
VERSION_TAG = re.compile(r'(?:W/(?="))?("?)([0-9]{1,18})\1')
"""A version, also as a weak tag: a proxy that compresses weakens tags, but the stored version is the same."""


async def store(request: Request) -> Store:
    found: Store = request.app.state.store
    return found


async def caller(request: Request, store: Store, scope: str, *, key: str | None = None) -> Caller:
    """Return the caller, who must have ``scope``. Raises Unauthorized or Forbidden.

    ``key`` is a key sent in a way that only some clients use. A key in the usual headers comes first.
    """
    text = key_in(request) or key
    is_fresh, found = store.keys.remembered(text)
    if not is_fresh:
        found = await store.call(store.keys.caller, text)
    if found is None:
        raise Unauthorized(
            "unknown API key"
            if text is not None
            else "send an API key as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'"
        )
    if found is LOCAL:
        _refuse_strange_pages(request, store.settings.cors_origins)
    request.scope["caller"] = found
    PROJECT.set(found.project)
    if not found.may(scope):
        raise Forbidden(f"this key lacks the scope '{scope}'")
    request.scope["permission"] = Permission(text, scope, found)
    return found


def _refuse_strange_pages(request: Request, origins: Collection[str]) -> None:
    """Keep web pages in somebody's browser from using a server without keys. Raises Forbidden.

    A page can send requests to 127.0.0.1, also under a name of its own (DNS rebinding). The Host header
    shows the name, and browsers say when a request crosses sites. Pages of ``origins`` may cross; ``*``
    lets no page in here, for it would let in every page that somebody visits.
    """
    host = request.headers.get("host", "localhost")
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    is_strange = request.headers.get("sec-fetch-site") == "cross-site"
    if not is_loopback(name.lower()) or (is_strange and request.headers.get("origin") not in origins):
        raise Forbidden(
            "without API keys only programs on this machine are answered, and no web page of another site:"
            " make a key with 'recount keys create', or name the page's origin in RECOUNT_CORS_ORIGINS"
        )


def key_in(request: Request) -> str | None:
    """Return the key that was sent as a bearer token, in the header X-API-Key or by HTTP Basic, or None."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    key = request.headers.get("x-api-key")
    if key is None and scheme.lower() == "basic":
        return _key_in_basic(token)
    return key


def _key_in_basic(token: str) -> str:
    """Return the password, or the user name if the password is empty, or "" for a malformed token."""
    try:
        user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
    except ValueError:
        return ""
    return password or user


@dataclass(frozen=True)
class WriteContext:
    """A request that may write: its store, the context of what it records, and the scope of sessions."""

    store: Store
    context: Context
    expected_version: int | None
    scope: str

    async def execute(self, command: Command) -> Outcome:
        """Carry out a command. A command about a session gets the scope of the request."""
        if self.scope and command.kind == Session.KIND:
            command = replace(command, scope=self.scope)
        return await self.store.execute(command, self.context)

    def name(self, kind: str, name: str) -> Name:
        """Return the full name, in the project and scope."""
        return Name(self.context.project, kind, self.scope if kind == Session.KIND else "", name)


IdempotencyKey = Annotated[
    str | None, Header(description="repeat the request with the same key: it is done once")
]
IfMatch = Annotated[str | None, Header(description="only if it is at this version (ETag)")]


async def write_context(
    request: Request, idempotency_key: IdempotencyKey = None, if_match: IfMatch = None
) -> WriteContext:
    return await _make_write_context("write", request, idempotency_key, if_match)


async def admin_write_context(
    request: Request, idempotency_key: IdempotencyKey = None, if_match: IfMatch = None
) -> WriteContext:
    """Return the same as ``write_context``, for callers with the scope ``admin``."""
    return await _make_write_context("admin", request, idempotency_key, if_match)


async def purge_context(request: Request) -> WriteContext:
    """Return the same, without its headers: a purge is of everything, and harmless to repeat.

    A purge is many commands, of which only the first would be carried out under one Idempotency-Key.
    """
    return await _make_write_context("admin", request, None, None)


async def _make_write_context(
    scope: str, request: Request, key: str | None, if_match: str | None
) -> WriteContext:
    here = await store(request)
    who = await caller(request, here, scope)
    request_key = await idempotency(request, key)
    context = Context(
        project=who.project,
        actor=who.actor,
        at=here.now(),  # taken last, for a body may take long to arrive
        request_id=request.scope["request_id"],
        idempotency=request_key,
    )
    return WriteContext(here, context, expected_version(if_match), _scope_in(request))


def _scope_in(request: Request) -> str:
    """Return the scope of the sessions that a request names; empty by default (see ``session_name``)."""
    if b"scope=" not in request.scope["query_string"]:
        return ""
    return request.query_params.get("scope", "")


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
class ReadContext:
    """A request that reads: its store, project, and the scope of sessions."""

    store: Store
    project: str
    scope: str

    async def find(
        self, function: Callable[Concatenate[Database, str, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Return what ``function`` finds in the project's views."""
        return await self.store.call(function, self.store.database, self.project, *args, **kwargs)

    async def recall(
        self, function: Callable[Concatenate[Recount, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Return what ``function`` makes of the log."""
        return await self.store.call(function, self.store.application, *args, **kwargs)

    def name(self, kind: str, name: str) -> Name:
        """Return the full name, in the project and scope."""
        return Name(self.project, kind, self.scope if kind == Session.KIND else "", name)


AskedPosition = Annotated[
    str | None,
    Header(alias=HEADER, description="see what was written up to there, as the answer to a write has it"),
]


async def read_context(request: Request, recount_position: AskedPosition = None) -> ReadContext:
    """Return the context of a read. The header is only documented here; api.http.positions reads it."""
    return await _make_read_context("read", request)


async def admin_read_context(request: Request, recount_position: AskedPosition = None) -> ReadContext:
    """Return the same as ``read_context``, for callers with the scope ``admin``."""
    return await _make_read_context("admin", request)


async def _primary_read_context(request: Request) -> ReadContext:
    """Return the same as ``read_context``, but always at the primary, for streams that follow the log."""
    here = await store(request)
    who = await caller(request, here, "read")
    return ReadContext(here, who.project, _scope_in(request))


async def _make_read_context(scope: str, request: Request) -> ReadContext:
    here = await store(request)
    who = await caller(request, here, scope)
    return ReadContext(await here.for_read(request), who.project, _scope_in(request))


@dataclass(frozen=True)
class ManageContext(ReadContext):
    """A request that changes something outside of the log, such as a webhook."""

    idempotency: Idempotency | None


async def manage_context(request: Request, idempotency_key: IdempotencyKey = None) -> ManageContext:
    """Return the context of a change outside of the log, for callers with the scope ``admin``."""
    return await _make_manage_context("admin", request, idempotency_key)


async def _make_manage_context(scope: str, request: Request, key: str | None) -> ManageContext:
    here = await store(request)
    who = await caller(request, here, scope)
    return ManageContext(here, who.project, _scope_in(request), await idempotency(request, key))


async def operator_store(request: Request) -> Store:
    """Return the store, for callers with the scope ``operator``."""
    here = await store(request)
    await caller(request, here, "operator")
    return here


async def operator_manage_context(request: Request, idempotency_key: IdempotencyKey = None) -> ManageContext:
    """Return the context of a change outside of the log, for callers with the scope ``operator``."""
    return await _make_manage_context("operator", request, idempotency_key)


def name_in_path(segment: str) -> str:
    """Return a path segment as a name, with its encoded slashes decoded. Raises ValueError."""
    return check_name(segment.replace(SLASH_IN_SEGMENT, "/"))


NameInPath = Annotated[str, AfterValidator(name_in_path)]


async def session_name(
    session_id: Annotated[NameInPath, Path(examples=["trip-to-lisbon"])],
    scope: Annotated[
        Text, Query(max_length=NAME_LENGTH_MAX, description="the flow that a foreign protocol filed it under")
    ] = "",
) -> str:
    """Return the name; check and document ``scope``, which the contexts of reads and writes take up."""
    return session_id


async def user_name(user_id: Annotated[NameInPath, Path(examples=["ana"])]) -> str:
    return user_id


MessageId = Annotated[UUID, Path(examples=[ID_EXAMPLE])]
ThreadId = Annotated[UUID, Path(examples=[ID_EXAMPLE])]
StoreOf = Annotated[Store, Depends(store)]
Write = Annotated[WriteContext, Depends(write_context)]
AdminWrite = Annotated[WriteContext, Depends(admin_write_context)]
Erase = Annotated[WriteContext, Depends(purge_context)]
Read = Annotated[ReadContext, Depends(read_context)]
Follow = Annotated[ReadContext, Depends(_primary_read_context)]
AdminRead = Annotated[ReadContext, Depends(admin_read_context)]
Manage = Annotated[ManageContext, Depends(manage_context)]
Maintain = Annotated[ManageContext, Depends(operator_manage_context)]
Operate = Annotated[Store, Depends(operator_store)]
SessionName = Annotated[str, Depends(session_name)]
UserName = Annotated[str, Depends(user_name)]

NameOf = Callable[..., Awaitable[str]]
"""A dependency that takes the name of something from the path."""
