"""HTTP as others speak it: HEAD, compressed bodies, weakened tags, addresses that are nearly right."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from tests.support.hostile import assert_refused
from tests.support.http_client import open_client
from tests.support.routes import ROUTES, Place, Route
from tests.support.talk import Talk

READS = [route for route in ROUTES if route.method == "GET"]
LIMIT = 20_000
BODY = json.dumps({"messages": [{"role": "user", "content": "One chai latte, please."}]}).encode()
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def place(shared: TestClient) -> Place:
    place = Place()
    place.furnish(shared)
    return place


@pytest.mark.parametrize("route", READS, ids=str)
def test_head_is_get_without_the_body(shared: TestClient, route: Route, place: Place) -> None:
    """A stream has no end, so it is not got here."""
    head = shared.head(place.url(route))
    assert head.content == b""
    if "stream" in route.path or "replay" in route.path:
        assert head.status_code == 200
    else:
        answer = shared.get(place.url(route))
        assert head.status_code == answer.status_code
        for name in ("content-type", "etag"):
            assert head.headers.get(name) == answer.headers.get(name)


@pytest.mark.parametrize(
    "path", ["/", "/v1/health", "/v1/ready", "/metrics", "/docs", "/openapi.json", "/healthz"]
)
def test_head_where_no_key_is_asked_for(shared: TestClient, path: str) -> None:
    assert (shared.head(path).status_code, shared.head(path).content) == (200, b"")


def test_head_tells_the_same_refusals(shared: TestClient) -> None:
    assert shared.head("/v1/sessions/nobody").status_code == 404
    assert shared.head("/v1/nothing").status_code == 404
    assert shared.head("/v1/purges/preview").status_code == shared.get("/v1/purges/preview").status_code


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/chatmessage/0d0d6ae2-43b9-4d26-9a1f-2f5b6a1d8c11",  # Flowise
        "/api/v1/monitor/messages",  # Langflow
        "/api/v1/sessions",  # Zep
        "/sessions/one/memory",  # Motorhead
    ],
)
def test_head_in_other_protocols(shared: TestClient, path: str) -> None:
    head, answer = shared.head(path), shared.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == answer.headers["content-length"]


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
def test_a_compressed_body_is_read(shared: TestClient, encoding: str) -> None:
    headers = {**JSON, "Content-Encoding": encoding}
    answer = shared.post(f"/v1/sessions/{uuid4()}/messages", content=gzip.compress(BODY), headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["messages"][0]["content"] == "One chai latte, please."


@pytest.mark.parametrize(
    "path", ["/v1/sessions/{}/messages", "/api/v1/sessions/{}/memory", "/sessions/{}/memory"]
)
@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd", "gzip, gzip", "compress", "é"])
def test_an_encoding_that_is_not_taken(shared: TestClient, path: str, encoding: str) -> None:
    headers = {b"Content-Type": b"application/json", b"Content-Encoding": encoding.encode()}
    answer = shared.post(path.format(uuid4()), content=zlib.compress(BODY), headers=headers)
    assert answer.status_code == 415, answer.text
    assert answer.headers["accept-encoding"] == "gzip"
    assert "Content-Encoding" in answer.text


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        BODY,
        gzip.compress(BODY, mtime=0)[:-4],
        gzip.compress(BODY, mtime=0) + b"x",
        gzip.compress(BODY, mtime=0) * 2,
    ],
    ids=["no gzip", "plain", "cut off", "more behind", "twice"],
)
def test_what_is_not_gzip(shared: TestClient, content: bytes) -> None:
    headers = {**JSON, "Content-Encoding": "gzip"}
    answer = shared.post(f"/v1/sessions/{uuid4()}/messages", content=content, headers=headers)
    assert_refused(answer, 400, field="body")


@pytest.fixture(scope="module")
def small(shared_conninfo: str) -> Any:
    with open_client(shared_conninfo, body_bytes_max=LIMIT, body_values_max=1000) as client:
        yield client


@pytest.mark.parametrize("path", ["/v1/sessions/{}/messages", "/sessions/{}/memory"])
def test_a_body_that_is_too_large_once_it_is_unpacked(small: TestClient, path: str) -> None:
    headers = {**JSON, "Content-Encoding": "gzip"}
    for size in (LIMIT + 1, 50_000_000):
        bomb = gzip.compress(b" " * size)
        assert small.post(path.format(uuid4()), content=bomb[:LIMIT], headers=headers).status_code in (
            400,
            413,
        )
    answer = small.post(path.format(uuid4()), content=gzip.compress(b" " * LIMIT * 10), headers=headers)
    assert answer.status_code == 413, answer.text
    assert "unpacked" in answer.text


@pytest.mark.parametrize("path", ["/v1/sessions", "/api/v1/sessions", "/threads", "/sessions/a/memory"])
@pytest.mark.parametrize("text", ["[" * 1100, '{"a":1,' * 600, '{"metadata":{"a":[' + "1," * 1001 + "1]}}"])
def test_a_body_of_too_many_values(small: TestClient, path: str, text: str) -> None:
    answer = small.post(path, content=text, headers=JSON)
    assert answer.status_code == 413, answer.text
    assert "1000 members and elements" in answer.text


def test_what_is_said_counts_for_nothing(small: TestClient) -> None:
    content = '",[{' * 2000 + "\\"
    body = {"messages": [{"role": "user", "content": content}]}
    answer = small.post(f"/v1/sessions/{uuid4()}/messages", json=body)
    assert answer.json()["messages"][0]["content"] == content


def test_a_hundred_thousand_strangers_are_a_few_errors(shared: TestClient) -> None:
    body = {"messages": [{"role": "user"}]} | {f"member {n}": n for n in range(90_000)}
    problem = assert_refused(shared.post(f"/v1/sessions/{uuid4()}/messages", json=body), 422)
    assert len(problem["errors"]) <= 20
    wrong: Any = {"user_id": "ana", "tags": [1] * 90_000}
    assert len(assert_refused(shared.post("/v1/users", json=wrong), 422)["errors"]) == 1


def test_a_tag_that_was_weakened_on_the_way(talk: Talk) -> None:
    talk.add("one")
    tag = talk.get().headers["etag"]
    assert talk.merge({"a": 1}, **{"If-Match": f"W/{tag}"}).status_code == 200
    assert talk.merge({"a": 1}, **{"If-Match": f"W/{tag}"}).status_code == 412
    assert talk.merge({"a": 1}, **{"If-Match": "W/3"}).status_code == 422


def test_who_has_it_already_is_told_so(talk: Talk) -> None:
    talk.add("one")
    tag = talk.get().headers["etag"]
    for tags in (tag, f"W/{tag}", f'"0", W/{tag}', "*"):
        answer = talk.client.get(talk.path, headers={"If-None-Match": tags})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert talk.client.head(talk.path, headers={"If-None-Match": tags}).status_code == 304
    for tags in ('"0"', 'W/"17"', tag.strip('"'), ""):
        assert talk.client.get(talk.path, headers={"If-None-Match": tags}).status_code == 200


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/sessions/", "/v1/sessions"),
        ("/v1/sessions/s/messages/", "/v1/sessions/{session_id}/messages"),
        ("/v1//sessions", "/v1/sessions"),
        ("/health", "/v1/health"),
        ("/healthz/", "/healthz"),
        ("/ready", "/v1/ready"),
        ("/readyz", "/v1/ready"),
        ("/webhooks", "/v1/webhooks"),
        ("/v1/metrics", "/metrics"),
        ("/v1/docs", "/docs"),
        ("/v1/session", "/v1/sessions"),
        ("/v1/sessions/s/message", "/v1/sessions/{session_id}/messages"),
        ("/v1/webhook", "/v1/webhooks"),
    ],
)
def test_an_address_that_is_nearly_right(shared: TestClient, path: str, meant: str) -> None:
    answer = shared.get(path)
    if path == "/healthz/":
        return  # Zep takes slashes as they come
    assert f"did you mean {meant}?" in assert_refused(answer, 404)["detail"]


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/ui", "/nothing/like/it", "/" + "x" * 5000])
def test_an_address_that_is_like_none(shared: TestClient, path: str) -> None:
    detail = assert_refused(shared.get(path), 404)["detail"]
    assert "/v1/" in detail
    assert "/docs" in detail
    assert "x" * 10 not in detail
