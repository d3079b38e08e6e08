"""Zep's responses: JSON, or plain text for three routes, with Zep's version."""

from __future__ import annotations

from typing import Any

from starlette.responses import PlainTextResponse

from recountdb.api.protocols.zep.errors import VERSION
from recountdb.api.schemas.responses import Json


def respond_json(body: Any, status: int = 200) -> Json:
    return Json(body, status, headers=VERSION)


def respond_text(body: str = "OK") -> PlainTextResponse:
    return PlainTextResponse(body, headers=VERSION)
