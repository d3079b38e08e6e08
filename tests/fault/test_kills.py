"""kill -9 at random moments: what was acknowledged is there, once, in order, and everything adds up.

``RECOUNT_TEST_KILLS=200 python -m pytest tests/fault/test_kills.py`` kills so often in each test; see
tests/fault/conftest.py.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from recountdb.api.services.purge import purge_due, purge_target
from recountdb.domain.commands.base import Command as DomainCommand
from recountdb.domain.commands.common import Delete
from recountdb.domain.commands.conversations import AddMessages, DeleteMessage
from recountdb.eventlog.application import Recount
from recountdb.eventlog.archive import export_log as exporting
from recountdb.eventlog.archive import import_log as importing
from recountdb.eventlog.archive import read as reading
from recountdb.eventlog.integrity.checkpoints import take_checkpoints
from recountdb.eventlog.postgres.advisory_locks import IMPORT_LOCK, PURGE_LOCK, REBUILD_LOCK
from recountdb.eventlog.postgres.database import Connection, Database, connect
from recountdb.eventlog.postgres.embedded import EmbeddedPostgres
from recountdb.projections.followers.webhooks import create_webhook
from recountdb.projections.queries.purge import find_deleted
from recountdb.projections.rebuild import shadow
from recountdb.projections.views.tables import NOTES, PREVIOUS, TABLES
from tests.fault.conftest import Plan
from tests.integration.test_archive import exported, other, rows_of_conninfo, source_of, take_in
from tests.support.appends import committed_positions
from tests.support.killing import (
    RECOUNT,
    Command,
    Notetaker,
    Served,
    Victim,
    assert_log_is_whole,
    assert_verified,
    environment,
    kill_backend,
    kill_postgres,
    kill_postmaster,
)
from tests.support.ledger import Client, Count, Gate, count, found_at, talking
from tests.support.notes import make_note_tables, noted_positions
from tests.support.processes import context, wait_until
from tests.support.receiver import Receiver
from tests.support.stories import say, tell_stories

__all__ = ["other"]

KILLS_OF_A_STORE = 20  # then another one, so that checking stays quick
TALK_SECONDS_MAX = 0.5
START_SECONDS_MAX = 1.5
NOTICED_SECONDS = 0.2
TAKEN_OVER_SECONDS_MAX = 5.0
START_SECONDS_MIN = 0.3  # of a command, until it does anything
STORIES = 30
DOOMED = 12  # sessions
DOOMED_WORDS = "mellifluous"
LOG_FILE = "log.gz"
WRITERS = 3


def prepare_rebuild(application: Recount, scratch: Path, options: Sequence[str] = ()) -> list[str]:
    tell_stories(application, STORIES)
    return ["rebuild", *options]


def check_rebuild(connection: Connection, scratch: Path) -> None:
    """Nothing is left of it but the tables from before."""
    left = connection.execute(
        "SELECT relname FROM pg_class WHERE relname ~ '^(rebuild|previous|dropped)_' AND relkind = 'r'"
    )
    assert {name for (name,) in left} == {f"{PREVIOUS}{table}" for table in (*TABLES, *NOTES)}
    with shadow.hold_rebuild_lock(connection):
        pass


def prepare_purge(application: Recount, scratch: Path) -> list[str]:
    tell_stories(application, STORIES)
    doom(application)
    return ["purge", "--older-than", "0m"]


def doom(application: Recount) -> None:
    """Delete what was said under these words: sessions, and messages of one that goes on."""
    name = f"doomed {uuid4()}"
    for number in range(DOOMED):
        one = f"{name} {number}"
        send(application, AddMessages(kind="session", name=one, messages=say(*[DOOMED_WORDS] * 50)))
        send(application, Delete(kind="session", name=one))
    said = say(*[DOOMED_WORDS] * 20, "kept")
    send(application, AddMessages(kind="session", name="goes on", messages=said))
    for message in said[:-1]:
        send(application, DeleteMessage(kind="session", name="goes on", message_id=message.id))


def send(application: Recount, command: DomainCommand) -> None:
    application.execute(command, context())


def check_purge(connection: Connection, scratch: Path) -> None:
    """Nothing of it is left, nothing is left to do, and no receipt is missing."""
    assert_erased(connection)
    for table in ("stored_events", "snapshots", *TABLES):
        told = connection.execute(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%{DOOMED_WORDS}%'")
        assert told.fetchone() == (0,), table
    ended = connection.execute("SELECT count(*) FROM stored_events WHERE topic = 'session.purged'").fetchone()
    left = connection.execute("SELECT count(*) FROM names WHERE name LIKE 'doomed %'").fetchone()
    assert ended is not None
    assert ended[0] >= DOOMED
    assert left == (0,)


def assert_erased(connection: Connection) -> None:
    """All that the log says is to be erased is so, and the follower knows."""
    assert unerased(connection) == 0
    behind = connection.execute(
        "SELECT count(*) FROM stored_events WHERE (topic LIKE '%.purged' OR topic LIKE '%.messages-erased')"
        " AND notification_id > (SELECT position FROM followers WHERE name = 'erasure')"
    )
    assert behind.fetchone() == (0,)


def unerased(connection: Connection) -> int:
    """How many events are there yet that the log says are to be erased."""
    ((count,),) = connection.execute(
        "SELECT count(*) FROM stored_events AS e JOIN stored_events AS p USING (originator_id)"
        " WHERE e.salt IS NOT NULL AND e.originator_version < p.originator_version"
        " AND (p.topic LIKE '%.purged' OR p.topic LIKE '%.messages-erased'"
        " AND p.state::jsonb -> 'versions' @> to_jsonb(e.originator_version))"
    ).fetchall()
    return int(count)


def prepare_import(application: Recount, scratch: Path) -> list[str]:
    """The log of this very store, some of it erased; the store is empty from then on."""
    tell_stories(application, STORIES)
    doom(application)
    purge_due(application, 0)
    take_checkpoints(application.database)
    with connect(application.database.conninfo) as connection:
        with exporting.written(scratch / LOG_FILE) as write:
            exporting.export_log(connection, write, lambda count: None)
        empty(connection)
    return ["log", "import", str(scratch / LOG_FILE)]


def empty(connection: Connection) -> None:
    tables = ", ".join(
        ["stored_events", "checkpoints", "snapshots", "followers", "parked_streams", "log_imports", *TABLES]
    )
    connection.execute(f"TRUNCATE {tables} RESTART IDENTITY")


def renew_import(application: Recount) -> None:
    """One that was interrupted goes on; one that ended begins anew, in an empty store."""
    with connect(application.database.conninfo) as connection:
        try:
            importing.refuse_unfinished(connection)
        except importing.ImportUnfinished:
            return
        empty(connection)


def check_import(connection: Connection, scratch: Path) -> None:
    """The store would be exported as it was, to the byte."""
    assert unerased(connection) == 0
    lines: list[bytes] = []
    exporting.export_log(connection, lines.append, lambda count: None)
    with reading.open_archive(scratch / LOG_FILE) as file:
        assert lines[1:-1] == file.read().splitlines(keepends=True)[1:-1]
    assert any(b'"salt":null' in line for line in lines)


VICTIMS = {
    "rebuild": Victim(prepare_rebuild, check_rebuild),
    "rebuild by two": Victim(partial(prepare_rebuild, options=("--workers", "2")), check_rebuild),
    "purge": Victim(prepare_purge, check_purge, renew=doom),
    "log import": Victim(prepare_import, check_import, renew=renew_import, is_alone=True),
}


class TestServing:
    def test_a_writing_server_and_its_postgresql(self, tmp_path: Path, plan: Plan) -> None:
        counts = []
        ways = ways_by_turns(plan.chance)
        for done in range(0, plan.kills, KILLS_OF_A_STORE):
            store = tmp_path / f"store{done}"
            store.mkdir()
            some = list(islice(ways, min(KILLS_OF_A_STORE, plan.kills - done)))
            counts.append(counted_over(store, some, plan.chance))
        total = Count.of(counts)
        plan.tell(f"{plan.kills} kills of a server and its PostgreSQL: {total}")
        assert total.is_clean
        assert total.acknowledged > plan.kills


@dataclass
class Store:
    """A data directory with a server and those who write to it."""

    data: Path
    served: Served
    gate: Gate
    clients: Sequence[Client]
    chance: Random

    def start(self) -> None:
        self.served.start("--workers", self.chance.choice([1, 1, 2]))

    def has_gone_on(self) -> None:
        """Wait until each client was answered anew."""
        before = [len(client.acknowledged) for client in self.clients]

        def is_past(client: Client, number: int) -> bool:
            assert client.failure is None, client.failure
            return len(client.acknowledged) > number

        wait_until(lambda: all(map(is_past, self.clients, before)))

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        self.gate.close()
        yield
        self.gate.open()


def kill_server(store: Store) -> None:
    store.served.kill()
    store.start()


def kill_server_as_it_starts(store: Store) -> None:
    store.served.kill()
    store.served.launch()
    time.sleep(store.chance.uniform(0, START_SECONDS_MAX))
    kill_server(store)


def kill_everything(store: Store) -> None:
    store.served.kill_all()
    kill_postgres(store.data)
    store.start()


def kill_the_postmaster(store: Store) -> None:
    kill_postmaster(store.data)
    time.sleep(NOTICED_SECONDS)


def kill_a_backend(store: Store) -> None:
    kill_backend(store.data, store.chance)
    time.sleep(NOTICED_SECONDS)


Way = Callable[[Store], None]
WAYS: tuple[Way, ...] = (
    kill_server,
    kill_everything,
    kill_the_postmaster,
    kill_a_backend,
    kill_server_as_it_starts,
)


def ways_by_turns(chance: Random) -> Iterator[Way]:
    """For ever; each as often as the others."""
    while True:
        yield from chance.sample(WAYS, len(WAYS))


def counted_over(scratch: Path, ways: Sequence[Way], chance: Random) -> Count:
    """Kill in these ways while clients write, and check after each; returns what became of the messages."""
    data = scratch / "data"
    served = Served(scratch, "--data", data, RECOUNT_CHECKPOINT_SECONDS="0.2")
    served.start()
    try:
        with talking(lambda: served.address, chance) as (gate, clients):
            store = Store(data, served, gate, clients, chance)
            for way in ways:
                store.has_gone_on()
                time.sleep(chance.uniform(0, TALK_SECONDS_MAX))
                way(store)
                store.has_gone_on()
                with store.at_rest():
                    result = checked(store, way.__name__)
        command = [str(RECOUNT), "verify", "--data", str(data)]
        verified = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        assert verified.returncode == 0, verified.stderr
    finally:
        served.end()
    return result


def checked(store: Store, after: str) -> Count:
    found = count(store.clients, found_at(store.served.address))
    assert found.is_clean, f"{after}: {found}"
    with EmbeddedPostgres(store.data) as conninfo, connect(conninfo) as connection:
        assert_verified(connection, conninfo)
    return found


class TestCommands:
    @pytest.fixture(
        params=[
            pytest.param("rebuild", marks=pytest.mark.thorough),
            pytest.param("rebuild by two", marks=pytest.mark.thorough),
            "purge",
            pytest.param("log import", marks=pytest.mark.thorough),
        ]
    )
    def victim(self, request: pytest.FixtureRequest) -> Victim:
        return VICTIMS[request.param]

    def test_one_that_is_run_again_until_it_ends(
        self,
        victim: Victim,
        application: Recount,
        conninfo: str,
        other: str,
        tmp_path: Path,
        plan: Plan,
    ) -> None:
        command = Command(victim.prepare(application, tmp_path), conninfo)
        afterwards: list[Callable[[], object]] = [command.run, at_once]
        afterwards += [] if victim.is_alone else [verified(conninfo)]
        with connect(conninfo) as connection:
            with nullcontext(dict[str, list[str]]()) if victim.is_alone else writing(application) as said:
                takes_seconds = command.run()
                kills = 0
                while kills < plan.kills:
                    victim.renew(application)
                    if command.is_killed_after(plan.chance.uniform(START_SECONDS_MIN, takes_seconds)):
                        kills += 1
                        wait_until(lambda: nobody_works(connection))
                        if not victim.is_alone:
                            assert_log_is_whole(connection)
                        plan.chance.choice(afterwards)()
                command.run()
            victim.check(connection, tmp_path)
            assert_verified(connection, conninfo)
        take_in(other, source_of(exported(conninfo)))
        assert rows_of_conninfo(other) == rows_of_conninfo(conninfo)
        for session, contents in said.items():
            assert contents_of_session(application, session) == contents
        told = sum(map(len, said.values()))
        plan.tell(f"{kills} kills of 'recount {' '.join(command.arguments)}': {told} messages, none lost")

    def test_what_a_killed_purge_left_is_erased_by_the_next_server(
        self, application: Recount, conninfo: str, tmp_path: Path, plan: Plan
    ) -> None:
        command = Command(prepare_purge(application, tmp_path), conninfo)
        takes_seconds = command.run()
        with connect(conninfo) as connection:
            for number in range(plan.kills):
                doom(application)
                if number == 0:  # as of a kill right behind the event, which is hard to hit
                    target, *_ = find_deleted(application.database, datetime.now(UTC))
                    purge_target(application, target, context(), reason=None, insist=True)
                    assert unerased(connection) > 0
                else:
                    command.is_killed_after(plan.chance.uniform(START_SECONDS_MIN, takes_seconds))
                server = Served(tmp_path, RECOUNT_DATABASE_URL=conninfo, RECOUNT_RETENTION_DAYS="forever")
                try:
                    server.start()
                    wait_until(lambda: unerased(connection) == 0)
                finally:
                    server.end()
                assert_verified(connection, conninfo)
            command.run()
            check_purge(connection, tmp_path)


def nobody_works(connection: Connection) -> bool:
    """Whether PostgreSQL has noticed that whoever held a lock for a piece of work is gone."""
    held = connection.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint = ANY(%s)",
        [[REBUILD_LOCK, PURGE_LOCK, IMPORT_LOCK]],
    )
    return held.fetchone() == (0,)


def verified(conninfo: str) -> Callable[[], None]:
    """Checks all there is, whatever of a command was left half done."""

    def check() -> None:
        with connect(conninfo) as connection:
            assert_verified(connection, conninfo)

    return check


def at_once() -> None:
    """The next kill may come."""


@contextmanager
def writing(application: Recount, *, pause_seconds: float = 0.05) -> Iterator[dict[str, list[str]]]:
    """Writers, none of whom may be refused; yields what each said, complete after the block."""
    said: dict[str, list[str]] = {f"busy {number}": [] for number in range(WRITERS)}
    is_over = threading.Event()

    def write(session: str) -> None:
        while not is_over.is_set():
            text = str(len(said[session]))
            command = AddMessages(kind="session", name=session, messages=say(text))
            application.execute(command, context())
            said[session].append(text)
            time.sleep(pause_seconds)

    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, session) for session in said]
        try:
            yield said
        finally:
            is_over.set()
    for writer in writers:
        writer.result()


def contents_of_session(application: Recount, session: str) -> list[object]:
    rows = application.database.fetch(
        "SELECT content FROM messages AS m JOIN sessions AS s USING (stream_id)"
        " WHERE s.name = %s ORDER BY m.version",
        [session],
    )
    return [content for (content,) in rows]


class TestFollowers:
    @pytest.mark.parametrize("how", ["properly", pytest.param("naively", marks=pytest.mark.thorough)])
    def test_each_event_is_noted_once(
        self, how: str, application: Recount, database: Database, conninfo: str, plan: Plan
    ) -> None:
        """Of two that stand ready the leader is killed: the other one leads within seconds."""
        make_note_tables(database)
        # By turns it kills itself before its checkpoint, and somebody else kills it at any moment.
        moments = cycle([plan.chance.randint(1, 5), 0])
        leader = Notetaker(conninfo, how, dies_after=next(moments))
        standby = leader
        slowest = 0.0
        try:
            leader.wait_until_it_leads()
            with writing(application, pause_seconds=0.01):
                for _ in range(plan.kills):
                    standby = Notetaker(conninfo, how, dies_after=next(moments))
                    time.sleep(plan.chance.uniform(0, TALK_SECONDS_MAX))
                    leader.die()
                    began = time.monotonic()
                    standby.wait_until_it_leads()
                    slowest = max(slowest, time.monotonic() - began)
                    leader = standby
            standby = Notetaker(conninfo, how, dies_after=0)  # where the leader is to die yet
            last = committed_positions(database)[-1]
            wait_until(lambda: last in noted_positions(database))
        finally:
            leader.end()
            standby.end()
        noted, all_there_are = Counter(noted_positions(database)), committed_positions(database)
        missed = [position for position in all_there_are if position not in noted]
        doubled = [position for position in noted if noted[position] > 1]
        plan.tell(
            f"{plan.kills} kills of a leader that follows {how}: {len(all_there_are)} events,"
            f" {len(missed)} missed, {len(doubled)} doubled; the other led after {slowest:.1f} s at most"
        )
        assert slowest < TAKEN_OVER_SECONDS_MAX
        if how == "properly":
            assert noted_positions(database) == all_there_are
        else:
            assert doubled, "this test would find nothing"

    def test_webhooks_come_at_least_once_in_order(
        self, application: Recount, conninfo: str, tmp_path: Path, plan: Plan
    ) -> None:
        settings = {"RECOUNT_DATABASE_URL": conninfo, "RECOUNT_WEBHOOKS_ALLOW_PRIVATE": "true"}
        servers = [Served(tmp_path, **settings) for _ in range(2)]
        with Receiver().running() as receiver:
            try:
                for server in servers:
                    server.start()
                create_webhook(application.database, "default", url=receiver.url, types=None, after=0)
                with writing(application):
                    for _ in range(plan.kills):
                        time.sleep(plan.chance.uniform(0, TALK_SECONDS_MAX))
                        victim = plan.chance.choice(servers)
                        victim.kill()
                        victim.start()
                everything = committed_positions(application.database)
                wait_until(lambda: receiver.positions[-1:] == everything[-1:])
            finally:
                for server in servers:
                    server.end()
        came = receiver.positions
        repeats = len(came) - len(set(came))
        plan.tell(
            f"{plan.kills} kills of one of two servers that send webhooks: {len(everything)} events,"
            f" {len(set(everything) - set(came))} missed, {repeats} repeated"
        )
        assert came == sorted(came)
        assert sorted(set(came)) == everything
        assert len({one.id for one in receiver.received}) == len(everything)
