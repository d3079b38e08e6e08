"""Headers that cannot be taken. (If-Match and Idempotency-Key have more in files of their own.)"""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from tests.support.hostile import assert_refused
from tests.support.routes import ROUTES, Place, Route, call

ABSURD = {
    "If-Match": [b"x", b"-1", b'"1', b"9" * 5000, b"\xff", b"\xed\xa0\x80"],
    "Idempotency-Key": [b"", b" ", b"a b", b"x" * 256, b"\xff", b"x" * 20_000],
}


@pytest.fixture(scope="module")
def place(shared: TestClient) -> Place:
    place = Place()
    place.furnish(shared)
    return place


@pytest.mark.usefixtures("nothing_recorded")
@pytest.mark.parametrize("header", ABSURD)
@pytest.mark.parametrize("route", [route for route in ROUTES if route.writes], ids=str)
def test_absurd_headers_of_writes(shared: TestClient, route: Route, header: str, place: Place) -> None:
    assert header.lower() in route.names("header")
    for value in ABSURD[header]:
        answer = call(shared, route, place, headers={header.encode(): value})
        assert_refused(answer, 422, field=header)


@pytest.mark.parametrize(
    "value", [b"", b"x", b"-1", b"1.5", b"9" * 19, b"9" * 5000, b"\xb2", b"\xff", b"1 2"]
)
def test_absurd_last_event_ids(shared: TestClient, value: bytes) -> None:
    answer = shared.get("/v1/events/stream", headers={b"Last-Event-ID": value})
    assert_refused(answer, 422, field="Last-Event-ID")


@pytest.mark.parametrize("value", [b"", b" ", b"a b", b"x" * 129, b"x" * 20_000, b"\xff", b"\x7f", b"a\tb"])
def test_an_absurd_request_id_is_replaced(shared: TestClient, value: bytes) -> None:
    answer = shared.post("/v1/threads", json={}, headers={b"X-Request-Id": value})
    assert answer.status_code == 201
    (given,) = answer.headers.get_list("x-request-id")
    assert re.fullmatch(r"[0-9a-f-]{36}", given)
    trail = shared.get(f"/v1/threads/{answer.json()['thread_id']}/events").json()["items"]
    assert [event["request_id"] for event in trail] == [given]
