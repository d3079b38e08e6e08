"""Bodies that are too large: refused whether they say so or not, and nothing recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.support.hostile import SECRET, assert_refused
from tests.support.http_client import open_client
from tests.support.routes import ROUTES, Place, Route, body_for

WRITES = [route for route in ROUTES if route.writes]
LIMIT = 4096


@pytest.fixture(scope="module")
def small(shared_conninfo: str) -> Iterator[TestClient]:
    """A server that takes small bodies only."""
    with open_client(shared_conninfo, body_bytes_max=LIMIT) as client:
        yield client


def padded(route: Route, place: Place, size: int) -> bytes:
    """A valid body for ``route`` of ``size`` bytes (blanks count, and mean nothing)."""
    return json.dumps(body_for(route, place)).encode().ljust(size)


def in_chunks(text: bytes) -> Iterator[bytes]:
    """Sent without a Content-Length."""
    for start in range(0, len(text), 1000):
        yield text[start : start + 1000]


@pytest.mark.usefixtures("nothing_recorded", "nothing_told")
@pytest.mark.parametrize("chunked", [False, True], ids=["told", "untold"])
@pytest.mark.parametrize("route", [route for route in WRITES if route.takes_body], ids=str)
def test_too_large_a_body(small: TestClient, route: Route, chunked: bool) -> None:
    place = Place()
    for text in (padded(route, place, LIMIT + 1), SECRET.encode() * LIMIT):
        content = in_chunks(text) if chunked else text
        headers = {"Content-Type": "application/json"}
        answer = small.request(route.method, place.url(route), content=content, headers=headers)
        assert_refused(answer, 413)


@pytest.mark.parametrize("chunked", [False, True], ids=["told", "untold"])
@pytest.mark.parametrize("route", [route for route in WRITES if route.takes_body], ids=str)
def test_a_body_just_small_enough(small: TestClient, route: Route, chunked: bool) -> None:
    place = Place()
    place.furnish(small)
    text = padded(route, place, LIMIT)
    content = in_chunks(text) if chunked else text
    headers = {"Content-Type": "application/json"}
    answer = small.request(route.method, place.url(route), content=content, headers=headers)
    assert answer.status_code == route.status, answer.text


@pytest.mark.usefixtures("nothing_recorded")
@pytest.mark.parametrize("length", [str(LIMIT + 1), str(2**63), "9" * 400, "9" * 5000])
def test_an_absurd_content_length(small: TestClient, length: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": length}
    assert_refused(small.post("/v1/threads", content=b"{}", headers=headers), 413)


@pytest.mark.parametrize("chunked", [False, True], ids=["told", "untold"])
def test_a_read_passes_over_whatever_body_it_has(small: TestClient, chunked: bool) -> None:
    """Also one that answers by parts, and meanwhile looks whether its caller hangs up."""
    place = Place()
    place.furnish(small)
    text = b" " * (LIMIT + 1)
    content = in_chunks(text) if chunked else text
    query = {"session_id": place.session_id, "format": "ndjson"}
    answer = small.request("GET", "/v1/audit", params=query, content=content)
    assert answer.status_code == 200
    assert '"session.started"' in answer.text


@pytest.mark.usefixtures("nothing_recorded")
@pytest.mark.parametrize("chunked", [False, True], ids=["told", "untold"])
@pytest.mark.parametrize("route", [route for route in WRITES if not route.takes_body], ids=str)
def test_too_large_a_body_where_none_is_asked_for(small: TestClient, route: Route, chunked: bool) -> None:
    """It is passed over, unless it is read all the same."""
    text = b" " * (LIMIT + 1)
    content = in_chunks(text) if chunked else text
    headers = {"Idempotency-Key": "key"}  # has the body read, for its fingerprint
    answer = small.request(route.method, Place().url(route), content=content, headers=headers)
    assert_refused(answer, 413)
