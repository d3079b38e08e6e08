"""Threads: conversations under a UUID, with state documents beside them."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient


@pytest.fixture
def thread(shared: TestClient) -> str:
    """The address of a thread that has not begun."""
    return f"/v1/threads/{uuid4()}"


def test_a_thread_starts_with_its_metadata(shared: TestClient) -> None:
    thread_id = str(uuid4())
    started = shared.post("/v1/threads", json={"thread_id": thread_id, "metadata": {"team": "a"}})
    assert started.status_code == 201
    assert (started.json()["thread_id"], started.json()["metadata"]) == (thread_id, {"team": "a"})
    assert shared.get(f"/v1/threads/{thread_id}").json() == started.json()
    assert shared.post("/v1/threads", json={"thread_id": thread_id}).status_code == 409


def test_a_thread_without_an_id_gets_one(shared: TestClient) -> None:
    thread = shared.post("/v1/threads", json={}).json()
    assert UUID(thread["thread_id"]).version == 7
    assert shared.get(f"/v1/threads/{thread['thread_id']}").json() == thread


def test_a_thread_is_found_by_any_spelling_of_its_id(shared: TestClient) -> None:
    thread_id = uuid4()
    started = shared.post("/v1/threads", json={"thread_id": str(thread_id).upper()}).json()
    assert started["thread_id"] == str(thread_id)
    for spelling in (str(thread_id).upper(), thread_id.hex, f"{{{thread_id}}}", thread_id.urn):
        assert shared.get(f"/v1/threads/{spelling}").json() == started


@pytest.mark.parametrize(
    "state", [{"step": 3}, {}, [], [1, None, {"a": []}], None, "text", "", 0, -0.0, 10**40, 1e308, True]
)
def test_a_state_comes_back_as_it_was_set(shared: TestClient, thread: str, state: Any) -> None:
    for other in ({"before": 1}, state):
        answer = shared.put(f"{thread}/state", json={"state": other})
        assert (answer.status_code, answer.json()) == (200, {"state": other})
    assert repr(shared.get(f"{thread}/state").json()) == repr({"state": state})


def test_each_key_has_a_state_of_its_own_and_so_has_none(shared: TestClient, thread: str) -> None:
    keys = [None, "key", "Key", "a b/c?d=e&f#%", "ключ 🔑", "x" * 512]
    for number, key in enumerate(keys):
        query = {} if key is None else {"key": key}
        assert shared.put(f"{thread}/state", params=query, json={"state": number}).status_code == 200
    for number, key in enumerate(keys):
        query = {} if key is None else {"key": key}
        assert shared.get(f"{thread}/state", params=query).json() == {"state": number}


def test_a_state_that_nobody_set_is_null(shared: TestClient, thread: str) -> None:
    assert shared.get(f"{thread}/state").json() == {"state": None}
    shared.put(f"{thread}/state", json={"state": 1})
    assert shared.get(f"{thread}/state", params={"key": "other"}).json() == {"state": None}


def test_the_first_state_starts_a_thread(shared: TestClient, thread: str) -> None:
    assert shared.put(f"{thread}/state", json={"state": 1}).headers["etag"] == '"2"'
    found = shared.get(thread).json()
    assert (found["version"], found["message_count"]) == (2, 0)
    trail = shared.get(f"{thread}/events").json()["items"]
    assert [event["type"] for event in trail] == ["thread.started", "thread.state-set"]


def test_a_deleted_thread_shows_no_state_until_it_is_undeleted(shared: TestClient, thread: str) -> None:
    shared.put(f"{thread}/state", json={"state": 1})
    shared.delete(thread)
    assert shared.get(f"{thread}/state").json() == {"state": None}
    shared.post(f"{thread}/undelete")
    assert shared.get(f"{thread}/state").json() == {"state": 1}


def test_setting_a_state_revives_a_thread_but_none_of_its_old_states(shared: TestClient, thread: str) -> None:
    for key in ("old", "both"):
        shared.put(f"{thread}/state", params={"key": key}, json={"state": "before"})
    shared.delete(thread)
    shared.put(f"{thread}/state", params={"key": "both"}, json={"state": "after"})
    for key, state in (("old", None), ("both", "after")):
        assert shared.get(f"{thread}/state", params={"key": key}).json() == {"state": state}
    assert shared.get(thread).status_code == 200


def test_a_message_said_again_at_the_same_instant_is_the_same_message(
    shared: TestClient, thread: str
) -> None:
    said: dict[str, Any] = {
        "role": "user",
        "user_id": "ana",
        "content": "hi",
        "timestamp": "2026-11-20T12:00:00Z",
    }
    first = shared.post(f"{thread}/messages", json={"messages": [said]}).json()
    again = shared.post(
        f"{thread}/messages", json={"messages": [{**said, "timestamp": "2026-11-20T13:00:00+01:00"}]}
    )
    assert (again.status_code, again.json()) == (201, first)
    for change in ({"content": "ho"}, {"role": "assistant"}, {"user_id": "ben"}, {"timestamp": None}):
        shared.post(f"{thread}/messages", json={"messages": [{**said, **change}]})
    assert shared.get(thread).json()["message_count"] == 5


def test_a_thread_belongs_to_nobody_so_no_owner_can_be_named(shared: TestClient, thread: str) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "user_id": "ana"}
    refused = shared.post(f"{thread}/messages", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "user_id")
