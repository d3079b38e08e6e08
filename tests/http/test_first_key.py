"""The key that a store begins with, and stores without any key."""

from __future__ import annotations

import logging

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.services import keys
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Database
from tests.support.hostile import assert_refused
from tests.support.http_client import open_client
from tests.support.processes import in_threads
from tests.support.routes import ROUTES, Place, Route, call

KEY = "first-key.of_a~store+with/24=or-more"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_first_key_opens_the_server_to_whoever_has_it(
    conninfo: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with open_client(conninfo, host="0.0.0.0", first_key=KEY) as client:
        assert client.get("/v1/sessions", headers=bearer(KEY)).status_code == 200
        assert client.get("/v1/audit", headers=bearer(KEY)).status_code == 200
        assert client.get("/v1/projections", headers=bearer(KEY)).status_code == 200
        assert_refused(client.get("/v1/sessions"), 401)
    assert "made the first API key" in caplog.text
    assert KEY not in caplog.text


def test_it_is_made_while_no_key_ever_was(conninfo: str, database: Database) -> None:
    made, _ = keys.create_key(database, project="default", scopes=["read"])
    keys.revoke_key(database, made.id)
    with open_client(conninfo, first_key=KEY) as client:
        assert_refused(client.get("/v1/sessions", headers=bearer(KEY)), 401)
    assert len(keys.list_keys(database)) == 1


def test_a_revoked_first_key_is_not_made_again(conninfo: str, database: Database) -> None:
    assert keys.create_first_key(database, KEY)
    keys.revoke_key(database, keys.list_keys(database)[0].id)
    with open_client(conninfo, first_key=KEY) as client:
        assert_refused(client.get("/v1/sessions", headers=bearer(KEY)), 401)


def test_servers_that_start_at_once_make_it_once(database: Database) -> None:
    made = in_threads(keys.create_first_key, [(database, KEY)] * 8)
    assert sorted(made) == [False] * 7 + [True]
    assert [key.label for key in keys.list_keys(database)] == ["first key"]


def test_without_one_the_server_is_for_this_machine(conninfo: str) -> None:
    app = create_app(Settings(first_key=SecretStr(KEY)), conninfo)
    with TestClient(app, base_url="http://127.0.0.1"):
        assert app.state.store.keys.has_keys()


@pytest.mark.parametrize(
    "headers",
    [
        bearer("any"),
        bearer("rk_0123abcd_wrong"),
        {"X-API-Key": "any"},
        {"Authorization": "Basic YW55OmtleQ=="},
        {"Authorization": "Bearer "},
        {"Authorization": "Api-Key any"},
    ],
    ids=str,
)
def test_a_store_without_keys_takes_any_key(shared: TestClient, headers: dict[str, str]) -> None:
    assert shared.get("/v1/sessions", headers=headers).status_code == 200
    assert shared.get("/key/any/v1/sessions").status_code == 200
    name = f"with-a-key-{hash(str(headers))}"
    assert shared.post("/v1/sessions", json={"session_id": name}, headers=headers).status_code == 201
    (event,) = shared.get(f"/v1/sessions/{name}/events").json()["items"]
    assert event["actor"] == "local"


@pytest.mark.usefixtures("nothing_recorded")
@pytest.mark.parametrize("where", [{"Host": "evil.example.org"}, {"Sec-Fetch-Site": "cross-site"}], ids=str)
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_key_that_is_none_opens_nothing_to_strange_pages(
    shared: TestClient, route: Route, where: dict[str, str]
) -> None:
    assert_refused(call(shared, route, Place(), headers=bearer("any") | where), 403)
