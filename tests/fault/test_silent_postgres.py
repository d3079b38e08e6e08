"""A PostgreSQL that is there and says nothing: callers are told in time, and all is well when it goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.runtime import migrate_at
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Addresses, DatabaseSilent, connect
from tests.acceptance.test_cli_serve import recount
from tests.support.postgres import installed_server, new_database
from tests.support.processes import wait_until
from tests.support.programs import need_postgres_15

pytestmark = pytest.mark.thorough

PROMISED_SECONDS = 10
SLACK_SECONDS = 20
"""A machine under load is slow; what was mended would wait for ever."""


@pytest.fixture
def address() -> Iterator[str]:
    programs = need_postgres_15()
    with installed_server(programs) as server, new_database(server) as name:
        address = make_conninfo(server, dbname=name)
        migrate_at(Addresses(address))
        yield address


def processes_of(address: str) -> list[int]:
    """Return the processes of the server, the first one first."""
    home = Path(str(conninfo_to_dict(address)["host"]))
    first = int((home / "data" / "postmaster.pid").read_text().splitlines()[0])
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended meanwhile
            continue
        if parent == first:
            found.append(int(entry.parent.name))
    return [first, *found]


@contextmanager
def silenced(address: str) -> Iterator[None]:
    frozen = processes_of(address)
    for process in frozen:
        with suppress(ProcessLookupError):  # it ended meanwhile
            os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(frozen):
            os.kill(process, signal.SIGCONT)


def add(client: TestClient, session: str) -> Any:
    body = {"messages": [{"role": "user", "content": "hello"}]}
    return client.post(f"/v1/sessions/{session}/messages", json=body)


def test_callers_are_told_in_time_and_all_is_well_afterwards(address: str) -> None:
    with TestClient(create_app(Settings(), address), base_url="http://127.0.0.1") as client:
        assert add(client, "s").status_code == 201
        requests = [
            lambda: client.get("/v1/sessions/s/messages"),
            lambda: client.get("/v1/sessions"),
            lambda: client.get("/v1/events"),
            lambda: add(client, "s"),
            lambda: add(client, "t"),
            lambda: client.post("/v1/sessions/s/purge", json={}),
            lambda: client.post("/v1/projections/rebuild", json={}),
        ]
        with silenced(address):
            began = time.monotonic()
            ready = client.get("/v1/ready")
            assert ready.status_code == 503
            assert time.monotonic() - began < SLACK_SECONDS
            assert client.get("/v1/health").status_code == 200
            with ThreadPoolExecutor(40) as threads:  # more than there are threads and connections
                answers = [threads.submit(request) for request in requests * 5]
                found = [answer.result(PROMISED_SECONDS + SLACK_SECONDS) for answer in answers]
            assert {answer.status_code for answer in found} == {503}
            assert all(int(answer.headers["retry-after"]) > 0 for answer in found)
        wait_until(lambda: client.get("/v1/ready").status_code == 200)
        wait_until(lambda: add(client, "s").status_code == 201)
        assert client.get("/v1/sessions/s/messages").status_code == 200


def test_commands_are_told(address: str) -> None:
    with silenced(address):
        for command in ("status", "verify", "sessions"):
            ended = recount(command, RECOUNT_DATABASE_URL=address)
            assert (ended.returncode, ended.stderr.count("\n")) == (3, 1)


def test_long_work_waits_for_a_server_that_is_there(address: str) -> None:
    with connect(address) as connection, connection.patience(0.2):
        connection.is_there = lambda: True
        assert connection.execute("SELECT pg_sleep(1)").fetchall() == [("",)]


def test_long_work_gives_up_a_server_that_is_silent(address: str) -> None:
    with connect(address) as connection, silenced(address):
        connection.silence_seconds = 1
        with pytest.raises(DatabaseSilent):
            connection.execute("SELECT 1")
        assert connection.closed
