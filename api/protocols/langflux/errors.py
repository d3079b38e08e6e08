"""Flowise's error responses: ``{"statusCode": n, "success": false, "message": …, "stack": {}}``.

Only that to an unauthorized request has another shape.
"""

from __future__ import annotations

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from recountdb.api.http.problems import Unauthorized
from recountdb.api.protocols.base import BodyInvalid, status_of
from recountdb.api.protocols.failures import Failed
from recountdb.api.schemas.responses import Json
from recountdb.domain.errors import NotFound


def refused(status: int, message: str) -> HTTPException:
    return HTTPException(status, message)


def tell(request: Request, error: Exception) -> Response:
    match error:
        case Unauthorized():
            return Json({"error": "Unauthorized Access"}, 401)
        case Failed():
            return _told(error.status, str(error))
        case HTTPException():
            return _told(error.status_code, str(error.detail))
        case NotFound():
            return _told(404, f"there is no such {error.kind}")
        case RequestValidationError():
            first = error.errors()[0]
            return _told(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
        case BodyInvalid():
            return _told(400, str(error))
    return _told(status_of(error, invalid=400), str(error))


def _told(status: int, message: str) -> Json:
    return Json({"statusCode": status, "success": False, "message": message, "stack": {}}, status)
