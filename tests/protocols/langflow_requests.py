"""A valid request for each route of Langflow's, on what ``furnish`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.testclient import TestClient

MONITOR = "/api/v1/monitor/messages"
FLOW = "0e9d0c6e-6f4a-4b39-9d2f-0c9b6c8f1a01"
MESSAGE_ID = "7a1d5b0c-3b2a-4d6e-9c64-0d8f5f2b7a22"
NAMES = {"session_id": "New Session 0", "message_id": MESSAGE_ID, "flow": FLOW}

REQUESTS: list[tuple[str, str, Any, int]] = [
    ("GET", MONITOR, None, 200),
    ("GET", MONITOR, {"flow_id": FLOW, "session_id": "New Session 0", "order": "DESC", "limit": 5}, 200),
    ("GET", f"{MONITOR}/sessions", None, 200),
    ("GET", f"{MONITOR}/sessions", {"flow_id": FLOW, "limit": 5, "offset": 0}, 200),
    ("PUT", f"{MONITOR}/{{message_id}}", {"text": "edited", "category": "info"}, 200),
    ("PUT", f"{MONITOR}/{{message_id}}", {"session_id": "elsewhere"}, 200),
    ("PATCH", f"{MONITOR}/session/{{session_id}}", {"params": {"new_session_id": "trip"}}, 200),
    ("PATCH", f"{MONITOR}/session/{{session_id}}", {"params": {"new_session_id": "New Session 1"}}, 200),
    ("DELETE", MONITOR, {"json": [MESSAGE_ID]}, 204),
    ("DELETE", f"{MONITOR}/session/{{session_id}}", None, 204),
    ("DELETE", f"{MONITOR}/sessions", {"json": ["New Session 0", "New Session 1"]}, 200),
    # Nobody answers unless a responder is configured.
    ("POST", "/api/v1/run/{flow}", {"input_value": "Hello", "session_id": "New Session 0"}, 501),
]


def furnish(client: TestClient, headers: Mapping[str, str], words: str) -> Mapping[str, str]:
    """Two sessions of a flow in which ``words`` are said. Langflow has no call to write: only runs do."""
    extras = {"langflow": {"sender": "User", "context_id": words, "session_metadata": {"said": words}}}
    said = {"role": "user", "content": words, "name": words, "metadata": extras}
    for session, message in (("New Session 0", {**said, "id": MESSAGE_ID}), ("New Session 1", said)):
        path, body = f"/v1/sessions/{session}/messages", {"messages": [message]}
        client.post(path, params={"scope": FLOW}, json=body, headers=dict(headers)).raise_for_status()
    return NAMES
