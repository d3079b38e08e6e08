"""The past: conversations and messages as of a version or a time."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from tests.support.talk import Talk

pytestmark = pytest.mark.usefixtures("clock")


def lived(talk: Talk) -> list[dict[str, Any]]:
    """Give ``talk`` a life of each kind of event; what it looked like after each of them.

    Every step is one event. ``page`` and ``message`` are None where there were none to see.
    """
    said: dict[str, Any] = {"id": str(uuid4()), "role": "user", "content": "one", "metadata": {"n": 1}}
    seen: list[dict[str, Any]] = []

    def look() -> None:
        state = talk.get(deleted=True).json()
        page, message = talk.page(limit=1000), talk.message(said["id"])
        seen.append(
            {
                "version": state["version"],
                "moment": state["updated_at"],
                "state": state,
                "page": page.json()["items"] if page.status_code == 200 else None,
                "message": message.json() if message.status_code == 200 else None,
            }
        )

    talk.client.post(f"/v1/{talk.kind}s", json={f"{talk.kind}_id": talk.name})
    look()
    for step in (
        lambda: talk.post({"messages": [said]}),
        lambda: talk.add("two"),
        lambda: talk.change(said["id"], {"content": "changed"}),
        lambda: talk.change(said["id"], {"metadata": {"m": 2}}),
        lambda: talk.merge({"mood": "good"}),
        talk.delete,
        talk.undelete,
        lambda: talk.add("three"),
        lambda: talk.remove(said["id"]),
    ):
        step()
        look()
    talk.delete()
    talk.add("four")  # two events; what went before stays hidden
    look()
    return seen


def test_the_past_looks_as_it_did(talk: Talk) -> None:
    for then in lived(talk):
        for as_of in (then["version"], then["moment"]):
            assert talk.get(as_of=as_of).json() == then["state"]
            page = talk.page(as_of=as_of)
            assert (page.json()["items"] if page.status_code == 200 else None) == then["page"]
            if then["message"] is None:
                assert_not_there(talk, as_of, then["page"] or [])
            else:
                message = talk.message(then["message"]["id"], as_of=as_of)
                assert message.json() == then["message"]


def assert_not_there(talk: Talk, as_of: object, page: list[dict[str, Any]]) -> None:
    seen = {message["id"] for message in page}
    for event in talk.trail():
        if event["type"].endswith("message-added") and event["payload"]["message"]["id"] not in seen:
            assert talk.message(event["payload"]["message"]["id"], as_of=as_of).status_code == 404


def test_between_two_events_it_was_as_after_the_first(talk: Talk) -> None:
    for then in lived(talk):
        a_second_later = then["moment"].replace(":00Z", ":01Z")
        assert a_second_later > then["moment"]
        assert talk.get(as_of=a_second_later).json() == then["state"]


def test_before_it_began_there_was_nothing(talk: Talk) -> None:
    (message,) = talk.add("one")
    for as_of in (0, "2000-01-01T00:00:00Z", "0001-01-01T00:00:00Z"):
        for answer in (
            talk.get(as_of=as_of),
            talk.page(as_of=as_of),
            talk.message(message["id"], as_of=as_of),
        ):
            assert answer.status_code == 404
    assert talk.message(message["id"], as_of=1).status_code == 404


def test_a_version_to_come_is_refused_and_a_time_to_come_is_now(talk: Talk) -> None:
    (message,) = talk.add("one")
    for answer in (talk.get(as_of=3), talk.page(as_of=10**17), talk.message(message["id"], as_of=3)):
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "as_of")
    assert talk.get(as_of="9999-12-31T23:59:59Z").json() == talk.get().json()


def test_a_moment_may_be_told_in_any_zone(talk: Talk) -> None:
    talk.add("one")
    then = talk.get().json()
    moment = then["updated_at"]
    talk.add("two")
    hour = int(moment[11:13])
    assert 1 < hour < 22, "the tests' clock begins at noon"
    for spelling in (
        moment,
        moment.replace("Z", "+00:00"),
        moment.replace("Z", ""),
        moment.replace("T", " "),
        f"{moment[:11]}{hour + 2:02}{moment[13:-1]}+02:00",
        f"{moment[:11]}{hour - 1:02}{moment[13:-1]}-01:00",
    ):
        assert talk.get(as_of=spelling).json() == then, spelling


def test_pages_of_the_past_are_paged_and_filtered_as_those_of_today(talk: Talk) -> None:
    talk.add(*"abc")
    talk.add(*"def", role="assistant", metadata={"n": [1, {"x": None}]}, user_id="ana")
    removed = talk.page().json()["items"][2]
    talk.remove(removed["id"])
    version = talk.get().json()["version"]
    queries: list[dict[str, Any]] = [
        {},
        {"role": "assistant"},
        {"user_id": "ana"},
        {"metadata": '{"n": [{}]}'},
        {"deleted": "true"},
        {"deleted": "any"},
        {"since": removed["recorded_at"]},
        {"until": removed["recorded_at"]},
    ]
    today = [collected(talk, query) for query in queries]
    talk.add("later", role="assistant", user_id="ana", metadata={"n": [{}]})
    talk.delete()
    then = [collected(talk, {**query, "as_of": version}) for query in queries]
    assert then == today
    assert [len(found) for found in today] == [5, 2, 2, 2, 1, 6, 2, 3]


def collected(talk: Talk, query: dict[str, Any]) -> list[dict[str, Any]]:
    """All messages by pages of two, in both orders the same."""
    found: dict[str, list[dict[str, Any]]] = {"oldest": [], "newest": []}
    for order, items in found.items():
        cursor: dict[str, str] = {}
        while True:
            page = talk.page(order=order, limit=2, **query, **cursor).json()
            items += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
    assert found["newest"] == found["oldest"][::-1]
    return found["oldest"]


def test_a_renamed_session_has_its_past_under_its_new_name(shared: TestClient) -> None:
    old, new = (Talk(shared, f"/v1/sessions/{uuid4()}") for _ in range(2))
    old.add("one")
    then = old.get().json()
    shared.post(f"{old.path}/rename", json={"session_id": new.name})
    assert new.get(as_of=2).json() == then
    assert old.get(as_of=2).status_code == 404


def test_a_user_has_a_past_too(shared: TestClient) -> None:
    url = f"/v1/users/{uuid4()}"
    states = [
        shared.post("/v1/users", json={"user_id": url.rsplit("/", 1)[1], "email": "a@example.org"}).json(),
        shared.patch(url, json={"email": "b@example.org"}).json(),
        shared.patch(url, json={"metadata": {"a": 1}}).json(),
        shared.delete(url).json(),
    ]
    for state in states:
        assert shared.get(url, params={"as_of": state["version"]}).json() == state
        assert shared.get(url, params={"as_of": state["updated_at"]}).json() == state


def test_the_past_of_a_long_session_does_not_hang_on_its_snapshots(shared: TestClient) -> None:
    talk = Talk(shared, f"/v1/sessions/{uuid4()}")
    for hundred in range(6):
        talk.add(*(str(hundred * 100 + number) for number in range(100)))
    for version in (2, 400, 500, 501, 502, 601):
        assert talk.get(as_of=version).json()["message_count"] == version - 1
        assert talk.page(as_of=version, limit=1).json()["items"][0]["content"] == str(version - 2)
