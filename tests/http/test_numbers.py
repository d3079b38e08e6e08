"""Numbers come back equal to the last digit, or are refused with the member that they are."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from tests.support.hostile import assert_refused

JSON = {"Content-Type": "application/json"}

PLACES = {
    "metadata": ("POST", "/v1/sessions/{}/messages", '{"messages": [{"role": "a", "metadata": {"n": %s}}]}'),
    "tool call": (
        "POST",
        "/v1/threads/{}/messages",
        '{"messages": [{"role": "a", "tool_calls": [{"n": %s}]}]}',
    ),
    "content": ("POST", "/v1/threads/{}/messages", '{"messages": [{"role": "a", "content": [{"n": %s}]}]}'),
    "state": ("PUT", "/v1/threads/{}/state", '{"state": {"n": %s}}'),
}

EXACT = ["0.1", "-1.5e-7", "1e22", "9007199254740993", "9" * 4300, "2.5", "5e-324"]
INEXACT = [
    "12345678901234567890.123456789",
    "3.14159265358979323846",
    "9007199254740993.0",
    "1e-400",
    "9" * 5000,
]


def numbers_in(text: str) -> set[Decimal]:
    found = set()

    def note(digits: str) -> None:
        found.add(Decimal(digits))

    json.loads(text, parse_float=note, parse_int=note)
    return found


@pytest.mark.parametrize("place", PLACES)
def test_what_is_taken_comes_back_equal(shared: TestClient, place: str) -> None:
    method, path, body = PLACES[place]
    for number in EXACT:
        url = path.format(uuid4())
        answer = shared.request(method, url, content=body % number, headers=JSON)
        assert answer.status_code < 300, answer.text
        assert Decimal(number) in numbers_in(answer.text)
        assert Decimal(number) in numbers_in(shared.get(url).text)
        assert Decimal(number) in numbers_in(shared.get(f"{url.rsplit('/', 1)[0]}/events").text)


@pytest.mark.parametrize("place", PLACES)
def test_what_would_not_is_refused(shared: TestClient, place: str) -> None:
    method, path, body = PLACES[place]
    for number in INEXACT:
        answer = shared.request(method, path.format(uuid4()), content=body % number, headers=JSON)
        problem = assert_refused(answer, 422)
        (error,) = problem["errors"]
        assert error["field"].endswith(".n")
        assert "digits" in error["reason"]


def test_a_member_that_is_there_twice_is_refused(shared: TestClient) -> None:
    for method, path, body in PLACES.values():
        doubled = body % '1, "n": 2'
        problem = assert_refused(
            shared.request(method, path.format(uuid4()), content=doubled, headers=JSON), 422
        )
        assert problem["errors"][0]["reason"] == "is given twice"


def test_filters_are_read_alike(shared: TestClient) -> None:
    for metadata in ('{"n": 9007199254740993.0}', '{"n": 1, "n": 2}'):
        assert_refused(shared.get("/v1/sessions", params={"metadata": metadata}), 422, field="metadata")


FOREIGN: dict[str, tuple[str, str, str]] = {
    "zep": (
        "POST",
        "/api/v1/sessions/{}/memory",
        '{"messages": [{"role": "a", "content": "b", "metadata": {"n": %s}}]}',
    ),
    "langmem": ("POST", "/threads", '{"metadata": {"n": %s}}'),
    "motorhead": ("POST", "/sessions/{}/memory", '{"messages": [{"role": "a", "content": "b"}], "n": %s}'),
    "langflux": (
        "POST",
        "/api/v1/chatmessage/{}",
        '{"role": "userMessage", "content": "b", "chatId": "c", "n": %s}',
    ),
}


@pytest.mark.parametrize("protocol", FOREIGN)
@pytest.mark.parametrize("number", [*INEXACT, '1, "n": 2'])
def test_foreign_protocols_refuse_the_same(shared: TestClient, protocol: str, number: str) -> None:
    method, path, body = FOREIGN[protocol]
    answer = shared.request(method, path.format(uuid4()), content=body % number, headers=JSON)
    assert answer.status_code in (400, 422), answer.text
    words: Any = answer.text
    assert "digits" in words or "is given twice" in words
