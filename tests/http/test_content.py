"""What callers send comes back equal: any JSON document, to the last digit and the last null."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.support.documents import documents, objects, texts
from tests.support.talk import Talk

# One database serves all examples: each uses names of its own.
property_test = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])

CURIOUS: list[Any] = [
    "",
    " ",
    "\n\r\t\b\f\x01\x1f\x7f\u0085\u2028\ufeff\uffff",
    "emoji 👩‍👩‍👧‍👦 🇵🇹 🏽",
    "עברית العربية 中文 é e\u0301 \U0010ffff",
    '"quotes" \\back\\ \\u0000 %s %(x)s {} $1 \'; DROP TABLE messages; --',
    [],
    [None],
    [{"type": "text", "text": ""}, None, [], {}, {"": None}],
    [10**40, -(10**40), 2**53 + 1, 10**4299],
    [1e23, 1e308, -1e308, 5e-324, 0.1, 1.0, 1e16, 123456789.123456789],
    [-0.0, 0.0, 0, -0],
    [True, False, 1, 0],
    [[[[[]]]]],
]


def exact(document: Any) -> str:
    """Tells 1 from 1.0 from true, and 0.0 from -0.0, which == does not; members in any order."""
    return json.dumps(document, sort_keys=True)


def new_talk(client: TestClient) -> Talk:
    return Talk(client, f"/v1/sessions/{uuid4()}")


@pytest.mark.parametrize("content", CURIOUS, ids=ascii)
def test_curious_content_comes_back_equal(talk: Talk, content: Any) -> None:
    assert_comes_back(talk, {"role": "user", "content": content})


@property_test
@given(content=st.none() | texts | st.lists(documents(), max_size=4))
def test_any_content_comes_back_equal(shared: TestClient, content: Any) -> None:
    assert_comes_back(new_talk(shared), {"role": "user", "content": content})


@property_test
@given(
    role=texts.filter(bool),
    name=st.none() | texts,
    user_id=st.none() | texts,
    tool_calls=st.none() | st.lists(documents(), max_size=3),
    tool_call_id=st.none() | texts,
    metadata=st.none() | objects(),
    token_count=st.none() | st.integers(0, 2**53),
)
def test_any_member_comes_back_equal(shared: TestClient, **members: Any) -> None:
    assert_comes_back(new_talk(shared), members)


def assert_comes_back(talk: Talk, message: dict[str, Any]) -> None:
    """By whichever way it is read: the answer, the page, by id, as it was, found, in the log."""
    answer = talk.post({"messages": [message]})
    assert answer.status_code == 201, answer.text
    (added,) = answer.json()["messages"]
    ways = [
        added,
        *talk.page().json()["items"],
        *talk.page(as_of=2).json()["items"],
        talk.message(added["id"]).json(),
        talk.message(added["id"], as_of=2).json(),
        talk.client.get(f"/v1/messages/{added['id']}").json(),
    ]
    for way in ways:
        assert exact({member: way[member] for member in message}) == exact(message)
    recorded = talk.trail()[-1]["payload"]["message"]
    assert exact({member: recorded.get(member) for member in message}) == exact(message)


@property_test
@given(old=objects(), new=objects())
@example(old={"a": {"b": 1}}, new={"a": {"b": True}})
def test_metadata_come_back_as_merged(shared: TestClient, old: dict[str, Any], new: dict[str, Any]) -> None:
    name = str(uuid4())
    started = shared.post("/v1/sessions", json={"session_id": name, "metadata": old})
    assert exact(started.json()["metadata"]) == exact(old)
    merged = shared.patch(f"/v1/sessions/{name}", json={"metadata": new}).json()["metadata"]
    read = shared.get(f"/v1/sessions/{name}").json()["metadata"]
    assert exact(read) == exact(merged)
    assert_merged(old, new, merged)


def assert_merged(old: Any, new: Any, merged: Any) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        assert merged.keys() == old.keys() | new.keys()
        for key in merged:
            if key in new and key in old:
                assert_merged(old[key], new[key], merged[key])
            else:
                assert exact(merged[key]) == exact(new[key] if key in new else old[key])
    else:
        assert merged == new
        assert isinstance(merged, bool) == isinstance(new, bool)


@property_test
@given(state=documents(), key=st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_state_comes_back_equal(shared: TestClient, state: Any, key: str | None) -> None:
    thread = f"/v1/threads/{uuid4()}"
    query = {} if key is None else {"key": key}
    answer = shared.put(f"{thread}/state", params=query, json={"state": state})
    assert answer.status_code == 200, answer.text
    assert exact(shared.get(f"{thread}/state", params=query).json()) == exact({"state": state})


@property_test
@given(profile=st.dictionaries(st.sampled_from(["display_name", "email", "first_name"]), texts))
def test_any_profile_comes_back_equal(shared: TestClient, profile: dict[str, str]) -> None:
    name = str(uuid4())
    shared.post("/v1/users", json={"user_id": name, **profile})
    user = shared.get(f"/v1/users/{name}").json()
    assert {member: user[member] for member in profile} == profile
