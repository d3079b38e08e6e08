"""The error shape of the native API, problem+json (RFC 9457), and the status of each error."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import psycopg
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from recountdb.api.http.heads import HeadRoute
from recountdb.api.http.hints import hint
from recountdb.api.http.positions import PositionInvalid
from recountdb.domain.errors import (
    AlreadyExists,
    ExpectationFailed,
    InvalidInput,
    KeyReused,
    LimitReached,
    MessageIdTaken,
    MessageIsDeleted,
    NotFound,
    OnHold,
    RecordUnreadable,
    RecountError,
    Unavailable,
    VersionConflict,
)
from recountdb.domain.exact_json import NotJson
from recountdb.eventlog.log.epoch import OlderEpoch
from recountdb.eventlog.postgres.failures import translate_error
from recountdb.projections.rebuild.shadow import RebuildUnderWay

logger = logging.getLogger(__name__)


class Unauthorized(RecountError):
    """There is no API key, or it is unknown."""


class Forbidden(RecountError):
    """The key lacks the scope, or the request may not come from this web page."""


STATUSES: dict[type[RecountError], tuple[int, str, str]] = {
    InvalidInput: (422, "invalid-input", "The request cannot be taken"),
    OnHold: (409, "on-hold", "Under a legal hold"),
    AlreadyExists: (409, "already-exists", "The name is taken"),
    VersionConflict: (409, "version-conflict", "Others wrote first"),
    MessageIdTaken: (409, "message-id-taken", "The message id is taken"),
    MessageIsDeleted: (409, "message-deleted", "A deletion hides the message"),
    LimitReached: (409, "limit-reached", "The project has as many as it may have"),
    KeyReused: (422, "idempotency-key-reused", "The Idempotency-Key is taken"),
    ExpectationFailed: (412, "version-mismatch", "It is at another version"),
    OlderEpoch: (410, "cursor-of-older-epoch", "The log is in another epoch"),
    NotFound: (404, "not-found", "Not found"),
    RebuildUnderWay: (409, "rebuild-under-way", "A rebuild is under way"),
    RecordUnreadable: (503, "record-unreadable", "A stored event cannot be read"),
    Unavailable: (503, "unavailable", "Not available just now"),
    Unauthorized: (401, "unauthorized", "Who are you?"),
    PositionInvalid: (400, "malformed", "The request is malformed"),
    Forbidden: (403, "forbidden", "Not allowed"),
}
"""The status, slug of the problem's type, and title of each error. A subclass counts as its base."""


class Problem(Response):
    """A problem+json response."""

    media_type = "application/problem+json"

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        body = {"type": f"urn:recount:problem:{slug}", "title": title, "status": status}
        super().__init__(to_json({**body, "detail": detail, **more}), status, headers)


def problem_for(error: RecountError) -> Problem:
    status, slug, title = next(STATUSES[base] for base in type(error).__mro__ if base in STATUSES)
    match error:
        case InvalidInput():
            errors = [{"field": error.field, "reason": error.reason}]
            return Problem(status, slug, title, str(error), errors=errors)
        case ExpectationFailed():
            headers = {"ETag": f'"{error.current_version}"'}
            current = error.current_version
            return Problem(status, slug, title, str(error), headers=headers, current_version=current)
        case Unavailable():
            headers = {"Retry-After": str(error.retry_after_seconds)}
            return Problem(status, slug, title, str(error), headers=headers)
        case OlderEpoch():
            more: dict[str, Any] = {"resume_from": error.resume_from, "cursor": error.cursor}
            return Problem(status, slug, title, str(error), epoch=error.epoch, **more)
        case Unauthorized():
            return Problem(status, slug, title, str(error), headers={"WWW-Authenticate": "Bearer"})
    return Problem(status, slug, title, str(error))


async def _on_recount_error(request: Request, error: Exception) -> Problem:
    assert isinstance(error, RecountError)
    if isinstance(error, RecordUnreadable):
        logger.error("%s", error)
    return problem_for(error)


async def _on_driver_error(request: Request, error: Exception) -> Problem:
    """Answer an error of PostgreSQL that nothing else translated, which is no fault of Recount."""
    assert isinstance(error, psycopg.Error)
    return problem_for(translate_error(error))


async def _on_validation_error(request: Request, error: Exception) -> Problem:
    assert isinstance(error, RequestValidationError)
    found = error.errors()[:20]
    errors = [{"field": field_of(e["loc"]), "reason": reason_of(e)} for e in found]
    first = errors[0]
    detail = f"{first['field']}: {first['reason']}"
    return Problem(422, "invalid-input", "The request cannot be taken", detail, errors=errors)


async def _on_not_json(request: Request, error: Exception) -> Problem:
    assert isinstance(error, NotJson)
    return _malformed("The body is not JSON", error.reason)


def _malformed(title: str, reason: str) -> Problem:
    return Problem(400, "malformed", title, reason, errors=[{"field": "body", "reason": reason}])


def field_of(location: Sequence[Any]) -> str:
    """Return the name of a place, such as ``messages.0.role`` for ``("body", "messages", 0, "role")``."""
    parts = [str(part)[:100] for part in location]
    named = takewhile(lambda part: part not in WITHIN_DOCUMENTS, parts[1:] if len(parts) > 1 else parts)
    return ".".join(named)


WITHIN_DOCUMENTS = ("dict", "list")
"""The parts at which pydantic's path enters a caller's document, which may be very deep."""


def reason_of(error: Mapping[str, Any]) -> str:
    """Return the reason of an error, without quoting what was sent."""
    if error["type"] == "recursion_loop":
        return "is nested too deep"
    return str(error["msg"]).removeprefix("Value error, ")


async def _on_http_exception(request: Request, error: Exception) -> Problem:
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            return Problem(
                404, "no-such-route", "Not found", hint(request.scope["path"], _routes_of(request))
            )
        case 405:
            detail = "this address does not take this method"
            allow = {"Allow": ", ".join(_methods_of(request))}
            return Problem(405, "method-not-allowed", "Not allowed", detail, headers=allow)
        case 400:
            return _malformed("The request cannot be read", str(error.detail))
        case 413:
            return Problem(413, "too-large", "The body is too large", str(error.detail))
        case 415:
            reason = str(error.detail)
            errors = [{"field": "body", "reason": reason}]
            title = "The body is of another kind"
            return Problem(415, "unsupported", title, reason, headers=error.headers, errors=errors)
        case status:
            return Problem(status, "refused", "Refused", str(error.detail), headers=error.headers)


def _methods_of(request: Request) -> list[str]:
    """Return all methods that the address takes; the router names those of the first route only."""
    path = request.scope["path"]
    routes = [route for route in _routes_of(request) if route.path_regex.match(path)]
    methods = set().union(*(route.methods or () for route in routes))
    if "GET" in methods and any(isinstance(route, HeadRoute) for route in routes):
        methods.add("HEAD")
    return sorted(methods)


def _routes_of(request: Request) -> list[Route]:
    return [route for route in request.app.routes if isinstance(route, Route)]


async def _on_unexpected(request: Request, error: Exception) -> Problem:
    # The traceback goes to the log without values that were sent; the caller gets the request's id.
    request_id = request.scope.get("request_id", "")
    detail = f"an error of ours; the log has it under request {request_id}"
    headers = {"X-Request-Id": request_id}  # this answer bypasses the middleware that adds it
    return Problem(500, "internal", "Something went wrong", detail, headers=headers)


def install(app: FastAPI) -> None:
    app.add_exception_handler(RecountError, _on_recount_error)
    app.add_exception_handler(psycopg.Error, _on_driver_error)
    app.add_exception_handler(NotJson, _on_not_json)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)
