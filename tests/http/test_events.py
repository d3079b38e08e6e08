"""The log itself: one conversation's audit trail, and everything recorded in a project."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from tests.support.talk import Talk


@pytest.fixture
def busy(client: TestClient) -> TestClient:
    """A project with two sessions, a thread and a user."""
    for path in ("/v1/sessions/a", "/v1/sessions/b", f"/v1/threads/{uuid4()}"):
        talk = Talk(client, path)
        (message,) = talk.add("one")
        talk.change(message["id"], {"content": "two"})
        talk.delete()
    client.post("/v1/users", json={"user_id": "ana"})
    return client


def events(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/v1/events", params=query).json()["items"]
    return items


def test_the_trail_says_what_happened_when_by_whom_and_in_which_request(talk: Talk) -> None:
    request = {"X-Request-Id": "request-1", "Idempotency-Key": str(uuid4())}
    answer = talk.post({"messages": [{"role": "user", "content": "hi"}]}, **request)
    (message,) = answer.json()["messages"]
    started, added = talk.trail()
    for event, version in ((started, 1), (added, 2)):
        expected = {
            "version": version,
            "payload_version": 1,
            "recorded_at": message["recorded_at"],
            "actor": "local",
            "request_id": "request-1",
            "causation_id": None,
            "idempotency_key": request["Idempotency-Key"],
        }
        assert {name: event[name] for name in expected} == expected
    assert started["stream_id"] == added["stream_id"]
    assert started["position"] < added["position"]
    assert added["type"] == f"{talk.kind}.message-added"
    assert added["payload"] == {"message": {"id": message["id"], "role": "user", "content": "hi"}}


def test_the_log_has_everything_in_the_order_it_happened(busy: TestClient) -> None:
    types = [event["type"] for event in events(busy)]
    life = ["started", "message-added", "message-edited", "deleted"]
    kinds = ["session", "session", "thread"]
    assert types == [f"{kind}.{step}" for kind in kinds for step in life] + ["user.created"]
    positions = [event["position"] for event in events(busy)]
    assert positions == sorted(set(positions))
    assert events(busy, order="newest") == events(busy)[::-1]


def test_the_trail_is_a_part_of_the_log(busy: TestClient) -> None:
    for name in "ab":
        trail = busy.get(f"/v1/sessions/{name}/events").json()["items"]
        assert events(busy, session_id=name) == trail
        assert len(trail) == 4


def test_the_log_by_type(busy: TestClient) -> None:
    assert [event["type"] for event in events(busy, type="user.created")] == ["user.created"]
    several = events(busy, type=["session.deleted", "thread.deleted"])
    assert [event["type"] for event in several] == ["session.deleted"] * 2 + ["thread.deleted"]
    assert events(busy, type="session.nonsense") == []


def test_the_log_by_thread_and_by_type_of_a_session(busy: TestClient) -> None:
    (thread,) = busy.get("/v1/threads", params={"deleted": "any"}).json()["items"]
    of_thread = events(busy, thread_id=thread["thread_id"])
    assert {event["type"].split(".")[0] for event in of_thread} == {"thread"}
    both = events(busy, session_id="b", type="session.deleted")
    assert [event["version"] for event in both] == [4]


def test_the_log_of_what_there_is_not_is_not_found(busy: TestClient) -> None:
    for query in ({"session_id": "nobody"}, {"thread_id": str(uuid4())}):
        assert busy.get("/v1/events", params=query).status_code == 404
    for kind in ("sessions", "threads", "users"):
        assert busy.get(f"/v1/{kind}/{uuid4()}/events").status_code == 404


def test_filtered_pages_of_the_log_put_together_are_the_filtered_log(busy: TestClient) -> None:
    query: dict[str, Any] = {"type": ["session.deleted", "session.started", "thread.started"], "limit": 2}
    whole = events(busy, **{**query, "limit": 1000})
    assert len(whole) == 5
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = busy.get("/v1/events", params={**query, **cursor}).json()
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == whole
