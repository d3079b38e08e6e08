"""Flowise's error responses: ``{"statusCode": n, "success": false, "message": …, "stack": {}}``.

Only that to an unauthorized request has another shape.
"""

from __future__ import annotations

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from recountdb.api.http.problems import Unauthorized
from recountdb.api.protocols.base import BodyInvalid, choose_status
from recountdb.api.protocols.responder.errors import ResponderFailed
from recountdb.api.schemas.responses import Json
from recountdb.domain.errors import NotFound


class FlowiseRefusal(HTTPException):
    """Error of a request that Flowise itself refuses, with a status and a text."""


def answer_flowise_error(request: Request, error: Exception) -> Response:
    """Return the response to an error: its status, and the reason in one sentence."""
    match error:
        case Unauthorized():
            return Json({"error": "Unauthorized Access"}, 401)
        case ResponderFailed():
            return _respond(error.status, str(error))
        case HTTPException():
            return _respond(error.status_code, str(error.detail))
        case NotFound():
            return _respond(404, f"there is no such {error.kind}")
        case RequestValidationError():
            first = error.errors()[0]
            return _respond(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
        case BodyInvalid():
            return _respond(400, str(error))
    return _respond(choose_status(error, invalid=400), str(error))


def _respond(status: int, message: str) -> Json:
    return Json({"statusCode": status, "success": False, "message": message, "stack": {}}, status)
