"""Bodies that cannot be taken: refused by every route, with the culprit's name, and nothing recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.hostile import (
    DOCUMENTS,
    SECRET,
    assert_refused,
    places,
    put,
    text_with,
    wrong_values,
)
from tests.support.routes import ROUTES, Place, Route, body_for, call

pytestmark = pytest.mark.usefixtures("nothing_recorded", "nothing_told")

WITH_BODY = [route for route in ROUTES if route.takes_body]
JSON = {"Content-Type": "application/json"}
BROKEN = [
    b"",
    b" ",
    b"{",
    b'{"metadata": {"a": "' + SECRET.encode(),
    b"{'metadata': 1}",
    b'{"metadata": {},}',
    b"{}{}",
    b'{"metadata": \xff\xfe}',
    b"\x00",
    b"metadata=" + SECRET.encode(),
]
NO_OBJECT: list[Any] = [None, True, 7, 1.5, SECRET, [], [SECRET], [{"metadata": {}}]]


@pytest.fixture(scope="module")
def place(shared: TestClient) -> Place:
    place = Place()
    place.furnish(shared)
    return place


def dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_what_is_not_json(shared: TestClient, route: Route, place: Place) -> None:
    for text in BROKEN:
        answer = call(shared, route, place, content=text, headers=JSON)
        assert_refused(answer, 400, 422, field="body")


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_what_is_not_an_object(shared: TestClient, route: Route, place: Place) -> None:
    for body in NO_OBJECT:
        assert_refused(call(shared, route, place, json=body), 422, field="body")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "json", "é"])
@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_what_does_not_call_itself_json(
    shared: TestClient, route: Route, place: Place, content_type: str
) -> None:
    body = json.dumps(body_for(route, place) | {"metadata": {"a": SECRET}})
    headers = {b"Content-Type": content_type.encode()}
    answer = shared.request(route.method, place.url(route), content=body, headers=headers)
    problem = assert_refused(answer, 415, field="body")
    assert "Content-Type: application/json" in problem["detail"]
    assert answer.headers["accept"] == "application/json"


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_members_that_nobody_knows(shared: TestClient, route: Route, place: Place) -> None:
    body = body_for(route, place)
    for name in ("unknown", "Metadata", "", " metadata", "__class__", "\0", "x" * 10_000):
        assert_refused(call(shared, route, place, json={**body, name: SECRET}), 422, field=name[:100])


@pytest.mark.parametrize("kind", ["session", "thread"])
def test_members_of_messages_that_nobody_knows(shared: TestClient, kind: str) -> None:
    message = {"role": "user", "recorded_at": SECRET}
    answer = shared.post(f"/v1/{kind}s/{Place().thread_id}/messages", json={"messages": [message]})
    assert_refused(answer, 422, field="messages.0.recorded_at")


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_values_of_the_wrong_type(shared: TestClient, route: Route, place: Place) -> None:
    body = body_for(route, place)
    wrong = list(wrong_values(route.body_schema()))
    for path, value in wrong:
        answer = call(shared, route, place, json=put(body, path, value))
        assert_refused(answer, 422, field=dotted(path) or "body")
    assert {path[0] for path, _ in wrong if path} >= body.keys() - {"state"}


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_values_that_no_store_could_give_back(shared: TestClient, route: Route, place: Place) -> None:
    body = body_for(route, place)
    for path in places(body):
        for name, fragment in DOCUMENTS.items():
            text = text_with(body, path, fragment)
            answer = call(shared, route, place, content=text, headers=JSON)
            problem = assert_refused(answer, 400, 413, 422)
            match answer.status_code:
                case 422:
                    assert_refused(answer, field=dotted(path))
                case 413:
                    assert name.startswith("100000 ")
                case _:
                    assert problem["type"] == "urn:recount:problem:malformed", name


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_required_members_left_out(shared: TestClient, route: Route, place: Place) -> None:
    body = body_for(route, place)
    for name in route.body_schema().get("required", []):
        without = {member: value for member, value in body.items() if member != name}
        assert_refused(call(shared, route, place, json=without), 422, field=name)


NAMES = {
    "start_session": ["session_id", "user_id"],
    "rename_session": ["session_id"],
    "add_session_messages": ["user_id"],
    "create_user": ["user_id"],
}


@pytest.mark.parametrize("route", [route for route in WITH_BODY if route.id in NAMES], ids=str)
def test_names_that_are_none(shared: TestClient, route: Route, place: Place) -> None:
    for member in NAMES[route.id]:
        for name in ("", "x" * 513, "👩" * 513, *(f"{SECRET}{c}" for c in "\0\x01\t\n\r\x1f\x7f\x85\x9f")):
            body = {**body_for(route, place), member: name}
            assert_refused(call(shared, route, place, json=body), 422, field=member)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("token_count", -1),
        ("token_count", 2**53 + 1),
        ("token_count", 7.0),
        ("token_count", "7"),
        ("token_count", True),
        ("role", ""),
        ("user_id", "x" * 513),
        ("id", "not-a-uuid"),
        ("timestamp", "2026-13-01T00:00:00Z"),
        ("timestamp", "2026-11-20T25:00:00Z"),
        ("timestamp", "2026-11-20 at noon"),
        ("timestamp", "0001-01-01T00:00:00+14:00"),
        ("timestamp", "9999-12-31T23:59:59-14:00"),
        ("timestamp", "10000-01-01T00:00:00Z"),
        ("timestamp", "-0001-01-01T00:00:00Z"),
        ("timestamp", "1700000000"),
        ("timestamp", 1700000000),
        ("timestamp", ""),
        ("timestamp", "infinity"),
    ],
)
def test_members_of_a_message_out_of_bounds(shared: TestClient, member: str, value: Any) -> None:
    body = {"messages": [{"role": "user", "content": SECRET, member: value}]}
    answer = shared.post(f"/v1/sessions/{Place().session_id}/messages", json=body)
    assert_refused(answer, 422, field=f"messages.0.{member}")


@pytest.mark.parametrize("count", [0, 10_001])
def test_too_few_messages_and_too_many(shared: TestClient, count: int) -> None:
    body = {"messages": [{"role": "user"}] * count}
    answer = shared.post(f"/v1/sessions/{Place().session_id}/messages", json=body)
    assert_refused(answer, 422, field="messages")
