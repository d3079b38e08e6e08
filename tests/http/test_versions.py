"""Versions: each answer's ETag, and If-Match, which has a write refused at any other one."""

from __future__ import annotations

from uuid import uuid4

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from tests.support.routes import ROUTES, Place, Route, call
from tests.support.talk import Talk

WRITES = [route for route in ROUTES if route.writes]
STARTS = [route for route in WRITES if route.path.count("/") == 2]
CHANGES = [route for route in WRITES if route not in STARTS]


def version_of(answer: Response) -> int:
    return int(answer.headers["etag"].strip('"'))


def about(route: Route, place: Place) -> str:
    """The address of the session, thread or user that ``route`` writes to."""
    return "/".join(place.url(route).split("/")[:4])


def test_every_answer_about_a_conversation_has_its_version_as_etag(talk: Talk) -> None:
    (message,) = talk.add("one")
    answers = [
        talk.post({"messages": [{"role": "user"}]}),
        talk.merge({"a": 1}),
        talk.change(message["id"], {"content": "two"}),
        talk.remove(message["id"]),
        talk.delete(),
        talk.undelete(),
        talk.get(),
        talk.page(),
    ]
    assert [version_of(answer) for answer in answers] == [3, 4, 5, 6, 7, 8, 8, 8]
    assert len(talk.trail()) == talk.get().json()["version"] == 8


def test_a_user_has_a_version_too(client: TestClient) -> None:
    answers = [
        client.post("/v1/users", json={"user_id": "ana"}),
        client.patch("/v1/users/ana", json={"email": "ana@example.org"}),
        client.delete("/v1/users/ana"),
        client.post("/v1/users/ana/undelete"),
    ]
    assert [version_of(answer) for answer in answers] == [1, 2, 3, 4]
    assert version_of(client.get("/v1/users/ana")) == 4


def test_the_past_has_the_etag_of_its_version(talk: Talk) -> None:
    talk.add("one", "two")
    assert version_of(talk.get(as_of=2)) == 2
    assert version_of(talk.page(as_of=2)) == 2


@pytest.mark.parametrize("route", CHANGES, ids=str)
def test_a_write_at_another_version_is_refused_with_the_current_one(shared: TestClient, route: Route) -> None:
    place = Place()
    place.furnish(shared)
    at = about(route, place)
    current = version_of(shared.get(at))
    for wrong in (0, current - 1, current + 1, 10**17):
        refused = call(shared, route, place, headers={"If-Match": f'"{wrong}"'})
        assert refused.status_code == 412, refused.text
        assert version_of(refused) == refused.json()["current_version"] == current
        assert refused.json()["type"] == "urn:recount:problem:version-mismatch"
    assert version_of(shared.get(at)) == current


@pytest.mark.parametrize("spelling", ['"{}"', "{}", ' "{}" ', "*"])
@pytest.mark.parametrize("route", CHANGES, ids=str)
def test_a_write_at_the_current_version_is_carried_out(
    shared: TestClient, route: Route, spelling: str
) -> None:
    place = Place()
    place.furnish(shared)
    current = version_of(shared.get(about(route, place)))
    done = call(shared, route, place, headers={"If-Match": spelling.format(current)})
    assert done.status_code == route.status, done.text


@pytest.mark.parametrize("route", STARTS, ids=str)
def test_a_start_expects_version_0(shared: TestClient, route: Route) -> None:
    refused = call(shared, route, Place(), headers={"If-Match": '"1"'})
    assert (refused.status_code, refused.json()["current_version"]) == (412, 0)
    assert call(shared, route, Place(), headers={"If-Match": '"0"'}).status_code == 201


def test_a_first_message_can_insist_on_being_first(talk: Talk) -> None:
    body = {"messages": [{"role": "user", "content": "first"}]}
    assert talk.post(body, **{"If-Match": "0"}).status_code == 201
    late = talk.post(body, **{"If-Match": "0"})
    assert (late.status_code, late.json()["current_version"]) == (412, 2)


def test_a_stale_version_is_refused_even_where_nothing_would_change(talk: Talk) -> None:
    talk.merge({"a": 1})
    talk.add("one")
    talk.merge({"a": 1})
    assert talk.merge({"a": 1}, **{"If-Match": '"1"'}).status_code == 412


@pytest.mark.parametrize(
    "header",
    ['"x"', "x", "-1", '"1', "1.0", "W/1", 'w/"1"', '"1", "2"', "9" * 19, "9" * 5000, "é", "", '""', "٣"],
)
def test_an_if_match_that_is_no_version_is_refused(shared: TestClient, header: str) -> None:
    url = f"/v1/sessions/{uuid4()}/messages"
    body = {"messages": [{"role": "user"}]}
    refused = shared.post(url, json=body, headers={b"If-Match": header.encode()})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "If-Match")
