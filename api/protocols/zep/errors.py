"""Zep's error responses: plain text, with Zep's version."""

from __future__ import annotations

from typing import NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from recountdb.api.http.context import key_in
from recountdb.api.http.problems import Unauthorized
from recountdb.api.protocols.base import BodyInvalid, choose_status
from recountdb.domain.errors import InvalidInput, MessageIdTaken, NotFound

VERSION = {"X-Zep-Version": "0.27.2-recount"}
"""The header with Zep's version. Clients warn of servers before 0.21.0, and require a dash in the version."""

COOKIE = "jwt"


def refuse_request(reason: str) -> NoReturn:
    """Raise an error that is answered with 400."""
    raise HTTPException(400, reason)


def answer_zep_error(request: Request, error: Exception) -> PlainTextResponse:
    """Return the response to an error: its reason and a newline."""
    status = 400 if isinstance(error, MessageIdTaken) else choose_status(error, invalid=400)
    match error:
        case NotFound():
            reason = "not found"
        case Unauthorized():
            has_token = key_in(request) is not None or COOKIE in request.cookies
            reason = "token is unauthorized" if has_token else "no token found"
        case BodyInvalid() | InvalidInput():
            reason = f"bad request: {error}"
        case MessageIdTaken():
            reason = "bad request: a message with one of these uuids exists already"
        case HTTPException(status_code=400):
            reason = f"bad request: {error.detail}"
        case HTTPException():
            reason = str(error.detail)
        case _:
            reason = str(error)
    return PlainTextResponse(f"{reason}\n", status, headers=VERSION)
