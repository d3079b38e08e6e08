"""Bodies that are too large: each protocol refuses them in its own words, whether they say so or not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from tests.support.http_client import open_client
from tests.support.protocol_requests import ALL_REQUESTS, ARGUMENTS, QUERIED, ProtocolRequest

LIMIT = 4096


def arguments(sent: ProtocolRequest) -> dict[str, Any]:
    method, _, what, _ = sent.request
    if isinstance(what, dict) and what.keys() <= ARGUMENTS:
        return what
    return {"params" if method in QUERIED else "json": what}


BODIES = [sent for sent in ALL_REQUESTS if arguments(sent).get("json")]


@pytest.fixture(scope="module")
def small(shared_conninfo: str) -> Iterator[TestClient]:
    """A server that takes small bodies only; it would have somebody to ask for answers."""
    with open_client(shared_conninfo, body_bytes_max=LIMIT, responder_url="http://127.0.0.1:9/v1") as client:
        yield client


@pytest.mark.parametrize("chunked", [False, True], ids=["told", "untold"])
@pytest.mark.parametrize("sent", BODIES, ids=str)
def test_too_large_a_body(small: TestClient, sent: ProtocolRequest, chunked: bool) -> None:
    method, path, *_ = sent.request
    url = re.sub(r"\{(\w+)(:\w+)?\}", str(uuid4()), path)
    text = b" " * (LIMIT + 1)
    answer = small.request(
        method,
        url,
        params=arguments(sent).get("params"),
        content=iter([text[:LIMIT], text[LIMIT:]]) if chunked else text,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 413, answer.text
    assert not answer.headers["content-type"].startswith("application/problem+json")
