"""Comparing two moments, forking a session, replaying it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import jsonpatch
import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from recountdb.api.http.routes.timetravel import replayed
from recountdb.api.services import fork as forking
from recountdb.domain.values import is_same
from recountdb.projections.queries import diff as difference
from recountdb.projections.queries import history
from tests.support.hostile import SECRET, assert_refused
from tests.support.talk import Talk

pytestmark = pytest.mark.usefixtures("clock")


def new_session(client: TestClient) -> Talk:
    return Talk(client, f"/v1/sessions/{uuid4()}")


@pytest.fixture
def session(shared: TestClient) -> Talk:
    """A session that has not begun."""
    return new_session(shared)


def diff(talk: Talk, **query: Any) -> Response:
    return talk.client.get(f"{talk.path}/diff", params=query)


def lived(talk: Talk) -> list[int]:
    """Give ``talk`` a life of each kind of event; its versions."""
    one, two, _ = talk.add("one", "two", [{"text": "three"}], metadata={"n": [1, 2]})
    talk.change(one["id"], {"content": "1", "metadata": {"n": [True, 2]}})
    talk.merge({"plan": {"tier": "pro"}, "a/b~c": 1})
    talk.delete()
    talk.undelete()
    talk.remove(two["id"])
    talk.delete()
    talk.add("four")
    talk.merge({"plan": None})
    return list(range(1, talk.get().json()["version"] + 1))


def document(talk: Talk, version: int) -> dict[str, Any]:
    """What the routes show of ``version``: the conversation and all messages that could be seen."""
    page = talk.page(as_of=version, order="oldest", limit=1000)
    items = page.json()["items"] if page.status_code == 200 else []
    return {
        talk.kind: talk.get(as_of=version).json(),
        "messages": {message["id"]: message for message in items},
    }


def patched(old: dict[str, Any], new: dict[str, Any], patch: Any) -> dict[str, Any]:
    """``old`` after ``patch``, without the messages that are the same in ``new``: they are not part of it."""
    same = {id for id, message in old["messages"].items() if is_same(message, new["messages"].get(id))}
    part = {**old, "messages": {id: m for id, m in old["messages"].items() if id not in same}}
    found: dict[str, Any] = jsonpatch.apply_patch(part, patch)
    found["messages"] |= {id: old["messages"][id] for id in same}
    return found


# The difference


def test_the_patch_makes_any_moment_any_other(talk: Talk) -> None:
    versions = lived(talk)
    documents = {version: document(talk, version) for version in versions}
    for old in versions:
        for new in versions:
            answer = diff(talk, **{"from": old, "to": new}).json()
            assert (answer["from"], answer["to"]) == (old, new)
            assert is_same(patched(documents[old], documents[new], answer["patch"]), documents[new])


def test_a_difference_in_words(session: Talk) -> None:
    session.add("one", "two")
    (message,) = session.add(SECRET)
    session.change(message["id"], {"content": f"{SECRET}!"})
    session.merge({"plan": {"tier": SECRET}})
    answer = diff(session, **{"from": 4}).json()
    assert (answer["from"], answer["to"]) == (4, 6)
    assert answer["words"] == ["metadata: plan added", "message 4 was edited: content"]
    assert diff(session, **{"from": 3, "to": 4}).json()["words"] == ["message 4 was added"]


def test_between_a_moment_and_itself_there_is_nothing(talk: Talk) -> None:
    talk.add("one")
    assert diff(talk, **{"from": 2}).json() == {"from": 2, "to": 2, "patch": [], "words": []}


def test_moments_may_be_times(talk: Talk) -> None:
    talk.add("one")
    then = talk.get().json()["updated_at"]
    talk.add("two")
    answer = diff(talk, **{"from": then, "to": "9999-12-31"}).json()
    assert (answer["from"], answer["to"], answer["words"]) == (2, 3, ["message 3 was added"])


def test_the_words_of_a_deletion_and_of_a_rename(session: Talk) -> None:
    session.add("one")
    session.client.post(f"{session.path}/rename", json={"session_id": f"{session.name}-b"})
    renamed = Talk(session.client, f"{session.path}-b")
    renamed.delete()
    words = diff(renamed, **{"from": 2}).json()["words"]
    assert words == ["the session was renamed", "the session was deleted", "message 2 was deleted"]
    assert diff(session, **{"from": 2}).status_code == 404


def test_moments_that_are_not_there(talk: Talk) -> None:
    talk.add("one")
    assert_refused(diff(talk, **{"from": 3}), 422, field="from")
    assert_refused(diff(talk, **{"from": 1, "to": 3}), 422, field="to")
    assert_refused(diff(talk), 422, field="from")
    assert_refused(diff(talk, **{"from": 0}), 404)
    assert_refused(diff(talk, **{"from": "2000-01-01"}), 404)


def test_what_did_not_change_is_not_read(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        talk.add(*map(str, range(100)))
    (message,) = talk.add("last")
    talk.change(message["id"], {"content": "changed"})
    read: list[int] = []
    one_read = history.load_messages_at

    def counted(application: Any, conversation: Any, ids: Any) -> Any:
        read.append(len(ids))
        return one_read(application, conversation, ids)

    monkeypatch.setattr(difference, "load_messages_at", counted)
    monkeypatch.setattr(difference, "read_messages_as_of", None)
    patch = diff(talk, **{"from": 302}).json()["patch"]
    assert {operation["path"].split("/")[2] for operation in patch if "messages" in operation["path"]} == {
        message["id"]
    }
    assert read == [1]


def test_too_much_in_between_is_refused(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference, "EVENTS_MAX", 3)
    talk.add(*"abcd")
    talk.delete()
    assert_refused(diff(talk, **{"from": 1}), 422, field="from")
    assert_refused(diff(talk, **{"from": 5}), 422, field="from")
    assert diff(talk, **{"from": 2, "to": 5}).status_code == 200


# The fork


def fork(talk: Talk, **body: Any) -> Response:
    return talk.client.post(f"{talk.path}/fork", json=body)


def forked(talk: Talk, **body: Any) -> Talk:
    answer = fork(talk, **body)
    assert answer.status_code == 201, answer.text
    return Talk(talk.client, f"/v1/sessions/{answer.json()['session_id']}")


SAID = (
    "role",
    "content",
    "name",
    "user_id",
    "timestamp",
    "tool_calls",
    "tool_call_id",
    "metadata",
    "token_count",
)


def said(talk: Talk, **query: Any) -> list[Any]:
    items = talk.page(order="oldest", limit=1000, **query).json()["items"]
    return [[message[member] for member in SAID] for message in items]


def test_a_fork_holds_what_the_session_held(session: Talk) -> None:
    session.client.post(
        "/v1/sessions", json={"session_id": session.name, "user_id": "ana", "metadata": {"a": {"b": 1}}}
    )
    told: dict[str, Any] = {
        "role": "tool",
        "name": "menu",
        "user_id": "ana",
        "timestamp": "2026-11-20T08:00:00Z",
    }
    told |= {"content": [{"text": "x"}], "tool_calls": [{"n": 1}], "tool_call_id": "1", "token_count": 3}
    session.post({"messages": [{**told, "metadata": {"m": None}}]})
    one, two = session.add("one", "two")
    session.change(one["id"], {"content": "1"})
    session.remove(two["id"])
    source = session.get().json()

    answer = fork(session, metadata={"a": {"c": 2}})

    made = answer.json()
    assert (made["user_id"], made["metadata"]) == ("ana", {"a": {"b": 1, "c": 2}})
    assert (made["message_count"], made["version"], answer.headers["etag"]) == (2, 3, '"3"')
    stream_id = session.trail()[0]["stream_id"]
    assert made["forked_from"] == {"session_id": session.name, "stream_id": stream_id, "version": 6}
    other = Talk(session.client, f"/v1/sessions/{made['session_id']}")
    assert said(other) == said(session)
    assert other.get().json() == other.get(as_of=3).json() == made
    assert session.get().json() == source
    assert source["forked_from"] is None


def test_a_fork_shares_nothing_with_its_source(session: Talk) -> None:
    (one,) = session.add("one")
    other = forked(session)
    (copy,) = other.page().json()["items"]
    assert copy["id"] != one["id"]
    assert copy["recorded_at"] == other.get().json()["created_at"] > one["recorded_at"]
    other.change(copy["id"], {"content": "other"})
    session.add("two")
    assert (session.contents(), other.contents()) == (["one", "two"], ["other"])
    session.delete()
    assert other.contents() == ["other"]
    assert session.client.get(f"/v1/messages/{copy['id']}").json()["session_id"] == other.name
    assert other.types() == ["started", "message-added", "message-edited"]


def test_the_events_of_a_fork_name_what_led_to_them(session: Talk) -> None:
    session.add("one", "two")
    stream_id = session.trail()[0]["stream_id"]
    other = forked(session, version=2)
    assert {event["causation_id"] for event in other.trail()} == {f"{stream_id}/2"}
    assert other.trail()[0]["payload"]["origin"] == {"stream_id": stream_id, "version": 2}


def test_a_fork_at_a_message_is_as_it_was_then(session: Talk) -> None:
    one, two, _ = session.add("one", "two", "three")
    session.change(one["id"], {"content": "1"})
    session.merge({"late": True})
    other = forked(session, message_id=two["id"])
    assert other.contents() == ["one", "two"]
    assert (other.get().json()["metadata"], other.get().json()["forked_from"]["version"]) == (None, 3)
    session.remove(two["id"])
    assert forked(session, message_id=two["id"]).contents() == ["one", "two"]


def test_a_fork_at_a_message_may_have_what_was_changed_later(session: Talk) -> None:
    one, two, _ = session.add("one", "two", "three")
    session.change(one["id"], {"content": "1"})
    other = forked(session, message_id=two["id"], version=5)
    assert other.contents() == ["1", "two"]
    assert other.get().json()["forked_from"]["version"] == 5


def test_a_fork_of_any_version_is_what_was_seen_then(session: Talk) -> None:
    for version in lived(session):
        if session.page(as_of=version).status_code == 404:
            assert_refused(fork(session, version=version), 404)
        else:
            other = forked(session, version=version)
            assert said(other) == said(session, as_of=version)
            assert other.get().json()["metadata"] == session.get(as_of=version).json()["metadata"]


def test_a_fork_of_a_fork_and_a_fork_of_what_is_renamed_or_deleted(session: Talk) -> None:
    session.add("one")
    other = forked(forked(session))
    assert other.contents() == ["one"]
    middle = other.get().json()["forked_from"]["session_id"]
    session.client.post(f"/v1/sessions/{middle}/rename", json={"session_id": f"{middle}-b"})
    assert other.get().json()["forked_from"]["session_id"] == f"{middle}-b"
    session.client.delete(f"/v1/sessions/{middle}-b")
    assert other.get().json()["forked_from"]["session_id"] == f"{middle}-b"
    assert_refused(session.client.post(f"/v1/sessions/{middle}-b/fork", json={}), 404)


def test_lists_show_what_is_forked_from_what(session: Talk) -> None:
    user = f"ana-{uuid4()}"
    session.client.post("/v1/sessions", json={"session_id": session.name, "user_id": user})
    other = forked(session)
    for path in (f"/v1/users/{user}/sessions", f"/v1/sessions?user_id={user}"):
        first, second = session.client.get(path).json()["items"]
        assert first["forked_from"] is None
        assert (second["session_id"], second["forked_from"]["session_id"]) == (other.name, session.name)


def test_forks_that_cannot_be(session: Talk) -> None:
    (message,) = session.add("one")
    other = new_session(session.client)
    (foreign,) = other.add("two")
    assert_refused(fork(session, session_id=other.name), 409)
    assert_refused(fork(session, session_id=session.name), 409)
    assert_refused(fork(session, version=3), 422, field="version")
    assert_refused(fork(session, message_id=foreign["id"]), 404)
    assert_refused(fork(session, message_id=message["id"], version=1), 404)
    assert_refused(fork(new_session(session.client)), 404)
    assert len(session.trail()) == 2


def test_a_fork_takes_so_many_messages_and_no_more(session: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "MESSAGES_MAX", 3)
    added = session.add(*"abcd")
    problem = assert_refused(fork(session), 422, field="message_id")
    assert "at most 3 messages, and 64 MiB: name an earlier one" in problem["detail"]
    assert forked(session, message_id=added[2]["id"]).contents() == ["a", "b", "c"]
    session.delete()
    session.add("e")
    assert forked(session).contents() == ["e"]


# The replay


def replay(talk: Talk, headers: dict[str, str] | None = None, **query: Any) -> list[dict[str, str]]:
    """The records of the stream: their fields."""
    answer = talk.client.get(f"{talk.path}/replay", params={"speed": "max", **query}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    return list(map(fields, answer.text.removesuffix("\n\n").split("\n\n")))


def fields(record: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in record.split("\n"))


def test_a_replay_is_the_audit_trail_once_more(session: Talk) -> None:
    lived(session)
    *events, end = replay(session)
    assert end == {"event": "end", "data": "{}"}
    trail = session.trail()
    assert [json.loads(event["data"]) for event in events] == trail
    assert [(int(event["id"]), event["event"]) for event in events] == [
        (entry["version"], entry["type"]) for entry in trail
    ]


def test_a_part_of_a_replay(session: Talk) -> None:
    session.add(*"abcdef")

    def ids(query: dict[str, Any], headers: dict[str, str] | None = None) -> list[int]:
        *events, end = replay(session, headers, **query)
        assert end["event"] == "end"
        return [int(event["id"]) for event in events]

    assert ids({"speed": "0"}) == [1, 2, 3, 4, 5, 6, 7]
    assert ids({"from": 3, "to": 5}) == [3, 4, 5]
    assert ids({"from": 6}) == [6, 7]
    assert ids({"to": 2}) == [1, 2]
    assert ids({"from": 5, "to": 4}) == ids({"from": 8}) == []
    assert ids({}, {"Last-Event-ID": "5"}) == [6, 7]


def test_a_deleted_session_can_be_replayed_and_a_missing_one_cannot(session: Talk) -> None:
    assert_refused(session.client.get(f"{session.path}/replay"), 404)
    session.add("one")
    session.delete()
    assert [record["event"] for record in replay(session)] == [
        "session.started",
        "session.message-added",
        "session.deleted",
        "end",
    ]


def test_between_events_there_are_the_pauses_of_then(session: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    session.add("one")  # the requests of these tests are a minute apart
    session.add("two")
    session.add("three")
    monkeypatch.setattr("recountdb.api.http.routes.timetravel.PAGE_ENTRIES", 2)
    pauses, records = paused(session, speed=60, is_stopped=lambda count: False)
    assert pauses == [1, 1]
    assert len(records) == 5
    assert paused(session, speed=1, is_stopped=lambda count: False)[0] == [5, 5]


def test_a_replay_ends_with_its_server(session: Talk) -> None:
    session.add("one")
    session.add("two")
    pauses, records = paused(session, speed=60, is_stopped=lambda count: count == 1)
    assert (len(pauses), len(records)) == (1, 2)


def paused(talk: Talk, *, speed: float, is_stopped: Callable[[int], bool]) -> tuple[list[float], list[bytes]]:
    """The pauses a replay makes, and its records. ``is_stopped``: after how many pauses the server ends."""
    store = talk.client.app.state.store  # type: ignore[attr-defined]
    stream_id = UUID(talk.trail()[0]["stream_id"])
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        store.tail.is_stopped = is_stopped(len(pauses))

    async def records() -> list[bytes]:
        return [record async for record in replayed(store, stream_id, 1, 100, speed, pause)]

    try:
        return pauses, asyncio.run(records())
    finally:
        store.tail.is_stopped = False
