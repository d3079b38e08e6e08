"""Langflow's error responses: ``{"detail": …}``, a text, or a list for a failed validation."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from recountdb.api.http.problems import Unauthorized
from recountdb.api.protocols.base import BodyInvalid, choose_status
from recountdb.api.protocols.responder.errors import ResponderFailed
from recountdb.api.schemas.responses import Json
from recountdb.domain.errors import InvalidInput


class LangflowRefusal(HTTPException):
    """Error of a request that Langflow itself refuses, with a status and a text."""


def answer_langflow_error(request: Request, error: Exception) -> Response:
    """Return the response to an error: its status, and its reason or the list of what is invalid."""
    match error:
        case ResponderFailed():
            return Json({"detail": str(error)}, error.status)
        case Unauthorized():
            # Only an invalid login token is a 401; a missing and an unknown key are a 403.
            scheme = request.headers.get("authorization", "").partition(" ")[0].lower()
            return Json({"detail": str(error)}, 401 if scheme == "bearer" else 403)
        case HTTPException():
            return Json({"detail": error.detail}, error.status_code)
        case RequestValidationError():
            return Json({"detail": list(map(_describe, error.errors()))}, 422)
        case BodyInvalid():
            names = filter(None, error.field.split("."))
            location = ["body", *(int(name) if name.isdigit() else name for name in names)]
            kind = error.kind if error.is_json else "json_invalid"
            return Json({"detail": [{"type": kind, "loc": location, "msg": error.reason}]}, 422)
        case InvalidInput():
            return Json({"detail": str(error)}, 400)
    return Json({"detail": str(error)}, choose_status(error, invalid=400))


def _describe(error: dict[str, Any]) -> dict[str, Any]:
    """Return a validation error without the input."""
    members = {member: error[member] for member in ("type", "loc", "msg")}
    context = {name: value for name, value in error.get("ctx", {}).items() if _is_json(value)}
    return {**members, **({"ctx": context} if context else {})}


def _is_json(value: object) -> bool:
    try:
        to_json(value)
    except ValueError:
        return False
    return True
