"""Addresses that cannot be taken: ids and query parameters of every route."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from tests.support.hostile import DOCUMENTS, SECRET, assert_refused
from tests.support.routes import QUERIES, ROUTES, Place, Route, body_for

pytestmark = pytest.mark.usefixtures("nothing_recorded", "nothing_told")

NO_UTF8 = ["%ff", "a%c3", "%ed%a0%80", "%c0%80", "%f5%80%80%80"]
CONTROLS = ["%00", "a%00b", "%01", "%09", "a%0a", "%1f", "a%1Fb", "%7f", "%c2%85"]

IDS = {
    "session_id": [*CONTROLS, "x" * 513, quote("👩") * 513],
    "user_id": [*CONTROLS, "x" * 513],
    "thread_id": [*CONTROLS, "x", "1", str(uuid4())[:-1], f"{uuid4()}%2F", "%F0%9F%91%A9", "x" * 5000],
    "message_id": [*CONTROLS, "x", "1", str(uuid4())[:-1], f"{uuid4()}%20", "null", "x" * 5000],
    "webhook_id": [*CONTROLS, "x", "wh_1", "wh_ABCDEF0123456789", "wh_0123456789abcdef%0a", "x" * 5000],
}

TIMES = [
    "",
    "now",
    "-1",
    "1e400",
    "1700000000",
    "99999999999999999999",
    "2026",
    "2026-11",
    "2026-13-01",
    "2026-11-31",
    "2026-11-20T24:00:01Z",
    "2026-11-20T19:50:25+25:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "10000-01-01T00:00:00Z",
    "infinity",
    "NaN",
    "\u0662\u0660\u0662\u0666-11-20",
    "2026-11-20T19:50:25Z\0",
    "x" * 10_000,
]


NEITHER = [time for time in TIMES if not time.isascii() or not time.isdecimal()]
"""Neither times nor versions."""


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


CURSORS = [
    "",
    "x",
    "=",
    "%",
    "é",
    "\0",
    "null",
    "x" * 201,
    "x" * 10_000,
    cursor(SECRET),
    *map(cursor, ["", "null", "7", "[]", '["oldest"]', '["oldest",1,2]', '{"oldest":1,"newest":2}', '"ab"']),
    *map(cursor, ['["sideways",1]', "[1,1]", '[["oldest"],1]', '["oldest",', "[" * 140]),
    *(
        cursor(f'["{order}",{key}]')
        for order in ("oldest", "newest")
        for key in ("-1", "1.5", "1e3", "1e400", "NaN", "true", "null", '"1"', "[1]", str(2**63), "9" * 120)
    ),
]

QUOTABLE = [text for text in DOCUMENTS.values() if len(text) < 20_000 and "\ud800" not in text]
"""Those that fit into an address. What is not UTF-8 has a test of its own."""

QUERY: dict[str, list[str]] = {
    "limit": ["", "0", "-1", "1001", str(10**30), "9" * 5000, "1.5", "1e2", "x", "0x10", "NaN", "\0"],
    "order": ["", "sideways", "OLDEST", "oldest,newest", "\0"],
    "deleted": ["", "maybe", "2", "\0", "truefalse"],
    "cursor": CURSORS,
    "since": TIMES,
    "until": TIMES,
    "as_of": [*TIMES, "9" * 18, "1.0", "0x1"],
    "from": NEITHER,
    "to": NEITHER,
    "speed": ["", "-1", "1e400", "NaN", "infinity", "1000001", "10x", "fast", "\0"],
    "metadata": [
        *("", "x", "{", "7", "null", "[]", '"a"', "{}{}", "{'a': 1}"),
        *(f'{{"a": {fragment}}}' for fragment in QUOTABLE),
    ],
    "user_id": ["\0", f"{SECRET}\0"],
    "role": ["\0", f"{SECRET}\0"],
    "scope": ["\0", f"{SECRET}\0", "x" * 513],
    "reason": ["\0", f"{SECRET}\0", "x" * 501],
    "key": ["\0", f"{SECRET}\0", "", "x" * 513],
    "type": ["\0", "session.started\0"],
    "session_id": ["\0", "\x1f", "a\n", "", "x" * 513],
    "thread_id": ["\0", "", "x", "1", str(uuid4())[:-1]],
    "actor": ["\0", f"{SECRET}\0"],
    "request_id": ["\0", f"{SECRET}\0"],
    "causation_id": ["", "\0", "x", str(uuid4()), f"{uuid4()}/0", f"{uuid4()}/x", f"{uuid4()}/{10**18}"],
    "chain": ["", "maybe", "true", "\0"],
    "format": ["", "xml", "\0"],
    "skip": ["", "maybe", "\0"],
    "after": ["", "-1", "x", "1.5", str(2**63), str(10**30), "9" * 5000, "\0"],
}
"""Query parameter → values that it does not take, in any route."""


@pytest.fixture(scope="module")
def place(shared: TestClient) -> Place:
    place = Place()
    place.furnish(shared)
    return place


def send(client: TestClient, route: Route, url: str) -> Any:
    body = body_for(route, Place()) if route.takes_body else None
    query = None if "?" in url else QUERIES.get(route.id)
    return client.request(route.method, url, json=body, params=query)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.names("query")], ids=str)
def test_query_parameters_that_cannot_be_taken(shared: TestClient, route: Route, place: Place) -> None:
    for name in route.names("query"):
        for value in QUERY[name]:
            answer = send(shared, route, f"{place.url(route)}?{name}={quote(value)}")
            assert_refused(answer, 422, field=name)


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_queries_that_are_not_utf8(shared: TestClient, route: Route, place: Place) -> None:
    for text in NO_UTF8:
        assert_refused(send(shared, route, f"{place.url(route)}?{'limit'}={text}"), 400)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.names("path")], ids=str)
def test_ids_that_cannot_be(shared: TestClient, route: Route, place: Place) -> None:
    for name in route.names("path"):
        for text in IDS[name]:
            answer = send(shared, route, place.url(route, **{name: text}))
            assert_refused(answer, 422, field=name)
        for text in NO_UTF8:
            assert_refused(send(shared, route, place.url(route, **{name: text})), 400)


NEED_NOTHING = {"add_session_messages", "add_thread_messages", "set_thread_state", "get_thread_state"}
"""Routes that take an id nobody has used yet."""


@pytest.mark.parametrize(
    "route",
    [
        route
        for route in ROUTES
        if route.names("path") and route.id not in {*NEED_NOTHING, "list_user_sessions"}
    ],
    ids=str,
)
def test_ids_of_what_there_is_not(shared: TestClient, route: Route) -> None:
    problem = assert_refused(send(shared, route, Place().url(route)), 404)
    assert problem["type"] == "urn:recount:problem:not-found"


@pytest.mark.parametrize("route", [route for route in ROUTES if "message_id" in route.names("path")], ids=str)
def test_messages_there_are_not_where_there_is_a_conversation(
    shared: TestClient, route: Route, place: Place
) -> None:
    answer = send(shared, route, place.url(route, message_id=str(uuid4())))
    assert assert_refused(answer, 404)["detail"] == "there is no such message"


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize("route", [route for route in ROUTES if "cursor" in route.names("query")], ids=str)
def test_cursors_of_the_other_order(shared: TestClient, route: Route, place: Place, order: str) -> None:
    foreign = cursor({"oldest": '["newest",5]', "newest": '["oldest",5]'}[order])
    url = f"{place.url(route)}?order={order}&cursor={foreign}"
    assert_refused(shared.get(url), 422, field="cursor")
