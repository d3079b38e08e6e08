"""Without keys only this machine is answered, and no page that somebody's browser got elsewhere."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tests.support.hostile import assert_refused
from tests.support.routes import ROUTES, Place, Route, call

OURS = ["127.0.0.1", "127.0.0.1:8000", "localhost", "localhost:8000", "LocalHost:1", "[::1]", "[::1]:8000"]
STRANGE = [
    "recount.example.org",
    "localhost.example.org",
    "127.0.0.1.example.org:8000",
    "[::1].example.org",
    "example.org:127.0.0.1",
    "localhost@example.org",
    "0.0.0.0",
    "10.0.0.1:8000",
    "127.0.0.1:8000:1",
    "",
    " ",
]


@pytest.mark.parametrize("host", OURS)
def test_a_host_that_is_this_machine(shared: TestClient, host: str) -> None:
    assert shared.get("/v1/sessions", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", STRANGE)
def test_a_host_that_a_strange_page_made_point_here(shared: TestClient, host: str) -> None:
    problem = assert_refused(shared.get("/v1/sessions", headers={"Host": host}), 403)
    assert problem["type"] == "urn:recount:problem:forbidden"


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none"])
def test_a_page_of_this_machine(shared: TestClient, site: str) -> None:
    assert shared.get("/v1/sessions", headers={"Sec-Fetch-Site": site}).status_code == 200


@pytest.mark.usefixtures("nothing_recorded")
@pytest.mark.parametrize("headers", [{"Host": "evil.example.org"}, {"Sec-Fetch-Site": "cross-site"}], ids=str)
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_no_route_answers_a_strange_page(shared: TestClient, route: Route, headers: dict[str, str]) -> None:
    assert_refused(call(shared, route, Place(), headers=headers), 403)
