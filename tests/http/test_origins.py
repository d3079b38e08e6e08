"""Cross-origin requests: which web pages may call the API, and what they may read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from recountdb.api.services import keys
from recountdb.api.settings import read_settings
from recountdb.api.settings.errors import SettingsInvalid
from recountdb.eventlog.postgres.database import Database
from tests.support.hostile import assert_refused
from tests.support.http_client import open_client
from tests.support.routes import ROUTES, Place, Route

APP = "https://app.example.org"
LOCAL = "http://localhost:3000"


@pytest.fixture(scope="module")
def page(shared_conninfo: str) -> Iterator[TestClient]:
    """A client of a server without keys that pages of two origins may call."""
    with open_client(shared_conninfo, cors_origins=(APP, LOCAL)) as client:
        yield client


def preflight(client: TestClient, path: str, method: str, origin: str = APP) -> Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type, idempotency-key, if-match",
    }
    return client.options(path, headers=headers)


FOREIGN = [
    ("POST", "/api/v1/prediction/4f3c1d52-7e0f-4c58-9d0c-1f2f9c3b6a77"),
    ("POST", "/api/v1/run/flow"),
    ("POST", "/sessions/ana/memory"),
    ("POST", "/api/v2/users"),
    ("GET", "/api/v2/sessions/ana/memory"),
]


def assert_allowed(answer: Response, method: str, origin: str) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.headers["access-control-allow-origin"] == origin
    assert method in answer.headers["access-control-allow-methods"]
    for name in ("authorization", "content-type", "idempotency-key", "if-match"):
        assert name in answer.headers["access-control-allow-headers"].lower()
    assert "Origin" in answer.headers["vary"]
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_page_may_ask_for_every_route(page: TestClient, route: Route) -> None:
    assert_allowed(preflight(page, Place().url(route), route.method), route.method, APP)


@pytest.mark.parametrize(("method", "path"), FOREIGN)
@pytest.mark.parametrize("origin", [APP, LOCAL])
def test_a_page_may_ask_for_routes_of_protocols(
    page: TestClient, method: str, path: str, origin: str
) -> None:
    assert_allowed(preflight(page, path, method, origin), method, origin)


@pytest.mark.parametrize("origin", ["https://evil.example.org", "http://app.example.org", "null", f"{APP}:1"])
def test_pages_of_other_origins_may_not(page: TestClient, origin: str) -> None:
    answer = preflight(page, "/v1/sessions", "GET", origin)
    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    answer = page.get("/v1/sessions", headers=headers)
    assert_refused(answer, 403)
    assert "access-control-allow-origin" not in answer.headers


def test_an_allowed_page_uses_a_store_without_keys_and_reads_our_headers(page: TestClient) -> None:
    headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
    answer = page.post("/v1/sessions", json={"session_id": "from-a-page"}, headers=headers)
    assert answer.status_code == 201
    assert answer.headers["access-control-allow-origin"] == APP
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"ETag", "Recount-Position", "X-Request-Id", "Retry-After"} <= set(exposed)
    refused = page.get("/v1/sessions/nobody", headers=headers)
    assert refused.status_code == 404
    assert refused.headers["access-control-allow-origin"] == APP, "a page can read why it was refused"
    assert_refused(page.get("/v1/sessions", headers=headers | {"Host": "evil.example.org"}), 403)


def test_without_the_setting_no_page_may(shared: TestClient) -> None:
    assert preflight(shared, "/v1/sessions", "GET").status_code == 405
    answer = shared.get("/v1/sessions", headers={"Origin": APP, "Sec-Fetch-Site": "cross-site"})
    assert_refused(answer, 403)
    assert "access-control-allow-origin" not in answer.headers


def test_all_pages_may_where_all_are_named_but_not_without_a_key(
    conninfo: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recountdb.api.services.keys.CACHE_SECONDS", 0.0)
    headers = {"Origin": "https://any.example", "Sec-Fetch-Site": "cross-site"}
    with open_client(conninfo, cors_origins=("*",)) as client:
        assert_refused(client.get("/v1/sessions", headers=headers), 403)
        _, key = keys.create_key(database, project="default", scopes=["read"])
        answer = client.get("/v1/sessions", headers=headers | {"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert_refused(client.get("/v1/sessions", headers=headers), 401)


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        (f"{APP}, {LOCAL}", (APP, LOCAL)),
        ("HTTPS://App.Example.org/", (APP,)),
        ("*", ("*",)),
        ("http://[::1]:3000", ("http://[::1]:3000",)),
        ("capacitor://localhost", ("capacitor://localhost",)),
        ("", ()),
        ("none", ()),
    ],
)
def test_origins_are_read(monkeypatch: pytest.MonkeyPatch, value: str, origins: tuple[str, ...]) -> None:
    monkeypatch.setenv("RECOUNT_CORS_ORIGINS", value)
    assert read_settings().cors_origins == origins


@pytest.mark.parametrize(
    "value", ["app.example.org", f"{APP}/path", f"*, {APP}", "null", "https://*.example.org", "file://"]
)
def test_what_is_no_origin_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RECOUNT_CORS_ORIGINS", value)
    with pytest.raises(SettingsInvalid, match="RECOUNT_CORS_ORIGINS must be origins such as"):
        read_settings()


@pytest.mark.parametrize("value", ["memory", "/a b", "/a//b", "https://x", "/a?b", "/%2F"])
def test_what_is_no_root_path_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RECOUNT_ROOT_PATH", value)
    with pytest.raises(SettingsInvalid, match="RECOUNT_ROOT_PATH must be a path"):
        read_settings()
