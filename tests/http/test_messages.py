"""Messages of sessions and threads: said, read, edited and deleted."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from tests.support.talk import Talk

FULL: dict[str, Any] = {
    "id": "01a1fa82-995b-71d2-8226-548dfde85271",
    "role": "assistant",
    "content": [{"type": "text", "text": "One chai latte"}, "to go", None, 3],
    "name": "Barista",
    "user_id": "ana",
    "timestamp": "2026-11-20T19:50:25.368956Z",
    "tool_calls": [{"function": "brew", "arguments": {"cups": 1}}, None],
    "tool_call_id": "call-1",
    "token_count": 12,
    "metadata": {"mood": "good", "none": None},
}
UNKNOWN = ("name", "user_id", "timestamp", "tool_calls", "tool_call_id", "metadata", "token_count")


def test_a_message_comes_back_with_every_member(talk: Talk) -> None:
    answer = talk.post({"messages": [FULL]})
    assert answer.status_code == 201
    (added,) = answer.json()["messages"]
    assert {name: added[name] for name in FULL} == FULL
    assert added["version"] == 2
    assert added["recorded_at"] == added["updated_at"]
    assert talk.message(FULL["id"]).json() == added
    assert talk.page().json()["items"] == [added]


def test_what_a_message_does_not_say_is_null_and_its_id_is_made(talk: Talk) -> None:
    (added,) = talk.post({"messages": [{"role": "user"}]}).json()["messages"]
    assert [added[name] for name in UNKNOWN] == [None] * len(UNKNOWN)
    assert added["content"] is None
    assert UUID(added["id"]).version == 7


def test_messages_are_added_in_order_all_or_none(talk: Talk) -> None:
    talk.add("one", "two", "three")
    messages = [{"role": "user", "content": "four"}, {"role": "", "content": "five"}]
    refused = talk.post({"messages": messages})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "messages.1.role"
    assert talk.contents() == ["one", "two", "three"]
    assert [message["content"] for message in talk.page().json()["items"]] == ["three", "two", "one"]


def test_the_answer_names_its_conversation_and_version(talk: Talk) -> None:
    answer = talk.post({"messages": [{"role": "user"}, {"role": "user"}]})
    assert answer.json()[f"{talk.kind}_id"] == talk.name
    assert answer.json()["version"] == 3
    assert talk.get().json()["message_count"] == 2


def test_a_thousand_messages_at_once(talk: Talk) -> None:
    contents = [str(number) for number in range(1000)]
    talk.add(*contents)
    assert talk.contents(limit=1000) == contents


def test_an_edit_replaces_what_it_names_and_merges_metadata(talk: Talk) -> None:
    talk.post({"messages": [FULL]})
    change = {
        "content": "changed",
        "tool_calls": None,
        "token_count": 13,
        "metadata": {"mood": "fair", "new": 1},
    }
    changed = talk.change(FULL["id"], change)
    assert changed.status_code == 200
    expected = {**FULL, **change, "metadata": {"mood": "fair", "none": None, "new": 1}}
    assert {name: changed.json()[name] for name in FULL} == expected
    assert talk.message(FULL["id"]).json() == changed.json() == talk.page().json()["items"][0]
    assert talk.types() == ["started", "message-added", "message-edited", "message-metadata-merged"]


@pytest.mark.parametrize("member", sorted(set(FULL) - {"id", "timestamp", "role", "metadata"}))
def test_an_edit_with_null_forgets_a_member(talk: Talk, member: str) -> None:
    talk.post({"messages": [FULL]})
    changed = talk.change(FULL["id"], {member: None}).json()
    assert {name: changed[name] for name in FULL} == {**FULL, member: None}


def test_an_edit_that_changes_nothing_records_nothing(talk: Talk) -> None:
    talk.post({"messages": [FULL]})
    changes: list[Any] = [{}, {"content": FULL["content"]}, {"metadata": {}}, {"metadata": {"none": None}}]
    for change in changes:
        answer = talk.change(FULL["id"], change)
        assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')


def test_an_edit_takes_the_same_words_in_another_type_for_other_words(talk: Talk) -> None:
    (added,) = talk.add([1, 0])
    assert repr(talk.change(added["id"], {"content": [True, False]}).json()["content"]) == "[True, False]"
    assert repr(talk.contents()) == "[[True, False]]"


def test_the_role_of_a_message_cannot_be_taken_away(talk: Talk) -> None:
    (added,) = talk.add("hi")
    refused = talk.change(added["id"], {"role": None})
    assert refused.status_code == 422
    assert "role" in refused.json()["detail"]


def test_a_deleted_message_is_gone_for_reads_and_edits(talk: Talk) -> None:
    first, second = talk.add("one", "two")
    deleted = talk.remove(first["id"])
    assert (deleted.status_code, deleted.json()["content"]) == (200, "one")
    assert deleted.json()["deleted_at"] is not None
    assert talk.contents() == ["two"]
    assert talk.get().json()["message_count"] == 1
    for answer in (
        talk.message(first["id"]),
        talk.remove(first["id"]),
        talk.change(first["id"], {"content": "x"}),
        talk.client.get(f"/v1/messages/{first['id']}"),
    ):
        assert answer.status_code == 404
    assert talk.message(second["id"]).status_code == 200


def test_a_message_is_found_without_its_conversation(talk: Talk) -> None:
    (added,) = talk.add("hi")
    found = talk.client.get(f"/v1/messages/{added['id']}").json()
    other = {"session": "thread_id", "thread": "session_id"}[talk.kind]
    assert found == {**added, f"{talk.kind}_id": talk.name, other: None}
    assert talk.client.get("/v1/messages", params={"limit": 1}).json()["items"] == [found]


def test_a_message_of_another_conversation_is_not_found_in_this_one(talk: Talk) -> None:
    (added,) = talk.add("hi")
    other = Talk(talk.client, f"/v1/{talk.kind}s/{uuid4()}")
    other.add("ho")
    assert other.message(added["id"]).status_code == 404
    assert other.change(added["id"], {"content": "x"}).status_code == 404
    assert other.remove(added["id"]).status_code == 404


def test_all_messages_of_a_project_are_listed_newest_first(client: TestClient) -> None:
    for number in range(4):
        talk = Talk(client, f"/v1/sessions/{number % 2}")
        talk.add(f"message {number}")
    items = client.get("/v1/messages").json()["items"]
    assert [(item["session_id"], item["content"]) for item in items] == [
        ("1", "message 3"),
        ("0", "message 2"),
        ("1", "message 1"),
        ("0", "message 0"),
    ]
    assert client.get("/v1/messages", params={"order": "oldest"}).json()["items"] == items[::-1]
