"""Pages: in either order, and while rows are added in between, nothing comes twice or is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from tests.support.talk import Talk


class List:
    """A list of the API in a test: what is in it, and how to add to it."""

    def __init__(self, client: TestClient, path: str, add: Callable[[str], object], *shown: str) -> None:
        self.client, self.path, self.add, self.shown = client, path, add, shown

    def page(self, **query: Any) -> tuple[list[Any], str | None]:
        answer = self.client.get(self.path, params=query)
        assert answer.status_code == 200, answer.text
        return list(map(self.label, answer.json()["items"])), answer.json()["next_cursor"]

    def label(self, item: Any) -> Any:
        for member in self.shown:
            item = item[member]
        return item


def starts(client: TestClient, kind: str, **members: str) -> Callable[[str], object]:
    return lambda name: client.post(f"/v1/{kind}s", json={f"{kind}_id": name, **members})


def says(client: TestClient, path: str) -> Callable[[str], object]:
    return Talk(client, path).add


LISTS: dict[str, Callable[[TestClient], List]] = {
    "sessions": lambda c: List(c, "/v1/sessions", starts(c, "session"), "session_id"),
    "threads": lambda c: List(c, "/v1/threads", starts(c, "thread"), "thread_id"),
    "users": lambda c: List(c, "/v1/users", starts(c, "user"), "user_id"),
    "sessions of a user": lambda c: List(
        c, "/v1/users/ana/sessions", starts(c, "session", user_id="ana"), "session_id"
    ),
    "messages of a session": lambda c: List(
        c, "/v1/sessions/a/messages", says(c, "/v1/sessions/a"), "content"
    ),
    "messages as they were": lambda c: List(
        c, "/v1/sessions/a/messages?as_of=9999-12-31", says(c, "/v1/sessions/a"), "content"
    ),
    "all messages": lambda c: List(c, "/v1/messages", says(c, "/v1/sessions/a"), "content"),
    "events": lambda c: List(c, "/v1/events", starts(c, "user"), "payload", "name"),
    "events of a session": lambda c: List(
        c,
        "/v1/sessions/a/events",
        lambda name: (
            c.post("/v1/sessions/a/rename", json={"session_id": name})
            and c.post(f"/v1/sessions/{name}/rename", json={"session_id": "a"})
        ),
        "version",
    ),
}


@pytest.fixture(params=LISTS)
def listed(request: pytest.FixtureRequest, client: TestClient) -> List:
    client.post("/v1/sessions", json={"session_id": "other"})
    found = LISTS[request.param](client)
    if found.path.startswith("/v1/sessions/a"):
        client.post("/v1/sessions", json={"session_id": "a"})
    return found


def names(count: int) -> list[str]:
    return [str(uuid4()) for _ in range(count)]


def all_pages(listed: List, **query: Any) -> list[Any]:
    found, cursor = listed.page(**query)
    while cursor is not None:
        items, cursor = listed.page(cursor=cursor, **query)
        assert items, "a cursor leads to something"
        found += items
    return found


def test_pages_put_together_are_the_list_in_either_order(listed: List) -> None:
    for name in names(6):
        listed.add(name)
    whole, end = listed.page(order="oldest", limit=1000)
    assert end is None
    assert len(whole) >= 6
    for limit in (1, 2, 3, 7, 1000):
        assert all_pages(listed, order="oldest", limit=limit) == whole
        assert all_pages(listed, order="newest", limit=limit) == whole[::-1]
    assert listed.page(order="oldest", limit=len(whole)) == (whole, None), "a full last page is the end"


def test_what_is_added_in_between_is_neither_lost_nor_seen_twice(listed: List) -> None:
    for name in names(4):
        listed.add(name)
    before, _ = listed.page(order="oldest", limit=1000)
    oldest, up = listed.page(order="oldest", limit=2)
    newest, down = listed.page(order="newest", limit=2)
    while up is not None or down is not None:
        if len(oldest) < 20:
            listed.add(*names(1))
        if up is not None:
            items, up = listed.page(order="oldest", limit=2, cursor=up)
            oldest += items
        if down is not None:
            items, down = listed.page(order="newest", limit=2, cursor=down)
            newest += items
    after, _ = listed.page(order="oldest", limit=1000)
    assert len(after) > len(before)
    assert oldest == after, "going forwards sees what was added"
    assert newest == before[::-1], "going backwards sees what was there"


def test_deleting_what_a_cursor_stands_on_does_not_disturb_it(talk: Talk) -> None:
    messages = talk.add(*"abcdef")
    page = talk.page(order="oldest", limit=3).json()
    for message in messages[1:4]:
        talk.remove(message["id"])
    rest = talk.page(order="oldest", limit=3, cursor=page["next_cursor"]).json()
    assert [message["content"] for message in page["items"] + rest["items"]] == list("abcef")


def test_lists_are_in_the_order_things_began_and_messages_the_newest_first(client: TestClient) -> None:
    for name in "abc":
        Talk(client, f"/v1/sessions/{name}").add(name)
    Talk(client, "/v1/sessions/a").add("d")
    sessions = client.get("/v1/sessions").json()["items"]
    assert [session["session_id"] for session in sessions] == ["a", "b", "c"]
    assert [session["number"] for session in sessions] == [1, 2, 3]
    messages = client.get("/v1/messages").json()["items"]
    assert [message["content"] for message in messages] == ["d", "c", "b", "a"]


def test_a_page_has_fifty_items_unless_asked_otherwise(talk: Talk) -> None:
    talk.add(*map(str, range(60)))
    assert len(talk.page().json()["items"]) == 50
    assert len(talk.trail()) == 50
