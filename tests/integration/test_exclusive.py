"""Session locks: held for as long as their holder moves, and no longer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

import recountdb.eventlog.postgres.exclusive_locks
from recountdb.domain.errors import Unavailable
from recountdb.eventlog.postgres.advisory_locks import MIGRATE_LOCK, PURGE_LOCK
from recountdb.eventlog.postgres.database import Connection, connect
from recountdb.eventlog.postgres.exclusive_locks import Lock, exclusive, schema_lock, store_lock, try_lock
from tests.support.processes import PATIENCE_SECONDS, wait_until

REFUSAL = Unavailable("another one is under way")


@pytest.fixture
def holder(conninfo: str) -> Iterator[Connection]:
    with connect(conninfo) as connection:
        yield connection


@pytest.fixture
def other(conninfo: str) -> Iterator[Connection]:
    with connect(conninfo) as connection:
        yield connection


@pytest.fixture
def lock(holder: Connection) -> Lock:
    return store_lock(holder, PURGE_LOCK)


def test_another_one_is_refused_and_its_log_names_the_holder(
    holder: Connection, other: Connection, lock: Lock, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        exclusive(holder, lock, refusal=REFUSAL),
        pytest.raises(Unavailable, match="another one is under way"),
        exclusive(other, lock, refusal=REFUSAL),
    ):
        pass
    assert f"session {holder.info.backend_pid} (recount" in caplog.text
    with exclusive(other, lock, refusal=REFUSAL):
        pass


def test_one_with_patience_gets_it_when_it_is_free(holder: Connection, other: Connection, lock: Lock) -> None:
    def wait_and_hold() -> None:
        with exclusive(other, lock, refusal=REFUSAL, patience_seconds=60):
            assert not try_lock(holder, lock)

    with ThreadPoolExecutor(1) as pool:
        with exclusive(holder, lock, refusal=REFUSAL):
            waiting = pool.submit(wait_and_hold)
            time.sleep(0.2)
            assert not waiting.done()
        waiting.result(PATIENCE_SECONDS)


def test_a_lock_of_the_schema_is_another_one(holder: Connection, other: Connection) -> None:
    with exclusive(holder, schema_lock(holder, MIGRATE_LOCK), refusal=REFUSAL):
        assert try_lock(other, store_lock(other, MIGRATE_LOCK))


def test_the_session_is_as_before_afterwards(holder: Connection, lock: Lock) -> None:
    def patience() -> object:
        return holder.execute(
            "SELECT current_setting('idle_session_timeout'),"
            " current_setting('idle_in_transaction_session_timeout')"
        ).fetchone()

    before = patience()
    with exclusive(holder, lock, refusal=REFUSAL):
        assert patience() == ("5s", "5s")
    assert patience() == before


@pytest.mark.parametrize("statement", [None, "BEGIN"], ids=["at rest", "within a transaction"])
def test_a_holder_that_takes_its_time_keeps_it(
    holder: Connection, other: Connection, lock: Lock, monkeypatch: pytest.MonkeyPatch, statement: str | None
) -> None:
    monkeypatch.setattr(recountdb.eventlog.postgres.exclusive_locks, "SILENCE_SECONDS_MAX", 2)
    monkeypatch.setattr(recountdb.eventlog.postgres.exclusive_locks, "PING_SECONDS", 0.2)
    with exclusive(holder, lock, refusal=REFUSAL):
        if statement is not None:
            holder.execute(statement)
        time.sleep(3)
        assert not try_lock(other, lock)
        if statement is not None:
            holder.execute("ROLLBACK")


@pytest.mark.parametrize("statement", [None, "BEGIN"], ids=["at rest", "within a transaction"])
def test_a_holder_that_stands_still_loses_it_and_can_write_no_more(
    holder: Connection, other: Connection, lock: Lock, monkeypatch: pytest.MonkeyPatch, statement: str | None
) -> None:
    """As when the whole process is stopped: nobody says anything to PostgreSQL."""
    monkeypatch.setattr(recountdb.eventlog.postgres.exclusive_locks, "SILENCE_SECONDS_MAX", 1)
    monkeypatch.setattr(recountdb.eventlog.postgres.exclusive_locks, "PING_SECONDS", 1000)
    with exclusive(holder, lock, refusal=REFUSAL):
        if statement is not None:
            holder.execute(statement)
        wait_until(lambda: try_lock(other, lock))
        with pytest.raises(psycopg.Error):
            holder.execute("SELECT 1")
        assert holder.closed
