"""What a browser gets, and that none of it comes from elsewhere."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from tests.support.http_client import open_client
from tests.support.outage import database_gone, give_up_soon

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
PAGES = ["/", "/docs", "/redoc"]


class Addresses(HTMLParser):
    """Collects what a page leads to or loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attributes if name in ("href", "src", "spec-url")]


def browse(client: TestClient, path: str, **headers: str) -> str:
    answer = client.get(path, headers={"Accept": CHROMIUM, **headers})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def test_a_browser_gets_a_page(shared: TestClient) -> None:
    text = html.unescape(browse(shared, "/"))
    assert "<h1>Recount</h1>" in text
    assert "Ready: the database answers." in text
    assert "recount keys create" in text
    assert "Zep, LangMem, Motorhead, Langflow, LangFlux (Flowise)" in text


@pytest.mark.parametrize(
    "accept",
    [
        None,
        *("*/*", "application/json", "application/json, text/plain, */*", "text/*"),
        *("text/html;q=0.5, application/json", "text/html;q=0, */*", "text/html;q=x"),
        *("text/html;q=0.5, */*;q=0.9", "text/html;q=0.5, application/*"),
    ],
)
def test_a_program_gets_what_it_got(shared: TestClient, accept: str | None) -> None:
    answer = shared.get("/", headers={} if accept is None else {"Accept": accept})
    assert answer.json().keys() == {"now"}
    assert "Accept" in answer.headers["vary"]


def test_a_program_gets_no_page_where_nothing_is_for_it(shared_conninfo: str) -> None:
    with open_client(shared_conninfo, protocols=()) as client:
        assert client.get("/").status_code == 404
        assert browse(client, "/").count("The native API under /v1.") == 1
    with open_client(shared_conninfo, motorhead_prefix="/motorhead") as client:
        assert client.get("/motorhead").json().keys() == {"now"}
        assert "Recount" in browse(client, "/")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_leads_only_to_this_server_and_everything_is_there(shared: TestClient, path: str) -> None:
    addresses = Addresses(browse(shared, path)).found
    assert addresses
    for address in addresses:
        assert re.fullmatch(r"[a-z0-9/.-]+", address), address
        assert not address.startswith("/")
        assert shared.get(f"/{address}").status_code == 200, address


@pytest.mark.parametrize("path", PAGES)
def test_a_page_may_load_nothing_from_elsewhere(shared: TestClient, path: str) -> None:
    answer = shared.get(path, headers={"Accept": CHROMIUM})
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_only_the_files_of_the_pages_are_served(shared: TestClient) -> None:
    assert shared.get("/docs/swagger-ui.css").headers["content-type"].startswith("text/css")
    for name in ("favicon.png", "..%2Fcore.py", "%2e%2e", "swagger-ui.js"):
        assert shared.get(f"/docs/{name}").status_code == 404


def test_the_page_says_when_the_server_is_not_ready(client: TestClient, server: str, conninfo: str) -> None:
    give_up_soon(client)
    with database_gone(server, conninfo):
        text = browse(client, "/")
    assert "Not ready: " in text
    assert "database" in text


def test_the_page_shows_no_more_to_a_strange_host(shared: TestClient) -> None:
    shared.post("/v1/sessions", json={"session_id": "rosebud"})
    assert "rosebud" not in browse(shared, "/", Host="evil.example.org")


def test_links_go_on_below_a_prefix(shared: TestClient, shared_conninfo: str) -> None:
    text = browse(shared, "/", **{"X-Forwarded-Prefix": "/memory"})
    assert "/memory/docs" in Addresses(text).found
    for hostile in ('/"><script>', "//evil.example", "memory", "/a b", "https://evil.example"):
        text = browse(shared, "/", **{"X-Forwarded-Prefix": hostile})
        assert "docs" in Addresses(text).found
    with open_client(shared_conninfo, root_path="/tools/memory") as client:
        for path in ("/tools/memory", "/tools/memory/", "/"):
            assert "/tools/memory/docs" in Addresses(browse(client, path)).found


def test_the_document_names_this_server_and_how_keys_are_sent(
    shared: TestClient, shared_conninfo: str
) -> None:
    document = shared.get("/openapi.json").json()
    assert document["servers"] == [{"url": "/"}]
    assert document["security"] == [{"bearer": []}, {"header": []}, {"basic": []}]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "header", "basic"}
    assert document["paths"]["/v1/health"]["get"]["security"] == []
    told = shared.get("/openapi.json", headers={"X-Forwarded-Prefix": "/memory/"}).json()
    assert told["servers"] == [{"url": "/memory"}]
    with open_client(shared_conninfo, root_path="/memory/") as client:
        assert client.get("/openapi.json").json()["servers"] == [{"url": "/memory"}]


def test_a_root_path_is_taken_off_once_and_from_keys_in_paths_too(shared_conninfo: str) -> None:
    with open_client(shared_conninfo, root_path="/v1") as client:
        name = "a%2Fb%20c"
        assert client.post("/v1/v1/sessions", json={"session_id": "a/b c"}).status_code == 201
        assert client.get(f"/v1/v1/sessions/{name}").json()["session_id"] == "a/b c"
        assert client.get(f"/v1/key/any/v1/sessions/{name}").status_code == 200
        assert client.get("/v1/sessions/nobody").status_code == 404
        assert client.get("/v10/sessions").status_code == 404
        assert client.get("/v1/v1/health").status_code == 200


def test_the_header_of_a_proxy_changes_no_route(shared: TestClient) -> None:
    assert shared.get("/x/metrics", headers={"X-Forwarded-Prefix": "/x"}).status_code == 404
