"""Each request has an id: the caller's, or one made here; it is in the answer and in what was recorded."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tests.support.routes import ROUTES, Place, Route, call, make_ready


@pytest.mark.parametrize("route", [route for route in ROUTES if route.writes], ids=str)
def test_what_a_request_records_has_its_id(shared: TestClient, route: Route) -> None:
    place = Place()
    place.furnish(shared)
    make_ready(shared, route, place)
    answer = call(shared, route, place, headers={"X-Request-Id": f"id-of-{route.id}"})
    assert answer.headers["x-request-id"] == f"id-of-{route.id}"
    newest = shared.get("/v1/events", params={"order": "newest", "limit": 1}).json()["items"]
    assert [event["request_id"] for event in newest] == [f"id-of-{route.id}"]


@pytest.mark.parametrize("given", ["a", "x" * 128, "!~:/?#[]@", '"quoted"', "00-4bf92f-01"])
def test_an_id_is_given_back_as_it_came(shared: TestClient, given: str) -> None:
    for path in ("/v1/health", "/v1/nowhere", "/metrics", "/v1/sessions?limit=0", "/v1/sessions/%ff"):
        assert shared.get(path, headers={"X-Request-Id": given}).headers.get_list("x-request-id") == [given]


def test_a_request_without_one_gets_one_of_its_own(shared: TestClient) -> None:
    ids = {shared.get("/v1/health").headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5
