"""The live stream of events, from a server of its own on a port: none missed, none repeated."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from recountdb.api.services.keys import create_key
from recountdb.eventlog.postgres.database import Database
from tests.support.live_server import (
    WAIT_SECONDS,
    Service,
    Stream,
    as_in_log,
    serve_on_port,
)
from tests.support.outage import database_gone


@pytest.fixture
def service(conninfo: str) -> Iterator[Service]:
    with serve_on_port(conninfo) as service:
        yield service


def test_events_arrive_as_they_are_recorded(service: Service) -> None:
    with service.follow() as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        assert stream.answer.headers["cache-control"] == "no-store"
        for number in range(5):
            service.say("/v1/sessions/trip", str(number))
            (*_, record) = stream.take(2 if number == 0 else 1)
            assert record.data["payload"]["message"]["content"] == str(number)
    assert len(service.log()) == 6


def test_a_stream_begins_with_what_comes_next(service: Service) -> None:
    service.say("/v1/sessions/trip", "before")
    with service.follow() as stream:
        service.say("/v1/sessions/trip", "after")
        (record,) = stream.take(1)
    assert record.data["payload"]["message"]["content"] == "after"


def test_the_stream_is_the_log_from_any_position_on(service: Service) -> None:
    service.say("/v1/sessions/trip", *"abcdef")
    log = service.log()
    for index, entry in enumerate(log[:-1]):
        with service.follow(after=entry["position"]) as stream:
            assert list(map(as_in_log, stream.take(len(log) - index - 1))) == log[index + 1 :]
    with service.follow(after=0) as stream:
        assert list(map(as_in_log, stream.take(len(log)))) == log


def test_a_follower_that_comes_back_again_and_again_misses_none_and_sees_none_twice(
    service: Service,
) -> None:
    writing = threading.Thread(target=write_much, args=(service, 300))
    with service.follow(after=0) as stream:
        writing.start()
        found = stream.take(1)
    while len(found) < 303:
        with service.follow(headers={"Last-Event-ID": str(found[-1].id)}) as stream:
            found += stream.take(min(7, 303 - len(found)))
    writing.join()
    assert list(map(as_in_log, found)) == service.log()


def write_much(service: Service, count: int) -> None:
    """``count`` messages to three sessions, some together, by clients side by side."""

    def write(session: int) -> None:
        for number in range(count // 15):
            service.say(f"/v1/sessions/{session}", *(f"{number} {part}" for part in range(5)))

    threads = [threading.Thread(target=write, args=(session,)) for session in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_last_event_id_comes_before_after(service: Service) -> None:
    service.say("/v1/sessions/trip", *"abc")
    log = service.log()
    headers = {"Last-Event-ID": str(log[2]["position"])}
    with service.follow(headers=headers, after=0) as stream:
        assert as_in_log(stream.take(1)[0]) == log[3]


def test_more_than_a_page_behind(service: Service) -> None:
    service.say("/v1/sessions/trip", *map(str, range(1100)))
    with service.follow(after=0) as stream:
        found = stream.take(1101)
    assert [record.data["version"] for record in found] == list(range(1, 1102))


def test_only_some_types(service: Service) -> None:
    types = ["session.started", "session.deleted"]
    with service.follow(type=types) as stream:
        for name in "ab":
            service.say(f"/v1/sessions/{name}", "one", "two")
            service.client.delete(f"/v1/sessions/{name}")
        found = stream.take(4)
    assert [record.event for record in found] == types * 2


def test_only_one_session_or_thread(service: Service) -> None:
    thread = uuid4()
    paths = ["/v1/sessions/a", "/v1/sessions/b", f"/v1/threads/{thread}"]
    for path in paths:
        service.say(path, "begins")
    queries: list[dict[str, Any]] = [{"session_id": "b"}, {"thread_id": str(thread)}]
    for query in queries:
        with service.follow(**query) as stream:
            for path in paths:
                service.say(path, "one", "two")
            found = stream.take(2)
        assert list(map(as_in_log, found)) == service.log(**query)[-2:]


def test_a_renamed_session_is_followed_on(service: Service) -> None:
    service.say("/v1/sessions/old", "one")
    with service.follow(session_id="old") as stream:
        service.client.post("/v1/sessions/old/rename", json={"session_id": "new"})
        service.say("/v1/sessions/new", "two")
        assert [record.event for record in stream.take(2)] == ["session.renamed", "session.message-added"]


def test_what_there_is_not_cannot_be_followed(service: Service) -> None:
    for query in ({"session_id": "nobody"}, {"thread_id": str(uuid4())}):
        assert service.client.get("/v1/events/stream", params=query).status_code == 404


def test_the_events_of_other_projects_never_come(service: Service, database: Database) -> None:
    ours, theirs = (
        {"X-API-Key": create_key(database, project=project, scopes=["read", "write"])[1]}
        for project in ("ours", "theirs")
    )
    service.say("/v1/sessions/trip", "theirs", headers=theirs)
    with service.follow(headers=ours, after=0) as stream, service.follow(headers=theirs, after=0) as other:
        for number in range(10):
            service.say("/v1/sessions/trip", f"theirs {number}", headers=theirs)
            service.say("/v1/sessions/trip", f"ours {number}", headers=ours)
        assert list(map(as_in_log, stream.take(11))) == service.log(headers=ours)
        assert list(map(as_in_log, other.take(12))) == service.log(headers=theirs)
    assert service.client.get("/v1/events/stream").status_code == 401


def test_a_silent_stream_shows_that_it_lives(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recountdb.api.http.routes.events.HEARTBEAT_SECONDS", 0.01)
    with service.follow() as stream:
        beats = [record.comment for record, _ in zip(stream, range(3), strict=False)]
        assert beats == ["still here"] * 3
        service.say("/v1/sessions/trip", "one")
        assert [record.event for record in stream.take(2)] == ["session.started", "session.message-added"]


def test_a_stream_outlives_an_absence_of_its_database(service: Service, server: str, conninfo: str) -> None:
    with service.follow() as stream:
        service.say("/v1/sessions/trip", "before")
        found = stream.take(2)
        with database_gone(server, conninfo):
            pass
        service.client.delete("/v1/sessions/trip")  # may find that its connection is gone, and say so
        service.say("/v1/sessions/trip", "after")
        log = service.log()
        found += stream.take(len(log) - 2)
    assert list(map(as_in_log, found)) == log


def test_many_follow_at_once(service: Service) -> None:
    with ExitStack() as opened:
        streams = [opened.enter_context(service.follow(after=0)) for _ in range(20)]
        service.say("/v1/sessions/trip", *"abc")
        log = service.log()
        for stream in streams:
            assert list(map(as_in_log, stream.take(4))) == log


@contextmanager
def process(conninfo: str) -> Iterator[tuple[subprocess.Popen[str], httpx2.Client]]:
    """A server in a process of its own, and a client of it."""
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "recountdb.api.app:from_environment",
        "--port",
        "0",
    ]
    environment = {**os.environ, "RECOUNT_DATABASE_URL": conninfo}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            said = ""
            while (running := re.search(r"running on (http://127\.0\.0\.1:\d+)", said)) is None:
                line = server.stderr.readline()
                assert line, said
                said += line
            with httpx2.Client(base_url=running[1], timeout=WAIT_SECONDS) as client:
                yield server, client
        finally:
            server.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_streams_end_when_the_server_is_told_to(conninfo: str, number: signal.Signals) -> None:
    with (
        process(conninfo) as (server, client),
        client.stream("GET", "/v1/events/stream") as idle,
        client.stream("GET", "/v1/events/stream", params={"after": 0}) as busy,
    ):
        client.post("/v1/sessions", json={"session_id": "trip"})
        streams = [Stream(idle), Stream(busy)]
        for stream in streams:
            assert stream.take(1)[0].event == "session.started"
        server.send_signal(number)
        for stream in streams:
            assert stream.take(1) == []
        server.wait(WAIT_SECONDS)
