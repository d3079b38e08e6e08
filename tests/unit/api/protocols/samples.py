"""States and requests as the translations of protocols take them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from starlette.requests import Request

from recountdb.domain.messages import MessageState
from recountdb.domain.sessions import Session
from recountdb.projections.views.messages import FoundMessage

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
STREAM = UUID("11111111-1111-4111-8111-111111111111")
MESSAGE = UUID("22222222-2222-4222-8222-222222222222")
FLOW = "0e9d0c6e-6f4a-4b39-9d2f-0c9b6c8f1a01"


def message_state(**members: Any) -> MessageState:
    """Return a user's message, recorded at noon."""
    usual: dict[str, Any] = {
        "stream_id": STREAM,
        "project": "default",
        "version": 2,
        "changed_version": 2,
        "id": MESSAGE,
        "role": "user",
        "content": "hello",
        "name": None,
        "user_id": None,
        "timestamp": None,
        "tool_calls": None,
        "tool_call_id": None,
        "metadata": None,
        "token_count": None,
        "recorded_at": NOON,
        "updated_at": NOON,
    }
    return MessageState(**{**usual, **members})


def found_message(*, scope: str = FLOW, conversation: str = "s", **members: Any) -> FoundMessage:
    """Return a message as ``message_state`` does, in a session."""
    return FoundMessage("session", scope, conversation, message_state(**members))


def session_state(**members: Any) -> Session:
    """Return a session that started at noon."""
    usual: dict[str, Any] = {"id": STREAM, "version": 1, "project": "default", "name": "s", "number": 7}
    return Session(**{**usual, "created_at": NOON, "updated_at": NOON, **members})


def sent_request(query: str = "", **headers: str) -> Request:
    """Return a GET request with this query and these headers, ``_`` in place of ``-``."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "query_string": query.encode(), "headers": raw})
