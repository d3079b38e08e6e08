"""What lists can be narrowed to."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from tests.support.talk import Talk

METADATA: list[Any] = [
    None,
    {},
    {"a": 1},
    {"a": 1.5, "b": None},
    {"a": True},
    {"a": {"b": {"c": 1}, "d": 2}},
    {"a": [1, 2, {"b": [3]}]},
    {"a": "text", "ключ": "🔑"},
    {"a": 10**40},
    {"a": []},
]
CONTAINED: list[tuple[Any, list[int]]] = [
    ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ({"a": 1}, [2]),
    ({"a": 1.0}, [2]),
    ({"a": 1.5}, [3]),
    ({"b": None}, [3]),
    ({"a": True}, [4]),
    ({"a": False}, []),
    ({"a": {}}, [5]),
    ({"a": {"b": {}}}, [5]),
    ({"a": {"b": {"c": 1}}}, [5]),
    ({"a": {"c": 1}}, []),
    ({"a": []}, [6, 9]),
    ({"a": [2]}, [6]),
    ({"a": [2, 1, 1]}, [6]),
    ({"a": [{"b": [3]}]}, [6]),
    ({"a": [{"b": 3}]}, []),
    ({"a": "text"}, [7]),
    ({"ключ": "🔑"}, [7]),
    ({"a": 10**40}, [8]),
    ({"a": 10**40 + 1}, []),
]


def whose_metadata_contain(shared: TestClient, path: str, part: Any, **query: str) -> Any:
    return shared.get(path, params={"metadata": json.dumps(part), **query}).json()["items"]


@pytest.mark.parametrize("as_of", [False, True], ids=["now", "as-of"])
def test_messages_by_what_their_metadata_contain(talk: Talk, as_of: bool) -> None:
    messages = [
        {"role": "user", "content": str(number), "metadata": metadata}
        for number, metadata in enumerate(METADATA)
    ]
    talk.post({"messages": messages})
    moment = {"as_of": str(len(METADATA) + 1)} if as_of else {}
    for part, numbers in CONTAINED:
        found = whose_metadata_contain(talk.client, f"{talk.path}/messages", part, order="oldest", **moment)
        assert [message["content"] for message in found] == list(map(str, numbers)), part


@pytest.mark.parametrize("kind", ["session", "thread", "user"])
def test_anything_by_what_its_metadata_contain(client: TestClient, kind: str) -> None:
    names = [str(uuid4()) for _ in METADATA]
    for name, metadata in zip(names, METADATA, strict=True):
        client.post(f"/v1/{kind}s", json={f"{kind}_id": name, "metadata": metadata})
    for part, numbers in CONTAINED:
        found = whose_metadata_contain(client, f"/v1/{kind}s", part)
        assert [item[f"{kind}_id"] for item in found] == [names[number] for number in numbers], part


def test_all_messages_by_what_their_metadata_contain(client: TestClient) -> None:
    for number, metadata in enumerate(METADATA):
        talk = Talk(client, f"/v1/{('sessions', 'threads')[number % 2]}/{uuid4()}")
        talk.add(str(number), metadata=metadata)
    for part, numbers in CONTAINED:
        found = whose_metadata_contain(client, "/v1/messages", part, order="oldest")
        assert [message["content"] for message in found] == list(map(str, numbers)), part


def test_messages_by_role_and_user(talk: Talk) -> None:
    for role in ("user", "assistant"):
        for user in ("ana", "ben", None):
            talk.add(f"{role} {user}", role=role, user_id=user)
    assert talk.contents(role="user") == ["user ana", "user ben", "user None"]
    assert talk.contents(user_id="ben") == ["user ben", "assistant ben"]
    assert talk.contents(role="assistant", user_id="ana") == ["assistant ana"]
    assert talk.contents(role="USER") == talk.contents(user_id="a") == []


def test_sessions_by_user(client: TestClient) -> None:
    for name, user in (("a", "ana"), ("b", "ben"), ("c", None), ("d", "ana")):
        client.post("/v1/sessions", json={"session_id": name, "user_id": user})
    found = client.get("/v1/sessions", params={"user_id": "ana"}).json()["items"]
    assert [session["session_id"] for session in found] == ["a", "d"]


@pytest.mark.usefixtures("clock")
def test_messages_by_when_they_were_said_or_else_recorded(talk: Talk) -> None:
    talk.add("early", timestamp="2020-01-01T00:00:00Z")
    (unsaid,) = talk.add("unsaid")
    talk.add("late", timestamp="2030-01-01T00:00:00+02:00")
    recorded = unsaid["recorded_at"]
    assert talk.contents(since="2020-01-01T00:00:00Z") == ["early", "unsaid", "late"]
    assert talk.contents(since="2020-01-01T00:00:01Z") == ["unsaid", "late"]
    assert talk.contents(since=recorded) == ["unsaid", "late"]
    assert talk.contents(until=recorded) == ["early"]
    assert talk.contents(until="2029-12-31T22:00:00Z") == ["early", "unsaid"]
    assert talk.contents(since=recorded, until=recorded) == []


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("kind", ["session", "thread", "user"])
def test_anything_by_when_it_began(client: TestClient, kind: str) -> None:
    began = [client.post(f"/v1/{kind}s", json={f"{kind}_id": str(uuid4())}).json() for _ in range(3)]
    middle = began[1]["created_at"]
    assert client.get(f"/v1/{kind}s", params={"since": middle}).json()["items"] == began[1:]
    assert client.get(f"/v1/{kind}s", params={"until": middle}).json()["items"] == began[:1]


@pytest.mark.parametrize("kind", ["session", "thread", "user"])
def test_anything_live_deleted_or_either(client: TestClient, kind: str) -> None:
    names = [str(uuid4()) for _ in range(3)]
    for name in names:
        client.post(f"/v1/{kind}s", json={f"{kind}_id": name})
    client.delete(f"/v1/{kind}s/{names[1]}")
    for deleted, expected in (
        ({}, [names[0], names[2]]),
        ({"deleted": "false"}, [names[0], names[2]]),
        ({"deleted": "true"}, [names[1]]),
        ({"deleted": "any"}, names),
    ):
        items = client.get(f"/v1/{kind}s", params=deleted).json()["items"]
        assert [item[f"{kind}_id"] for item in items] == expected


def test_messages_live_deleted_or_either(talk: Talk) -> None:
    one, _two = talk.add("one", "two")
    talk.remove(one["id"])
    assert talk.contents(deleted="false") == ["two"]
    assert talk.contents(deleted="true") == ["one"]
    assert talk.contents(deleted="any") == ["one", "two"]


def test_all_messages_live_deleted_or_either(client: TestClient) -> None:
    gone, live = (Talk(client, f"/v1/sessions/{name}") for name in ("gone", "live"))
    gone.add("gone with its session")
    (removed, _) = live.add("removed", "live")
    live.remove(removed["id"])
    gone.delete()

    def listed(deleted: str) -> list[str]:
        items = client.get("/v1/messages", params={"deleted": deleted, "order": "oldest"}).json()["items"]
        return [item["content"] for item in items]

    assert listed("false") == ["live"]
    assert listed("true") == ["gone with its session", "removed"]
    assert listed("any") == ["gone with its session", "removed", "live"]


def test_filters_narrow_each_other(talk: Talk) -> None:
    talk.add("yes", role="tool", user_id="ana", metadata={"a": 1})
    talk.add("no", role="tool", user_id="ana", metadata={"a": 2})
    talk.add("no", role="tool", user_id="ben", metadata={"a": 1})
    talk.add("no", role="user", user_id="ana", metadata={"a": 1})
    assert talk.contents(role="tool", user_id="ana", metadata='{"a": 1}') == ["yes"]


@pytest.mark.parametrize("kind", ["threads", "users"])
def test_who_belongs_to_nobody_cannot_be_asked_for_by_user(shared: TestClient, kind: str) -> None:
    """A filter that would be passed over is not offered."""
    document = shared.get("/openapi.json").json()
    parameters = document["paths"][f"/v1/{kind}"]["get"]["parameters"]
    assert "user_id" not in [parameter["name"] for parameter in parameters]
