"""A valid request for each route of LangFlux', on what ``furnish`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.testclient import TestClient

FLOW = "1e9d0c6e-6f4a-4b39-9d2f-0c9b6c8f1a02"
MESSAGE_ID = "8a1d5b0c-3b2a-4d6e-9c64-0d8f5f2b7a33"
NAMES = {"chatflow": FLOW, "feedback": MESSAGE_ID, "chat_id": "c"}
MESSAGES = "/api/v1/chatmessage/{chatflow}"

REQUESTS: list[tuple[str, str, Any, int]] = [
    ("GET", "/api/v1/chatmessage", None, 412),
    ("GET", "/api/v1/chatmessage/", None, 412),
    ("DELETE", "/api/v1/chatmessage", None, 412),
    ("DELETE", "/api/v1/chatmessage/", None, 412),
    ("GET", MESSAGES, None, 200),
    ("GET", MESSAGES, {"sessionId": "s", "chatId": "c", "order": "DESC"}, 200),
    ("GET", MESSAGES, {"feedback": "true", "feedbackType": "THUMBS_UP"}, 200),
    ("GET", MESSAGES, {"feedback": "true", "page": 1, "limit": 10}, 200),
    ("GET", "/api/v1/internal-chatmessage/{chatflow}", None, 200),
    ("POST", MESSAGES, {"content": "And then?", "chatId": "c", "sessionId": "s"}, 200),
    ("DELETE", MESSAGES, {"chatId": "c"}, 200),
    ("DELETE", MESSAGES, None, 200),
    ("PUT", "/api/v1/chatmessage/abort/{chatflow}/{chat_id}", None, 200),
    (
        "POST",
        "/api/v1/feedback/{chatflow}",
        {"messageId": MESSAGE_ID, "chatId": "c", "rating": "THUMBS_DOWN"},
        200,
    ),
    ("PUT", "/api/v1/feedback/{feedback}", {"rating": "THUMBS_DOWN", "content": "no"}, 200),
    ("GET", "/api/v1/feedback/{chatflow}", {"chatId": "c"}, 200),
    ("GET", "/api/v1/stats/{chatflow}", {"chatType": "INTERNAL"}, 200),
    ("POST", "/api/v1/export-import/chatflow-messages", {"chatflowId": FLOW}, 200),
    ("GET", "/api/v1/chatflows-streaming/{chatflow}", None, 200),
    # Nobody answers unless a responder is configured.
    ("POST", "/api/v1/prediction/{chatflow}", {"question": "Hello"}, 501),
    ("POST", "/api/v1/internal-prediction/{chatflow}", {"question": "Hello"}, 501),
]
PUBLIC = [("GET", "/api/v1/chatflows-streaming/{chatflow}")]


def furnish(client: TestClient, headers: Mapping[str, str], words: str) -> Mapping[str, str]:
    """A question and an answer with feedback, in which ``words`` are said."""
    common = {"chatId": "c", "sessionId": "s", "memoryType": words, "content": words}
    answer = {"id": MESSAGE_ID, "role": "apiMessage", "usedTools": [{"tool": words}], **common}
    rating = {"messageId": MESSAGE_ID, "rating": "THUMBS_UP", "content": words}
    for path, body in (
        ("chatmessage", {"leadEmail": words, **common}),
        ("chatmessage", answer),
        ("feedback", rating),
    ):
        client.post(f"/api/v1/{path}/{FLOW}", json=body, headers=dict(headers)).raise_for_status()
    return NAMES
