"""An error of PostgreSQL's driver is one of ours wherever it gets through: no 500, no exit code 70."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import errors
from starlette.testclient import TestClient

from recountdb.api.cli.failures import exit_code_for, explain_failure, translate_driver_error
from recountdb.domain.errors import Unavailable
from recountdb.eventlog.postgres.database import connect
from recountdb.eventlog.postgres.failures import translate_error
from tests.support.outage import END_OTHERS

ENDED = [
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.IdleSessionTimeout,
    errors.IdleInTransactionSessionTimeout,
    errors.TooManyConnections,
    errors.QueryCanceled,
    errors.LockNotAvailable,
    errors.InsufficientPrivilege,
    errors.ReadOnlySqlTransaction,
    errors.ConfigurationLimitExceeded,
    errors.OutOfMemory,
    errors.IoError,
    errors.DataCorrupted,
    errors.ConnectionFailure,
    errors.ProtocolViolation,
    errors.InvalidSqlStatementName,
    psycopg.OperationalError,
    psycopg.InterfaceError,
]


@pytest.mark.parametrize("kind", ENDED)
def test_each_is_a_sentence_without_a_number(kind: type[psycopg.Error]) -> None:
    error = translate_error(kind("what it says itself, which may quote"))
    assert isinstance(error, Unavailable)
    assert "quote" not in str(error)
    assert error.retry_after_seconds > 0


def test_a_pooler_that_is_used_up_is_named() -> None:
    assert "default_pool_size" in str(translate_error(errors.ProtocolViolation("query_wait_timeout")))


def test_what_the_driver_says_by_itself_is_no_refusal() -> None:
    assert str(translate_error(psycopg.InternalError("unexpected result"))) == "the database does not answer"


@pytest.mark.parametrize("kind", ENDED)
def test_a_command_ends_with_3(kind: type[psycopg.Error]) -> None:
    error = translate_driver_error(kind("what it says itself, which may quote"))
    assert exit_code_for(error) == 3
    assert "\n" not in explain_failure(error)
    assert "fault of Recount" not in explain_failure(error)


@pytest.mark.parametrize(
    "address", ["/v1/sessions/s/messages", "/api/v1/sessions/s/memory", "/sessions/s/memory"]
)
def test_a_route_answers_503(client: TestClient, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise errors.AdminShutdown("terminating connection due to administrator command")

    body = {"messages": [{"role": "user", "content": "hello"}]}
    assert client.post("/v1/sessions/s/messages", json=body).status_code == 201
    database = client.app.state.store.database  # type: ignore[attr-defined]
    monkeypatch.setattr(database, "fetch", fail)
    monkeypatch.setattr(database, "fetch_as", fail)
    monkeypatch.setattr(database, "read", fail)
    assert client.get(address).status_code == 503


@contextmanager
def killing(conninfo: str) -> Iterator[None]:
    """End all connections to the database, again and again."""
    is_over = threading.Event()

    def kill() -> None:
        with connect(conninfo) as admin:
            while not is_over.wait(0.02):
                admin.execute(END_OTHERS)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        is_over.set()
        killer.join()


def test_what_holds_a_connection_of_its_own_answers_no_500(client: TestClient, conninfo: str) -> None:
    client.app.state.store.database._pool.timeout = 1  # type: ignore[attr-defined]
    statuses = []
    with killing(conninfo):
        for number in range(12):
            statuses += [
                client.post("/v1/purges", json={"older_than_days": 0}).status_code,
                client.post(f"/v1/sessions/s{number}/purge", json={}).status_code,
                client.post("/v1/projections/rebuild", json={"dry_run": True}).status_code,
            ]
    assert 503 in statuses
    assert set(statuses) <= {200, 202, 404, 409, 503}
