"""Who is let in: anyone on this machine while there are no keys, from then on those who have one."""

from __future__ import annotations

from types import SimpleNamespace

import psycopg
import pytest
from starlette.testclient import TestClient

from recountdb.api.app import NotServable, create_app
from recountdb.api.services import keys
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Database
from tests.support.hostile import assert_refused
from tests.support.http_client import open_client
from tests.support.processes import wait_until
from tests.support.routes import DOCUMENT, ROUTES, Place, Route, call

OPEN = ["/v1/health", "/v1/ready", "/metrics", "/openapi.json", "/docs"]
"""What answers without a key, however many there are."""


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time by which answers about keys grow old; set ``now.at`` to pass it."""
    clock = SimpleNamespace(at=1000.0)
    clock.monotonic = lambda: clock.at
    monkeypatch.setattr("recountdb.api.services.keys.time", clock)
    return clock


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def key(database: Database) -> str:
    """A key that may do all."""
    return keys.create_key(database, project="default", scopes=["admin"])[1]


@pytest.fixture(scope="module")
def locked(shared: TestClient, shared_conninfo: str) -> TestClient:
    """A server with a key, none of which is sent."""
    database = Database(shared_conninfo)
    database.open()
    keys.create_key(database, project="default", scopes=["admin"])
    database.close()
    return shared


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_every_route_asks_for_a_key_once_there_are_any(locked: TestClient, route: Route) -> None:
    for headers in ({}, bearer("rk_wrong"), {"X-API-Key": "rk_wrong"}, {"Authorization": "Basic YTpi"}):
        answer = call(locked, route, Place(), headers=headers)
        assert assert_refused(answer, 401)["type"] == "urn:recount:problem:unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("value", ["", " ", "x" * 20_000, "é", "a b", "rk_", "\x7f", "'; --", "%00", "null"])
def test_absurd_keys_are_nobodys(locked: TestClient, value: str) -> None:
    for headers in (
        {b"Authorization": b"Bearer " + value.encode()},
        {b"Authorization": value.encode()},
        {b"X-API-Key": value.encode()},
    ):
        assert_refused(locked.get("/v1/sessions", headers=headers), 401)


@pytest.mark.parametrize("path", OPEN)
def test_what_is_not_about_anybodys_data_asks_for_no_key(locked: TestClient, path: str) -> None:
    assert locked.get(path, headers={"Host": "recount.example.org"}).status_code == 200


def test_all_other_routes_are_among_those_that_ask_for_a_key() -> None:
    assert set(DOCUMENT["paths"]) == {route.path for route in ROUTES} | set(OPEN[:3])


def test_a_key_is_taken_from_either_header(client: TestClient, key: str) -> None:
    for headers in (
        bearer(key),
        {"Authorization": f"bearer {key}"},
        {"Authorization": f"BEARER   {key} "},
        {"X-API-Key": key},
        {"x-api-key": key, "Authorization": "Basic YTpi"},
    ):
        assert client.get("/v1/sessions", headers=headers).status_code == 200


def test_a_bearer_token_comes_before_the_other_header(client: TestClient, key: str) -> None:
    both = {**bearer("rk_wrong"), "X-API-Key": key}
    assert client.get("/v1/sessions", headers=both).status_code == 401


def test_a_key_works_from_anywhere(client: TestClient, key: str) -> None:
    headers = {**bearer(key), "Host": "recount.example.org", "Sec-Fetch-Site": "cross-site"}
    assert client.get("/v1/sessions", headers=headers).status_code == 200


def test_an_event_says_which_key_recorded_it(client: TestClient, database: Database) -> None:
    made, text = keys.create_key(database, project="default", scopes=["read", "write"])
    client.post("/v1/sessions", json={"session_id": "trip"}, headers=bearer(text))
    (event,) = client.get("/v1/sessions/trip/events", headers=bearer(text)).json()["items"]
    assert event["actor"] == f"key:{made.id}"
    assert text not in client.get("/v1/events", headers=bearer(text)).text


def test_a_key_of_another_server_is_not_found_by_its_text(database: Database, key: str) -> None:
    """What is kept of a key is a hash."""
    rows = database.fetch("SELECT row_to_json(api_keys)::text FROM api_keys")
    assert key not in str(rows)
    assert key.split("_", 2)[2] not in str(rows)


def test_without_keys_this_machine_is_let_in_until_the_first_key(
    client: TestClient, database: Database, now: SimpleNamespace
) -> None:
    assert client.get("/v1/sessions").status_code == 200
    keys.create_key(database, project="other", scopes=["read"])
    now.at += keys.CACHE_SECONDS - 0.01
    assert client.get("/v1/sessions").status_code == 200, "the answer is remembered for two seconds"
    now.at += 0.01
    assert_refused(client.get("/v1/sessions"), 401)
    assert keys.CACHE_SECONDS == 2


def test_a_revoked_key_is_nobodys_after_two_seconds(
    client: TestClient, database: Database, now: SimpleNamespace
) -> None:
    made, text = keys.create_key(database, project="default", scopes=["read"])
    assert client.get("/v1/sessions", headers=bearer(text)).status_code == 200
    keys.revoke_key(database, made.id)
    now.at += keys.CACHE_SECONDS
    assert_refused(client.get("/v1/sessions", headers=bearer(text)), 401)
    assert_refused(client.get("/v1/sessions"), 401)


def test_a_new_key_works_at_once_also_where_it_was_tried_before(
    client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recountdb.api.services.keys.CACHE_SECONDS", 0.0)
    keys.create_key(database, project="default", scopes=["read"])
    monkeypatch.setattr("secrets.token_urlsafe", lambda size: "early")
    monkeypatch.setattr("secrets.token_hex", lambda size: "0123abcd")
    assert client.get("/v1/sessions", headers=bearer("rk_0123abcd_early")).status_code == 401
    _, text = keys.create_key(database, project="default", scopes=["read"])
    assert text == "rk_0123abcd_early"
    assert client.get("/v1/sessions", headers=bearer(text)).status_code == 200


def test_many_wrong_keys_do_not_fill_the_memory(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recountdb.api.services.keys.CACHED_MAX", 10)
    for number in range(30):
        client.get("/v1/sessions", headers=bearer(f"rk_{number}"))
    assert len(client.app.state.store.keys._remembered) <= 10  # type: ignore[attr-defined]


def test_a_server_without_keys_is_for_this_machine_only(conninfo: str) -> None:
    for host in ("0.0.0.0", "::", "192.168.0.7", "recount.example.org", ""):
        app = create_app(Settings(host=host), conninfo)
        with pytest.raises(NotServable, match="recount keys create"), TestClient(app):
            pass
    with psycopg.connect(conninfo) as connection:
        # PostgreSQL takes a moment to end a session, and looks after tables by sessions of its own.
        others = (
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        wait_until(lambda: not connection.execute(others).fetchall())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]"])
def test_a_server_without_keys_may_listen_on_any_loopback_address(conninfo: str, host: str) -> None:
    with open_client(conninfo, host=host) as client:
        assert client.get("/v1/ready").status_code == 200


def test_a_server_with_keys_may_listen_anywhere(conninfo: str, key: str) -> None:
    with open_client(conninfo, host="0.0.0.0") as client:
        assert client.get("/v1/sessions", headers=bearer(key)).status_code == 200
