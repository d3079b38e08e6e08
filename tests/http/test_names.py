"""Names of any kind reach their session or user as they are, through any address."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from starlette.testclient import TestClient

from tests.support.documents import names
from tests.support.talk import Talk

CURIOUS = [
    " ",
    "a b",
    " a",
    "a ",
    "a/b",
    "/",
    "//",
    "/v1/sessions",
    "a/messages",
    "messages",
    "events",
    "stream",
    "rename",
    "undelete",
    "%",
    "%2F",
    "%252F",
    "100%",
    "a?b=c",
    "#",
    "a#b",
    "a&b=c",
    "a+b",
    "a;b",
    "a:b",
    "@",
    "a\\b",
    '"',
    "'; --",
    "{session_id}",
    ".",
    "..",
    "...",
    "../users",
    "null",
    "0",
    "*",
    "👩‍👩‍👧",
    "e\u0301",
    "\u00e9",
    "\u2028",
    "\u00a0",
    "\ufeff",
    "\U0010ffff",
    "x" * 512,
    "👩" * 512,
    "%" * 512,
]


def segment(name: str) -> str:
    """The name as one segment of an address; dots too, which clients would otherwise take for steps."""
    return quote(name, safe="").replace(".", "%2E")


@pytest.mark.parametrize("name", CURIOUS, ids=ascii)
def test_a_session_of_any_name(shared: TestClient, name: str) -> None:
    assert_session_works(shared, name)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=names)
def test_a_session_of_any_other_name(shared: TestClient, name: str) -> None:
    assert_session_works(shared, name)


def assert_session_works(client: TestClient, name: str) -> None:
    talk = Talk(client, f"/v1/sessions/{segment(name)}")
    (message,) = talk.add("hi")
    state = talk.get().json()
    assert state["session_id"] == name
    found = client.get(f"/v1/messages/{message['id']}").json()
    assert found["session_id"] == name
    assert talk.message(message["id"]).json() == message
    events = client.get("/v1/events", params={"session_id": name, "limit": 1000}).json()["items"]
    assert events == talk.trail(limit=1000)
    renamed = client.post(f"{talk.path}/rename", json={"session_id": f"{name[:-1]}!"})
    assert renamed.json()["session_id"] == f"{name[:-1]}!"
    again = Talk(client, f"/v1/sessions/{segment(name[:-1] + '!')}")
    client.post(f"{again.path}/rename", json={"session_id": name})
    assert talk.delete().json()["deleted_at"] is not None
    assert talk.undelete().json()["session_id"] == name


@pytest.mark.parametrize("name", CURIOUS, ids=ascii)
def test_a_user_of_any_name(shared: TestClient, name: str) -> None:
    url = f"/v1/users/{segment(name)}"
    assert shared.post("/v1/users", json={"user_id": name}).status_code == 201
    assert shared.get(url).json()["user_id"] == name
    assert shared.patch(url, json={"email": "x"}).json()["user_id"] == name
    session = shared.post("/v1/sessions", json={"user_id": name}).json()
    assert shared.get(f"{url}/sessions").json()["items"] == [session]
    assert shared.get("/v1/sessions", params={"user_id": name}).json()["items"] == [session]
    assert len(shared.get(f"{url}/events").json()["items"]) == 2


def test_names_that_look_alike_are_different_names(shared: TestClient) -> None:
    alike = ["same", "Same", "same ", " same", "sam\u0435", "same\u200b", "same\u0301", "sam\u00e9", "%73ame"]
    for name in alike:
        assert shared.post("/v1/sessions", json={"session_id": name}).status_code == 201
    numbers = [shared.get(f"/v1/sessions/{segment(name)}").json()["number"] for name in alike]
    assert len(set(numbers)) == len(alike)


def test_an_encoded_letter_is_that_letter(shared: TestClient) -> None:
    shared.post("/v1/sessions", json={"session_id": "letters"})
    assert shared.get("/v1/sessions/%6C%65tters").json()["session_id"] == "letters"


def test_a_slash_as_such_is_no_part_of_a_name(shared: TestClient) -> None:
    shared.post("/v1/sessions", json={"session_id": "one/two"})
    assert shared.get("/v1/sessions/one/two").status_code == 404
    assert shared.get("/v1/sessions/one%2Ftwo").status_code == 200
    assert shared.get("/v1/sessions/one%2ftwo").status_code == 200
