"""The common ground of all protocols: the caller, bodies, and errors in the protocol's own shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from recountdb.api.http.context import ReadContext, caller, store
from recountdb.api.http.incoming import BoundedRequest
from recountdb.api.http.long_answers import Answer
from recountdb.api.http.problems import STATUSES
from recountdb.api.http.routing import BoundedRoute
from recountdb.domain.aggregate import Aggregate
from recountdb.domain.commands.base import Command
from recountdb.domain.errors import AlreadyExists, ExpectationFailed, InvalidInput, RecountError, Unavailable
from recountdb.domain.events import Context
from recountdb.domain.exact_json import NotJson
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.failures import translate_error
from recountdb.eventlog.write.ports import Outcome
from recountdb.projections.lists.whole_lists import TooLarge

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")

P = ParamSpec("P")

UNHELD_BYTES = 2**20
"""The size up to which a list is read without waiting for room."""

AnswerError = Callable[[Request, Exception], Response]
"""A protocol's answer to a RecountError, a RequestValidationError, a BodyInvalid or an HTTPException."""


class BodyInvalid(RecountError):
    """Error of a request whose body the protocol does not accept.

    ``field``: the dotted path of the member at fault. ``reason``: what is wrong with it. ``is_json``: False
    when the body is not JSON at all. ``kind``: pydantic's name for the kind of error.
    """

    def __init__(self, field: str, reason: str, *, is_json: bool = True, kind: str = "value_error") -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason
        self.is_json = is_json
        self.kind = kind


def make_route_class(answer_error: AnswerError) -> type[APIRoute]:
    """Return a class of routes that answer errors by ``answer_error``; unexpected errors stay native 500s."""

    class ProtocolRoute(BoundedRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_or_answer_error(request: Request) -> Response:
                try:
                    return await handle(request)
                except (RecountError, RequestValidationError, HTTPException) as error:
                    return _with_headers(answer_error(request, error), error)
                except psycopg.Error as error:
                    known = translate_error(error)
                    return _with_headers(answer_error(request, known), known)

            return handle_or_answer_error

    return ProtocolRoute


def _with_headers(answer: Response, error: Exception) -> Response:
    """Return the answer to an error with the headers that belong to the error in every protocol."""
    match error:
        case HTTPException():
            answer.headers.update(error.headers or {})
        case Unavailable():
            answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def create_router(route_class: type[APIRoute]) -> APIRouter:
    """Return a router of such routes, left out of the OpenAPI document, which describes the native API."""
    return APIRouter(route_class=route_class, include_in_schema=False)


def choose_status(error: Exception, *, invalid: int, refused: int = 409) -> int:
    """Return the HTTP status for an error, for protocols without a table of their own.

    ``invalid``: the status of invalid input; ``refused``: that of what a rule forbids. Any other error is
    raised again.
    """
    match error:
        case HTTPException():
            return error.status_code
        case RequestValidationError() | BodyInvalid():
            return invalid
        case RecountError():
            status = next(STATUSES[base][0] for base in type(error).__mro__ if base in STATUSES)
            return {422: invalid, 409: refused, 412: refused}.get(status, status)
    raise error


@dataclass(frozen=True)
class RequestContext(ReadContext):
    """A request of an authenticated foreign client, which may read, and write if its key allows it.

    ``event_context``: the context of the events that it writes.
    """

    event_context: Context
    answer: Answer

    async def find_whole(
        self, function: Callable[Concatenate[Database, str, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Return what ``function`` finds, whatever its size; if it is large, wait until there is room for it.

        ``function`` takes ``bytes_max`` besides the given arguments, and raises TooLarge beyond it. Raises
        Unavailable.
        """
        bytes_max, held = UNHELD_BYTES, 0
        while True:
            try:
                return await self.find(function, *args, **{**kwargs, "bytes_max": bytes_max})  # type: ignore[arg-type]
            except TooLarge as error:
                bytes_max = error.size
                await self.answer.hold(bytes_max - held)
                held = bytes_max

    async def execute(self, command: Command) -> Outcome:
        """Execute a command. Raises Refused, NotFound or Unavailable."""
        return await self.store.execute(command, self.event_context)

    def caused_by(self, cause: Aggregate) -> RequestContext:
        """Return this context with the last event of ``cause`` as the cause of the events that it writes."""
        causation_id = f"{cause.id}/{cause.version}"
        return replace(self, event_context=replace(self.event_context, causation_id=causation_id))


async def authenticate(
    request: Request, *, scope: str | None = None, key: str | None = None
) -> RequestContext:
    """Authenticate the caller of a request and return its context. Raises Unauthorized, Forbidden.

    ``scope``: the scope that the caller needs; None: read for GET and HEAD, else write. ``key``: the API key,
    where the client sends it in a way of its own.
    """
    if scope is None:
        scope = "read" if request.method in ("GET", "HEAD") else "write"
    here = await store(request)
    who = await caller(request, here, scope, key=key)
    event_context = Context(who.project, who.actor, here.now(), request.scope["request_id"])
    return RequestContext(here, who.project, "", event_context, request.scope["answer"])


ATTEMPTS_MAX = 20


async def retry_conflicts(attempt: Callable[[], Awaitable[R]]) -> R:
    """Run ``attempt``, retrying when another writer got in between its read and its write.

    Raises the error of the last attempt: ExpectationFailed or AlreadyExists.
    """
    for _ in range(ATTEMPTS_MAX - 1):
        with suppress(ExpectationFailed, AlreadyExists):
            return await attempt()
    return await attempt()


async def read_document(request: Request, model: Callable[[Any], R]) -> R:
    """Return ``model`` applied to the JSON body, whatever the Content-Type says. Raises BodyInvalid."""
    assert isinstance(request, BoundedRequest)
    try:
        return await request.read_as(model)
    except NotJson:
        raise BodyInvalid("", "the body is not valid JSON", is_json=False) from None
    except InvalidInput as error:
        raise BodyInvalid(error.field, error.reason) from None


async def read_body(request: Request, model: type[M]) -> M:
    """Return the JSON body as a ``model``, whatever the Content-Type says. Raises BodyInvalid."""
    return await read_document(request, lambda document: validate_body(document, model))


def validate_body(document: Any, model: type[M]) -> M:
    """Return a body that was parsed from JSON as a ``model``; null counts as empty. Raises BodyInvalid."""
    try:
        return model.model_validate({} if document is None else document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise BodyInvalid(".".join(map(str, first["loc"])), reason, kind=first["type"]) from None
