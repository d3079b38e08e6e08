"""The thinnest whole: a message in by HTTP, out by HTTP, its event in the log."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

pytestmark = pytest.mark.sql


def test_a_message_can_be_written_read_and_audited(client: TestClient) -> None:
    body = {"messages": [{"role": "user", "content": "One chai latte, please."}]}
    written = client.post("/v1/sessions/trip/messages", json=body)
    assert written.status_code == 201
    read = client.get("/v1/sessions/trip/messages").json()
    assert read["items"] == written.json()["messages"]
    trail = client.get("/v1/sessions/trip/events").json()["items"]
    assert [event["type"] for event in trail] == ["session.started", "session.message-added"]
