"""A valid request for every route of Motorhead's, and a conversation written through it."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

MEMORY = {"messages": [{"role": "Human", "content": "One chai latte, please."}], "context": "Ana orders."}
QUESTION = {"text": "What did Ana order?"}

REQUESTS: list[tuple[str, str, Any, int]] = [
    *(
        request
        for base in ("", "/v1/motorhead")
        for request in (
            ("GET", f"{base}/", None, 200),
            ("GET", f"{base}/sessions", {"page": 1, "size": 10, "namespace": ""}, 200),
            ("POST", f"{base}/sessions/{{session_id}}/memory", MEMORY, 200),
            ("GET", f"{base}/sessions/{{session_id}}/memory", None, 200),
            ("POST", f"{base}/sessions/{{session_id}}/retrieval", QUESTION, 200),
            ("DELETE", f"{base}/sessions/{{session_id}}/memory", None, 200),
        )
    ),
    ("GET", "/v1/motorhead", None, 200),
    ("GET", "/v1/keys/current", None, 200),
    ("GET", "/v1/motorhead/keys/current", None, 200),
]
PUBLIC = [("GET", "/"), ("GET", "/v1/motorhead"), ("GET", "/v1/motorhead/")]
"""What a server of Motorhead's tells about itself to everybody: the time."""


def furnish(client: TestClient, headers: dict[str, str], words: str) -> None:
    """A session whose messages and context say ``words``."""
    body = {"messages": [{"role": "Human", "content": words}], "context": words}
    answer = client.post("/sessions/furnished/memory", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
