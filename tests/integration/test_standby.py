"""A hot standby serves reads and live streams up to what the primary noted as settled, and refuses writes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from uuid_utils.compat import uuid7

from recountdb.api.app import NotServable, create_app
from recountdb.api.runtime import migrate_database
from recountdb.api.settings import Settings
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.messages import Message
from recountdb.eventlog.integrity.checkpoints import take_checkpoints
from recountdb.eventlog.log.epoch import load_epochs
from recountdb.eventlog.log.recorder import LogRecorder
from recountdb.eventlog.log.settled_positions import SettledPositions
from recountdb.eventlog.postgres.database import Database, connect
from recountdb.projections.followers.leader import Leader, Lease
from tests.support.live_server import serve_on_port
from tests.support.processes import context, in_threads, recount_on, wait_until
from tests.support.programs import need_postgres_15, need_program
from tests.support.standby import Pair, streaming

SAID = [{"role": "user", "content": "hello"}]


@pytest.fixture
def pair() -> Iterator[Pair]:
    programs = need_postgres_15("pg_basebackup")
    need_program("ps")
    with streaming(programs) as pair:
        with connect(pair.primary.conninfo) as connection:
            migrate_database(connection)
        pair.wait_for_standby()
        yield pair


def client_of(conninfo: str, **settings: Any) -> TestClient:
    return TestClient(create_app(Settings(**settings), conninfo), base_url="http://127.0.0.1")


def write(conninfo: str, name: str, count: int) -> None:
    with recount_on(conninfo) as application:
        for number in range(count):
            said = [Message(id=uuid7(), role="user", content=f"{name} {number}")]
            application.execute(AddMessages(kind="session", name=name, messages=said), context())


def log_of(conninfo: str) -> list[tuple[int, Any, int]]:
    database = Database(conninfo)
    database.open()
    try:
        entries = LogRecorder(database).select_notifications(None, 100_000)
        return [(entry.id, entry.originator_id, entry.originator_version) for entry in entries]
    finally:
        database.close()


def test_who_follows_on_a_standby_misses_nothing(pair: Pair) -> None:
    noted = SettledPositions(pair.primary.conninfo, notes=True)
    database = Database(pair.standby.conninfo)
    database.open()
    seen: list[tuple[int, Any, int]] = []
    subscription = LogRecorder(database).subscribe(gt=0)

    def follow() -> None:
        entries = ((entry.id, entry.originator_id, entry.originator_version) for entry in subscription)
        seen.extend(entries)

    def note() -> None:
        for _ in noted:
            pass

    def writers() -> None:
        in_threads(write, [(pair.primary.conninfo, f"writer {number}", 60) for number in range(4)])
        last = log_of(pair.primary.conninfo)[-1]
        wait_until(lambda: bool(seen) and seen[-1] == last)
        subscription.stop()
        noted.stop()

    def carry_out(work: Any) -> None:
        work()

    in_threads(carry_out, [(follow,), (note,), (writers,)])
    database.close()
    assert seen == log_of(pair.primary.conninfo)


def test_what_is_settled_on_a_standby_is_what_the_primary_wrote_down(pair: Pair) -> None:
    write(pair.primary.conninfo, "trip", 3)
    pair.wait_for_standby()
    database = Database(pair.standby.conninfo)
    database.open()
    log = LogRecorder(database)
    assert len(log_of(pair.standby.conninfo)) == 4
    assert log.settled_position() == 0
    with client_of(pair.primary.conninfo):
        wait_until(lambda: log.settled_position() == 4)
    assert log.settled().epochs.current.number == 1
    database.close()


def test_a_server_on_a_standby_reads_and_streams(pair: Pair) -> None:
    with serve_on_port(pair.primary.conninfo) as primary, serve_on_port(pair.standby.conninfo) as standby:
        primary.say("/v1/sessions/trip", "one")
        wait_until(lambda: standby.client.get("/v1/sessions/trip/messages").status_code == 200)
        wait_until(lambda: len(standby.log()) == 2)
        assert standby.client.get("/v1/ready").status_code == 200
        assert standby.client.get("/metrics").status_code == 200
        with standby.follow(after=0) as stream:
            stream.take(2)
            primary.say("/v1/sessions/trip", "two")
            (record,) = stream.take(1)
            assert record.data["payload"]["message"]["content"] == "two"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/sessions/trip/messages", {"messages": SAID}),
        ("POST", "/v1/users", {"user_id": "ana"}),
        ("POST", "/v1/webhooks", {"url": "http://127.0.0.1:9/"}),
        ("POST", "/v1/sessions/there/purge", {}),
        ("POST", "/sessions/trip/memory", {"messages": SAID}),
    ],
)
def test_what_must_write_is_refused_in_a_sentence(
    pair: Pair, method: str, path: str, body: dict[str, Any]
) -> None:
    write(pair.primary.conninfo, "there", 1)
    pair.wait_for_standby()
    with client_of(pair.standby.conninfo, webhooks_allow_private=True) as client:
        answer = client.request(method, path, json=body)
        assert answer.status_code == 503, answer.text
        assert answer.headers["Retry-After"].isdecimal()
        assert "the database is read-only, as a standby is" in answer.text


def test_reads_cannot_be_recorded_there(pair: Pair) -> None:
    client = client_of(pair.standby.conninfo, audit_reads=True)
    with pytest.raises(NotServable, match="reads cannot be recorded on a standby"), client:
        pass


def recount(conninfo: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("recount")), *arguments]
    environment = {"PATH": "/usr/bin", "HOME": "/nonexistent", "RECOUNT_DATABASE_URL": conninfo}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_commands_on_a_standby(pair: Pair) -> None:
    write(pair.primary.conninfo, "trip", 2)
    with client_of(pair.primary.conninfo):
        pass
    pair.wait_for_standby()
    migrated = recount(pair.standby.conninfo, "migrate")
    assert (migrated.returncode, migrated.stdout) == (0, "nothing to do: the schema is up to date\n")
    shown = recount(pair.standby.conninfo, "status", "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["schema"]["problem"] is None
    refused = recount(pair.standby.conninfo, "keys", "create")
    assert refused.returncode != 0
    assert "he database is read-only, as a standby is" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_nobody_leads_on_a_standby_until_it_is_promoted(pair: Pair) -> None:
    works: list[bool] = []

    def work(lead: Lease) -> None:
        works.append(lead.connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,))

    leader = Leader(pair.standby.conninfo, "tester", work)
    leader.start()
    try:
        database = Database(pair.standby.conninfo)
        database.open()
        assert take_checkpoints(database) == 0
        database.close()
        assert works == []
        pair.promote()
        wait_until(lambda: bool(works))
        assert works[0] is False
    finally:
        leader.stop()


def test_a_server_on_a_standby_goes_on_as_the_primary_when_that_is_promoted(pair: Pair) -> None:
    with serve_on_port(pair.primary.conninfo) as primary:
        primary.say("/v1/sessions/trip", "one")
        pair.wait_for_standby()
    with serve_on_port(pair.standby.conninfo) as standby:
        wait_until(lambda: len(standby.log()) == 2)
        with standby.follow(after=0) as stream:
            stream.take(2)
            pair.fail_over()

            def is_written() -> bool:
                answer = standby.client.post("/v1/sessions/trip/messages", json={"messages": SAID})
                return answer.status_code == 201

            wait_until(is_written)
            ending = next(record for record in stream if record.event == "epoch")
            assert ending.id is None
            with connect(pair.standby.conninfo) as connection:
                epochs = load_epochs(connection)
            assert epochs.current.number == 2
            assert ending.data["epoch"] == epochs.current.name
            resumed = standby.client.get("/v1/events/stream", headers={"Last-Event-ID": "2"})
            assert resumed.status_code == 410
            with standby.follow(after=resumed.json()["resume_from"]) as again:
                (record, *_) = again.take(1)
                assert record.data["epoch"] == epochs.current.name
