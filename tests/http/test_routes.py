"""Every route does what it is for, and answers in just the shape that it promises."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tests.support.routes import ANSWERING, RESOURCES, ROUTES, Place, Route, body_for, call, make_ready


@pytest.mark.every
@pytest.mark.parametrize("route", [route for route in ANSWERING if route.id in RESOURCES], ids=str)
def test_each_route_answers_in_the_shape_it_promises(shared: TestClient, route: Route) -> None:
    place = Place()
    place.furnish(shared)
    make_ready(shared, route, place)
    answer = call(shared, route, place)
    assert answer.status_code == route.status, answer.text
    assert answer.headers["content-type"] == "application/json"
    resource = RESOURCES[route.id].model_validate_json(answer.content)
    assert resource.model_dump(mode="json", exclude_unset=True) == answer.json()


def test_the_bodies_used_in_tests_have_every_member_there_is() -> None:
    """So that what is tested for all members is tested for those added later, too."""
    for route in (route for route in ROUTES if route.takes_body):
        assert body_for(route, Place()).keys() == route.body_schema()["properties"].keys(), route
