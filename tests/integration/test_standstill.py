"""A transaction of somebody else's that never ends: whoever waits for it is told, and so is the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from starlette.testclient import TestClient

from recountdb.eventlog.postgres.advisory_locks import APPEND_LOCK
from recountdb.eventlog.postgres.database import APPEND, Connection, Database, connect
from tests.support.appends import append_event, hold_transaction
from tests.support.processes import wait_until

pytestmark = pytest.mark.thorough

ANSWER_SECONDS_MAX = 30.0  # ten on a quiet machine
BODY = {"messages": [{"role": "user", "content": "hello"}]}


@contextmanager
def counters_locked(conninfo: str) -> Iterator[Connection]:
    with hold_transaction(conninfo) as rival:
        rival.execute("SELECT * FROM counters FOR UPDATE")
        yield rival


def test_writes_are_answered_and_the_log_names_who_holds_them_up(
    client: TestClient, conninfo: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert client.post("/v1/sessions", json={"session_id": "first"}).status_code == 201
    with counters_locked(conninfo) as rival, ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        waiting = [pool.submit(client.post, "/v1/sessions", json={"session_id": f"s{n}"}) for n in range(8)]
        wait_until(lambda: client.get("/v1/ready").status_code == 503)
        health = client.get("/v1/health").json()
        assert health["status"] == "degraded"
        assert "another session" in health["reason"]
        assert str(rival.info.backend_pid) not in str(health), "everybody may read it"
        for one in waiting:
            answer = one.result(ANSWER_SECONDS_MAX)
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
        assert time.monotonic() - began < ANSWER_SECONDS_MAX
        assert f"session {rival.info.backend_pid} (recount" in caplog.text
    wait_until(lambda: client.get("/v1/ready").status_code == 200)
    assert client.get("/v1/health").json() == {"status": "ok"}
    assert client.post("/v1/sessions", json={"session_id": "s0"}).status_code == 201


def test_readers_of_the_log_are_answered_and_go_on_by_themselves(
    client: TestClient, conninfo: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    client.post("/v1/sessions/s/messages", json=BODY)
    with closing(connect(conninfo)) as rival:  # ended by somebody else
        rival.execute("BEGIN")
        append_event(rival, database)
        began = time.monotonic()
        answer = client.get("/v1/events")
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) > 0
        assert time.monotonic() - began < ANSWER_SECONDS_MAX
        assert f"session {rival.info.backend_pid} (recount" in caplog.text
        assert client.post("/v1/sessions/s/messages", json=BODY).status_code == 201, "writes go on"
        with connect(conninfo) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", [rival.info.backend_pid])
        wait_until(lambda: client.get("/v1/events").status_code == 200)
        newest = database.fetch("SELECT max(notification_id) FROM stored_events")[0][0]
        wait_until(lambda: database.fetch("SELECT min(position) FROM followers")[0][0] >= newest)


def test_a_process_stopped_within_a_statement_is_ended_for_those_who_wait(
    client: TestClient, conninfo: str, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL waits without limit for a client in the middle of a COPY, or of a large request."""
    caplog.set_level(logging.WARNING)
    assert client.post("/v1/sessions", json={"session_id": "first"}).status_code == 201
    with closing(connect(conninfo, APPEND)) as stopped, closing(connect(conninfo, APPEND)) as frozen:
        stopped.execute("BEGIN; SELECT * FROM counters FOR UPDATE")
        stopped.pgconn.send_query(b"COPY parked_streams FROM STDIN")
        wait_until(lambda: client.post("/v1/sessions", json={"session_id": "second"}).status_code == 201)
        frozen.execute("BEGIN")
        frozen.execute(
            "SELECT pg_advisory_xact_lock_shared(%s, 'stored_events'::regclass::oid::int)", [APPEND_LOCK]
        )
        frozen.pgconn.send_query(b"COPY parked_streams FROM STDIN")
        wait_until(lambda: client.get("/v1/events").status_code == 200)
    assert "ended a session whose process stands still" in caplog.text
