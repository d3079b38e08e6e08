"""Long answers end when their key no longer allows them, whoever took it away, and none holds much."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from recountdb.api.services.keys import revoke_key
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Database
from tests.support.background_server import run_server
from tests.support.keys import make_key
from tests.support.live_server import Service, Stream, serve_on_port
from tests.support.responding import Answer, Answering, Asked

LONG = "x" * 100_000
END_SECONDS = 60.0
"""After this a test fails; how soon an answer ends is looked at by hand."""


@pytest.fixture
def service(conninfo: str) -> Iterator[Service]:
    with serve_on_port(conninfo) as service:
        yield service


def revoked(database: Database, key_id: str) -> None:
    revoke_key(database, key_id)


def deleted(database: Database, key_id: str) -> None:
    database.fetch("DELETE FROM api_keys WHERE id = %s RETURNING id", [key_id])


def narrowed(database: Database, key_id: str) -> None:
    database.fetch("UPDATE api_keys SET scopes = '{write}' WHERE id = %s RETURNING id", [key_id])


def moved(database: Database, key_id: str) -> None:
    database.fetch("UPDATE api_keys SET project = 'other' WHERE id = %s RETURNING id", [key_id])


WAYS = [revoked, deleted, narrowed, moved]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_live_stream_ends_with_what_its_key_allows(
    service: Service, database: Database, way: Callable[[Database, str], None]
) -> None:
    ours, headers = make_key(database)
    _, other = make_key(database)
    with service.follow(headers=headers) as stream, service.follow(headers=other) as going_on:
        service.say("/v1/sessions/trip", "before", headers=other)
        assert len(stream.take(2)) == len(going_on.take(2)) == 2
        way(database, ours)
        assert [record.comment for record in stream if record.comment != "still here"] == [
            "this key is no longer taken here"
        ]
        service.say("/v1/sessions/trip", "after", headers=other)
        assert [record.event for record in going_on.take(1)] == ["session.message-added"]


def test_a_stream_without_a_key_ends_when_the_first_is_made(service: Service, database: Database) -> None:
    with service.follow() as stream:
        service.say("/v1/sessions/trip", "before")
        assert len(stream.take(2)) == 2
        make_key(database)
        assert stream.take(1) == []


def test_a_replay_ends_before_its_end(service: Service, database: Database) -> None:
    ours, headers = make_key(database)
    service.say("/v1/sessions/trip", "one", headers=headers)
    database.fetch(
        "UPDATE stored_events SET recorded_at = recorded_at + originator_version * interval '1 hour'"
        " RETURNING 1"
    )
    with service.client.stream("GET", "/v1/sessions/trip/replay", headers=headers) as answer:
        stream = Stream(answer)
        assert [record.event for record in stream.take(1)] == ["session.started"]
        revoke_key(database, ours)
        assert "end" not in [record.event for record in stream]


def fill(service: Service, headers: dict[str, str], *, messages: int) -> None:
    """So much that no socket takes it all."""
    for _ in range(messages // 20):
        service.say("/v1/sessions/long", *[LONG] * 20, headers=headers)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/audit?format=ndjson",
        pytest.param("/v1/sessions/long/replay?speed=max", marks=pytest.mark.thorough),
        pytest.param("/v1/events/stream?after=0", marks=pytest.mark.thorough),
    ],
)
def test_what_is_slowly_read_is_cut(service: Service, database: Database, path: str) -> None:
    ours, headers = make_key(database)
    fill(service, headers, messages=400)
    with service.client.stream("GET", path, headers=headers) as answer:
        parts = answer.iter_raw()
        received = [len(next(parts))]
        revoke_key(database, ours)
        wait_until_refused(service, headers)
        with pytest.raises(httpx2.RemoteProtocolError):
            received += map(len, parts)
    assert sum(received) < 400 * len(LONG)


def wait_until_refused(service: Service, headers: dict[str, str]) -> None:
    """Return when new requests are refused, and as much time has passed as a long answer may go on."""
    wait = threading.Event()
    while service.client.get("/v1/sessions", headers=headers).status_code != 401:
        wait.wait(0.1)
    wait.wait(3)


def test_an_answer_in_another_protocol_ends_too(conninfo: str, database: Database) -> None:
    """Somebody who answers slowly goes on; whoever asked is told no more of it."""
    is_over = threading.Event()

    def words() -> Iterator[bytes]:
        yield b'data: {"choices": [{"index": 0, "delta": {"content": "first"}}]}\n\n'
        is_over.wait(END_SECONDS)
        yield b"data: [DONE]\n\n"

    def answer(asked: Asked) -> Answer:
        parts: Any = words()
        return Answer(parts=parts, content_type="text/event-stream")

    ours, headers = make_key(database)
    with (
        Answering(answer).running() as model,
        run_server(conninfo, Settings(responder_url=model.url)) as address,
    ):
        ask = {"input_value": "hello", "session_id": "s"}
        url = f"{address}/api/v1/run/flow?stream=true"
        with httpx2.stream("POST", url, json=ask, headers=headers, timeout=END_SECONDS) as streaming:
            lines = streaming.iter_lines()
            assert "first" in next(line for line in lines if "first" in line)
            revoke_key(database, ours)
            rest = list(lines)
            is_over.set()
    assert not any('"end"' in line for line in rest)
