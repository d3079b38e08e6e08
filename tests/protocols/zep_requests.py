"""A valid request for each route of Zep's, on what ``furnish`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.testclient import TestClient

SESSION = "/api/v1/sessions/{session_id}"
MESSAGE_ID = "6f9d5b0c-3b2a-4d6e-9c64-0d8f5f2b7a11"
NAMES = {"session_id": "walk in the park", "message_id": MESSAGE_ID, "user_id": "ana", "rest": "a/b/c"}

REQUESTS: list[tuple[str, str, Any, int]] = [
    ("GET", "/api/v1/sessions", {"limit": 10, "cursor": 0}, 200),
    ("POST", "/api/v1/sessions", {"session_id": "new", "user_id": "ana", "metadata": {"a": 1}}, 201),
    ("GET", SESSION, None, 200),
    ("PATCH", SESSION, {"metadata": {"a": {"b": 2}}}, 200),
    ("GET", f"{SESSION}/memory", {"lastn": 5}, 200),
    ("POST", f"{SESSION}/memory", {"messages": [{"role": "user", "content": "And then?"}]}, 200),
    ("DELETE", f"{SESSION}/memory", None, 200),
    ("GET", f"{SESSION}/messages", {"limit": 5, "cursor": 1}, 200),
    ("GET", f"{SESSION}/messages/{{message_id}}", None, 200),
    ("PATCH", f"{SESSION}/messages/{{message_id}}", {"metadata": {"a": 1}}, 200),
    ("POST", f"{SESSION}/search", {"text": "a walk", "metadata": {"where": {"jsonpath": "$.n"}}}, 200),
    ("POST", f"{SESSION}/search", {"text": "a walk", "search_type": "mmr"}, 200),
    ("GET", "/api/v1/user", None, 200),
    ("POST", "/api/v1/user", {"user_id": "bo", "email": "bo@example.org", "metadata": {"a": 1}}, 201),
    ("GET", "/api/v1/user/{user_id}", None, 200),
    ("PATCH", "/api/v1/user/{user_id}", {"first_name": "Ana", "metadata": {"a": 1}}, 200),
    ("DELETE", "/api/v1/user/{user_id}", None, 200),
    ("GET", "/api/v1/user/{user_id}/sessions", None, 200),
    ("GET", "/healthz", None, 200),
    ("DELETE", "/api/v1/sessions", None, 405),
    ("GET", "/api/v1/sessions/{rest:path}", None, 404),
    ("DELETE", "/api/v1/user", None, 405),
    ("GET", "/api/v1/user/{rest:path}", None, 404),
    ("GET", "/api/v1/collection", None, 404),
    ("GET", "/api/v1/collection/{rest:path}", None, 404),
    ("POST", "/healthz", None, 405),
    ("GET", "/healthz/{rest:path}", None, 404),
]

PUBLIC = {("GET", "/healthz")}
"""Those that ask for no key."""


def furnish(client: TestClient, headers: Mapping[str, str], words: str) -> Mapping[str, str]:
    """A user with a session of theirs in which ``words`` are said; returns what stands in the paths."""
    user = {"user_id": "ana", "last_name": words, "metadata": {"said": words}}
    session = {"session_id": NAMES["session_id"], "user_id": "ana", "metadata": {"said": words}}
    said = {"uuid": MESSAGE_ID, "role": "user", "content": words, "metadata": {"said": words, "n": 1}}
    for path, body in (
        ("/user", user),
        ("/sessions", session),
        ("/sessions/walk%20in%20the%20park/memory", {"messages": [said, {"role": "ai", "content": words}]}),
    ):
        client.post(f"/api/v1{path}", json=body, headers=dict(headers)).raise_for_status()
    return NAMES
