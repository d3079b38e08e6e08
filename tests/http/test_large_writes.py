"""A large request is written by a writer of its own: nobody else waits for its transaction."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from starlette.testclient import TestClient

from recountdb.eventlog.postgres.database import connect
from tests.support.processes import wait_until

WAITS_FOR_A_ROW = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def add(client: TestClient, name: str, content: str) -> int:
    body = {"messages": [{"role": "user", "content": content}]}
    return client.post(f"/v1/sessions/{name}/messages", json=body).status_code


def test_a_small_write_does_not_wait_for_a_large_one(client: TestClient, conninfo: str) -> None:
    assert add(client, "held", "first") == 201
    with ThreadPoolExecutor(1) as threads, connect(conninfo) as holder, connect(conninfo) as watcher:
        with holder.transaction():
            holder.execute("SELECT FROM sessions FOR UPDATE")
            large = threads.submit(add, client, "held", "x" * 100_000)
            wait_until(lambda: watcher.execute(WAITS_FOR_A_ROW).fetchone() == (1,))
            assert add(client, "other", "small") == 201
            assert not large.done()
        assert large.result() == 201
