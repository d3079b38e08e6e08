"""Every error has one shape, whoever finds it: the routes, the framework, or nobody."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.http.openapi import ProblemResource
from recountdb.api.settings import Settings
from tests.support.hostile import SECRET, assert_refused
from tests.support.routes import DOCUMENT, ROUTES, Place, Route

PATHS = sorted(path for path in DOCUMENT["paths"])
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]


@pytest.mark.usefixtures("nothing_recorded")
@pytest.mark.parametrize("path", PATHS)
def test_a_method_that_an_address_does_not_take(shared: TestClient, path: str) -> None:
    place = Place()
    url = path.format(**place.values(Route("GET", path, {})))
    documented = {method.upper() for method in DOCUMENT["paths"][path]}
    taken = sorted(documented | ({"HEAD"} if "GET" in documented else set()))
    for method in METHODS:
        if method not in taken:
            answer = shared.request(method, url, json={"content": SECRET})
            assert answer.headers["allow"] == ", ".join(taken), f"{method} {path}"
            if method == "HEAD":
                assert answer.status_code == 405
            else:
                assert assert_refused(answer, 405)["type"] == "urn:recount:problem:method-not-allowed"


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v2/sessions",
        "/v1/session",
        "/v1/Sessions",
        "/v1/sessions/",
        "//v1/sessions",
        "/v1//sessions",
        "/v1/sessions//messages",
        "/v1/sessions/a/b",
        "/v1/sessions/a/messages/",
        "/v1/sessions/a%2Fmessages/x/y",
        "/v1/events/stream/",
        "/v1/health/",
        "/metrics/",
        "/%2e%2e/v1/sessions",
    ],
)
def test_an_address_that_there_is_not(shared: TestClient, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = shared.request(method, f"http://127.0.0.1{path}", follow_redirects=False)
        assert assert_refused(answer, 404)["type"] == "urn:recount:problem:no-such-route"


def test_a_failure_of_our_own_shows_nothing_but_the_request_it_was(
    conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **more: Any) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("recountdb.api.http.routes.sessions.list_sessions", fail)
    app = create_app(Settings(), conninfo)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        answer = client.get("/v1/sessions", headers={"X-Request-Id": "request-7"})
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-request-id"] == "request-7"
        assert "request-7" in answer.json()["detail"]
        assert SECRET not in answer.text
        numbers = client.get("/metrics").text
    assert 'recount_http_requests_total{method="GET",route="/v1/sessions",status="500"} 1.0' in numbers


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_the_errors_of_each_route_are_documented_as_problems(route: Route) -> None:
    responses = route.operation["responses"]
    assert {"401", "403", "404", "422", "503"} <= responses.keys()
    assert ({"409", "412", "413"} <= responses.keys()) == route.writes
    for status, response in responses.items():
        if int(status) >= 400:
            schema = {"schema": {"$ref": "#/components/schemas/ProblemResource"}}
            assert response["content"] == {"application/problem+json": schema}


def test_a_problem_has_no_members_that_are_not_documented(shared: TestClient) -> None:
    shared.post("/v1/sessions", json={"session_id": "trip"})
    for answer in (
        shared.get("/v1/sessions?limit=0"),
        shared.get("/v1/sessions/nobody"),
        shared.get("/v1/nowhere"),
        shared.post("/v1/sessions", json={"session_id": "trip"}),
        shared.delete("/v1/sessions/trip", headers={"If-Match": "7"}),
        shared.post("/v1/sessions", content=b"{", headers={"Content-Type": "application/json"}),
        shared.put("/v1/sessions"),
    ):
        problem = ProblemResource.model_validate(answer.json())
        assert problem.model_dump(exclude_unset=True) == answer.json()
