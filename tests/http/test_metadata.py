"""Metadata: merged deeply, whatever they hold."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.talk import Talk

MERGES: list[tuple[Any, Any, Any]] = [
    ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
    ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"d": 3}}}, {"a": {"b": {"c": 1, "d": 3}}}),
    ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
    ({"a": 2}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
    ({"a": {"b": 1}}, {"a": None}, {"a": None}),
    ({"a": None}, {"a": {"b": None}}, {"a": {"b": None}}),
    ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
    ({"a": 1}, {"a": True}, {"a": True}),
    ({"a": False}, {"a": 0}, {"a": 0}),
    ({"a": [0]}, {"a": [False]}, {"a": [False]}),
    ({"": {"": 1}}, {"": {" ": 2}}, {"": {"": 1, " ": 2}}),
    ({"ключ": "🔑"}, {"ключ": "é"}, {"ключ": "é"}),
    ({}, {}, {}),
]


@pytest.mark.parametrize(("old", "patch", "merged"), MERGES)
def test_a_conversations_metadata_are_merged_deeply(talk: Talk, old: Any, patch: Any, merged: Any) -> None:
    started = talk.client.post(f"/v1/{talk.kind}s", json={f"{talk.kind}_id": talk.name, "metadata": old})
    assert started.json()["metadata"] == old
    answer = talk.merge(patch)
    assert repr(answer.json()["metadata"]) == repr(merged)
    assert talk.get().json() == answer.json()


@pytest.mark.parametrize(("old", "patch", "merged"), MERGES)
def test_a_messages_metadata_are_merged_deeply(talk: Talk, old: Any, patch: Any, merged: Any) -> None:
    (message,) = talk.add("hi", metadata=old)
    answer = talk.change(message["id"], {"metadata": patch})
    assert repr(answer.json()["metadata"]) == repr(merged)
    assert talk.message(message["id"]).json() == answer.json()


@pytest.mark.parametrize(("old", "patch", "merged"), MERGES)
def test_a_users_metadata_are_merged_deeply(
    shared: TestClient, old: Any, patch: Any, merged: Any, request: pytest.FixtureRequest
) -> None:
    name = str(hash(request.node.name))
    shared.post("/v1/users", json={"user_id": name, "metadata": old})
    answer = shared.patch(f"/v1/users/{name}", json={"metadata": patch})
    assert repr(answer.json()["metadata"]) == repr(merged)


def test_no_metadata_become_some_by_merging(talk: Talk) -> None:
    talk.add("hi")
    assert talk.get().json()["metadata"] is None
    assert talk.merge({}).json()["metadata"] is None
    assert talk.merge({"a": 1}).json()["metadata"] == {"a": 1}


def test_a_merge_that_changes_nothing_records_nothing(talk: Talk) -> None:
    talk.add("hi")
    talk.merge({"a": {"b": [1, None]}, "c": None})
    patches: list[Any] = [{}, {"c": None}, {"a": {}}, {"a": {"b": [1, None]}}]
    for patch in patches:
        assert talk.merge(patch).json()["version"] == 3


def test_metadata_of_what_has_not_begun_cannot_be_merged(talk: Talk) -> None:
    assert talk.merge({"a": 1}).status_code == 404
    assert talk.get().status_code == 404
