"""A valid request for each route of Langflow's, on what ``furnish`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from starlette.testclient import TestClient

from recountdb.api.protocols.langflow.rules import derive_shared_flow_id

MONITOR = "/api/v1/monitor/messages"
SHARED = f"{MONITOR}/shared"
FLOW = "0e9d0c6e-6f4a-4b39-9d2f-0c9b6c8f1a01"
MESSAGE_ID = "7a1d5b0c-3b2a-4d6e-9c64-0d8f5f2b7a22"
SHARED_ID = "7a1d5b0c-3b2a-4d6e-9c64-0d8f5f2b7a23"
STORE = "/api/v1/recount/messages"
HERE = {"flow_id": FLOW, "user_id": "ana"}
SAID = {"text": "Hello", "sender": "User", "sender_name": "Ana", "session_id": "New Session 0"}
OF_FLOW = {"source_flow_id": FLOW}
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
    ("GET", SHARED, OF_FLOW, 200),
    ("GET", f"{SHARED}/sessions", OF_FLOW, 200),
    # The first is of a flow that is not shared.
    ("PUT", f"{SHARED}/{{message_id}}", {"params": OF_FLOW, "json": {"text": "edited"}}, 404),
    ("PUT", f"{SHARED}/{SHARED_ID}", {"params": OF_FLOW, "json": {"text": "edited"}}, 200),
    ("PATCH", f"{SHARED}/session/{{session_id}}", {"params": {**OF_FLOW, "new_session_id": "trip"}}, 200),
    ("DELETE", f"{SHARED}/session/{{session_id}}", OF_FLOW, 204),
    ("GET", STORE, {**HERE, "session_id": "New Session 0", "order": "ASC", "limit": 5}, 200),
    ("POST", STORE, {**HERE, "messages": [SAID]}, 200),
    ("PUT", STORE, {**HERE, "messages": [{**SAID, "id": MESSAGE_ID, "text": "changed"}]}, 200),
    ("PATCH", STORE, {**HERE, "messages": [{"id": MESSAGE_ID, "text": "changed"}]}, 200),
    ("DELETE", STORE, {**HERE, "session_id": "New Session 0"}, 204),
    ("DELETE", f"{STORE}/{{message_id}}", HERE, 204),
    # Nobody answers unless a responder is configured.
    ("POST", "/api/v1/run/{flow}", {"input_value": "Hello", "session_id": "New Session 0"}, 501),
]


def furnish(client: TestClient, headers: Mapping[str, str], words: str) -> Mapping[str, str]:
    """Two sessions of a flow in which ``words`` are said, and one of the caller's own in it as a shared one.

    Langflow has no call to write: only runs do.
    """
    extras = {"langflow": {"sender": "User", "context_id": words, "session_metadata": {"said": words}}}
    said = {"role": "user", "content": words, "name": words, "metadata": extras}

    def say(session: str, scope: str, **more: str) -> None:
        path, body = f"/v1/sessions/{session}/messages", {"messages": [{**said, **more}]}
        client.post(path, params={"scope": scope}, json=body, headers=dict(headers)).raise_for_status()

    say("New Session 0", FLOW, id=MESSAGE_ID)
    say("New Session 1", FLOW)
    events = client.get(f"/v1/sessions/New Session 1/events?scope={FLOW}", headers=dict(headers)).json()
    say("New Session 0", str(derive_shared_flow_id(events["items"][0]["actor"], UUID(FLOW))), id=SHARED_ID)
    return NAMES
