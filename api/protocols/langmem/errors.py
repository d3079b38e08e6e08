"""LangMem's error responses: ``{"detail": …}``."""

from __future__ import annotations

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from recountdb.api.http.problems import field_of, reason_of
from recountdb.api.protocols.base import choose_status
from recountdb.api.schemas.responses import Json


def answer_langmem_error(request: Request, error: Exception) -> Response:
    """Return the response to an error: its status, and the reason in one sentence."""
    match error:
        case RequestValidationError():
            first = error.errors()[0]
            detail = f"{field_of(first['loc'])}: {reason_of(first)}"
        case HTTPException():
            detail = error.detail
        case _:
            detail = str(error)
    return Json({"detail": detail}, choose_status(error, invalid=422))
