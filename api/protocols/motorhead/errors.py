"""Motorhead's error responses: ``{"error": …}``."""

from __future__ import annotations

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from recountdb.api.http.problems import Unauthorized, field_of, reason_of
from recountdb.api.protocols.base import choose_status
from recountdb.api.schemas.responses import Json


def answer_motorhead_error(request: Request, error: Exception) -> Response:
    """Return the response to an error: its status, and the reason in one sentence."""
    match error:
        case RequestValidationError():
            first = error.errors()[0]
            reason = f"{field_of(first['loc'])}: {reason_of(first)}"
        case HTTPException():
            reason = str(error.detail)
        case _:
            reason = str(error)
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorized) else {}
    return Json({"error": reason}, choose_status(error, invalid=400), headers)
