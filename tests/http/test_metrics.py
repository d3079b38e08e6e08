"""The numbers at /metrics: by route, never by what was asked for."""

from __future__ import annotations

import re

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from recountdb.eventlog.postgres.database import Database
from recountdb.projections.followers.follower import measure_lags
from tests.support.outage import database_gone
from tests.support.processes import wait_until
from tests.support.routes import ANSWERING, ROUTES, Place, Route, call
from tests.support.talk import Talk


def families(client: TestClient) -> dict[str, Metric]:
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


SAMPLE = re.compile(
    r'^recount_http_requests_total\{method="(.*?)",route="(.*?)",status="(.*?)"\} (\S+)$', re.MULTILINE
)


def requests(client: TestClient) -> dict[tuple[str, str, str], float]:
    """(method, route, status) → requests answered so."""
    found = SAMPLE.findall(client.get("/metrics").text)
    return {(method, route, status): float(value) for method, route, status, value in found}


@pytest.fixture(scope="module")
def place(shared: TestClient) -> Place:
    place = Place()
    place.furnish(shared)
    return place


@pytest.mark.parametrize("route", ANSWERING, ids=str)
def test_a_request_counts_for_its_route(shared: TestClient, route: Route) -> None:
    place = Place()
    place.furnish(shared)
    label = (route.method, route.path, str(route.status))
    before = requests(shared).get(label, 0)
    call(shared, route, place)
    assert requests(shared)[label] == before + 1


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_refused_request_counts_for_its_route_too(shared: TestClient, route: Route) -> None:
    label = (route.method, route.path, "403")
    before = requests(shared).get(label, 0)
    call(shared, route, Place(), headers={"Host": "strange.example.org"})
    assert requests(shared)[label] == before + 1


def test_what_nobody_knows_counts_as_one_route(shared: TestClient) -> None:
    before = requests(shared).get(("any", "none", "404"), 0)
    for path in ("/nowhere", "/v1/nowhere", "/secret-name"):
        for method in ("GET", "POST"):
            shared.request(method, path)
    assert requests(shared)["any", "none", "404"] == before + 6


def test_a_method_that_is_not_taken_makes_no_label_of_its_own(shared: TestClient) -> None:
    for method in ("PUT", "MADEUP", "OTHER"):
        shared.request(method, "/v1/sessions")
    methods = {method for method, _, _ in requests(shared)}
    assert methods <= {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "any"}


def test_no_label_holds_what_was_asked_for(shared: TestClient, place: Place) -> None:
    talk = Talk(shared, "/v1/sessions/very%2Fsecret")
    talk.add("secret")
    talk.get(metadata='{"secret": 1}')
    shared.get(f"/v1/users/{place.user_id}/sessions?user_id=secret")
    shared.get("/v1/sessions/secret%ff")
    text = shared.get("/metrics").text
    for name in ("secret", place.session_id, place.thread_id, place.user_id, place.session_message):
        assert name not in text


def test_answers_are_timed_and_events_counted(client: TestClient) -> None:
    Talk(client, "/v1/sessions/trip").add("one", "two")
    client.post("/v1/sessions", json={"session_id": "trip"})
    found = families(client)
    (recorded,) = (s for s in found["recount_events_recorded"].samples if s.name.endswith("_total"))
    assert recorded.value == 3
    seconds = found["recount_http_request_seconds"].samples
    (count,) = (
        sample.value
        for sample in seconds
        if sample.name.endswith("_count") and sample.labels["route"] == "/v1/sessions/{session_id}/messages"
    )
    assert count == 1


def test_how_far_followers_are_is_told_by_any_server(client: TestClient, database: Database) -> None:
    wait_until(lambda: bool(measure_lags(database)))
    database.fetch("INSERT INTO followers (name, position) VALUES ('idle', 0) RETURNING 1")
    Talk(client, "/v1/sessions/trip").add("one", "two")
    wait_until(lambda: [lag.events for lag in measure_lags(database)] == [0, 3, 0])
    found = families(client)
    values = {
        name: {
            sample.labels["follower"]: sample.value for sample in found[f"recount_follower_{name}"].samples
        }
        for name in ("lag_events", "lag_seconds", "parked_streams")
    }
    assert values["lag_events"] == {"erasure": 0, "idle": 3, "webhooks": 0}
    assert values["lag_seconds"]["idle"] > values["lag_seconds"]["webhooks"] == 0
    assert values["parked_streams"] == {"erasure": 0, "idle": 0, "webhooks": 0}


def test_numbers_are_told_while_the_database_is_gone(client: TestClient, server: str, conninfo: str) -> None:
    client.app.state.store.database._pool.timeout = 0.2  # type: ignore[attr-defined]
    with database_gone(server, conninfo):
        assert "recount_http_requests_total" in client.get("/metrics").text


def test_a_repeat_counts_no_events(client: TestClient) -> None:
    for _ in range(3):
        client.post("/v1/threads", json={}, headers={"Idempotency-Key": "key"})
    (recorded,) = (
        s for s in families(client)["recount_events_recorded"].samples if s.name.endswith("_total")
    )
    assert recorded.value == 1
