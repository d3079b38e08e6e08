"""What is purged is gone: from every table, from dumps, and after a scrub from the files of the database."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import secrets
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import JsonValue
from pydantic_core import to_json
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.runtime import store_tables
from recountdb.api.services.fork import Cut, prepare_fork
from recountdb.api.services.purge import (
    PurgeResult,
    days_ago,
    find_targets,
    hold_purge_lock,
    load_receipts,
    purge_due,
    purge_target,
    purge_targets,
)
from recountdb.api.services.read_audit import SQL as READS
from recountdb.api.services.read_audit import forget_reads
from recountdb.api.settings import Settings
from recountdb.domain.aggregate import Snapshot
from recountdb.domain.catalog import KINDS
from recountdb.domain.commands.base import Command, Name
from recountdb.domain.commands.common import Delete, MergeMetadata, SetState, Start, Undelete
from recountdb.domain.commands.conversations import (
    AddMessages,
    ChangeMessage,
    DeleteMessage,
    Fork,
    RenameSession,
)
from recountdb.domain.commands.memory_functions import ChangeFunction, DefineFunction
from recountdb.domain.commands.retention import PlaceHold, ReleaseHold
from recountdb.domain.commands.users import ChangeUser
from recountdb.domain.errors import NotFound, OnHold, Unavailable
from recountdb.domain.memory_functions import Definition
from recountdb.domain.messages import Message
from recountdb.domain.users import Profile
from recountdb.eventlog.application import Recount
from recountdb.eventlog.archive.export_log import export_log, packed
from recountdb.eventlog.integrity.checkpoints import take_checkpoints
from recountdb.eventlog.integrity.proof import proof_of
from recountdb.eventlog.integrity.verify import log_flaws
from recountdb.eventlog.log.erase import erase_payloads
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.postgres.database import Connection, connect
from recountdb.eventlog.postgres.programs import packaged_home
from recountdb.projections.followers.eraser import erase_in_steps, erase_until, find_erasures
from recountdb.projections.followers.scrub import scrub
from recountdb.projections.lists.paging import Filter, Window
from recountdb.projections.queries.history import AsOf, load_state_as_of, page_as_of
from recountdb.projections.queries.purge import Receipt, Target, find_deleted, page_receipts
from recountdb.projections.rebuild import build as rebuild
from recountdb.projections.rebuild import shadow
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.sessions import get_session, list_sessions
from recountdb.projections.views.tables import PREVIOUS, SHADOW, TABLES, has_tables
from recountdb.projections.views.users import get_user
from tests.support.processes import context, recount_on, wait_until
from tests.support.stories import THREAD, say, tell_stories

pytestmark = pytest.mark.sql

PG_DUMP = packaged_home() / "bin/pg_dump"  # dumps older servers, too


@pytest.fixture
def connection(conninfo: str) -> Iterator[Connection]:
    with connect(conninfo) as connection:
        yield connection


def purged(application: Recount, targets: Iterable[Target], *, reason: str | None = None) -> list[Receipt]:
    """Purge ``targets`` and have them erased; all of them must go."""
    results = purge_targets(
        application, targets, lambda project: context(project=project), reason=reason, insist=True
    )
    assert [result.why_not for result in results] == [None] * len(results)
    return load_receipts(application.database, results)


def session(application: Recount, name: str) -> Iterable[Target]:
    return find_targets(application.database, Name("default", "session", "", name))


def user(application: Recount, name: str) -> Iterable[Target]:
    return find_targets(application.database, Name("default", "user", "", name))


def send(application: Recount, *commands: Command) -> None:
    for command in commands:
        application.execute(command, context())


def texts_of(
    application: Recount, name: str, *, kind: Any = "session", deleted: bool | None = False
) -> list[Any]:
    window, criteria = Window(1000), Filter(deleted=deleted)
    page = page_messages(application.database, "default", kind, name, window, criteria)
    return [message.content for message in page.items]


def flaws(connection: Connection, conninfo: str) -> list[str]:
    """What ``recount verify`` tells."""
    found = [str(flaw) for flaw in log_flaws(connection)]
    rebuild.fill_views(conninfo)
    found += [str(difference) for difference in rebuild.find_differences(connection)]
    shadow.drop_shadow(connection)
    return found


def rows_without(connection: Connection, streams: Iterable[UUID]) -> dict[str, list[str]]:
    """All rows of the log and the views but those of some streams, as hashes."""
    tables = ["stored_events", *(table for table in TABLES if table != "counters")]
    rows = {}
    for table in tables:
        stream = "originator_id" if table == "stored_events" else "stream_id"
        hashed = f"SELECT md5(t::text) FROM {table} AS t WHERE {stream} <> ALL(%s) ORDER BY 1"
        rows[table] = [row for (row,) in connection.execute(hashed, [list(streams)])]
    return rows


class TestSession:
    def test_it_is_gone_and_its_name_is_free(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        send(application, AddMessages(kind="session", name="trip", messages=say("one", "two")))
        before = get_session(application.database, "default", "trip")
        (receipt,) = purged(application, session(application, "trip"), reason="asked for")
        with pytest.raises(NotFound):
            get_session(application.database, "default", "trip", deleted=True)
        with pytest.raises(NotFound):
            load_state_as_of(application, Name("default", "session", "", "trip"), AsOf(version=1))
        assert (receipt.kind, receipt.stream_id, receipt.reason) == ("session", before.id, "asked for")
        assert (receipt.events, receipt.messages, receipt.actor) == (3, 2, "test")
        assert receipt.is_erased

        send(application, AddMessages(kind="session", name="trip", messages=say("new")))
        after = get_session(application.database, "default", "trip")
        assert (after.id != before.id, after.number) == (True, before.number + 1)
        assert texts_of(application, "trip") == ["new"]
        assert flaws(connection, conninfo) == []

    def test_the_log_says_what_was_and_nothing_of_what_was_said(self, application: Recount) -> None:
        send(application, AddMessages(kind="session", name="trip", messages=say("one")))
        (receipt,) = purged(application, session(application, "trip"))
        entries = application.log.select_stream(receipt.stream_id, gt=0, lt=100, limit=100)
        topics = ["session.started", "session.message-added", "session.purged"]
        assert [entry.topic for entry in entries] == topics
        for entry in entries[:2]:
            assert entry.state.startswith(b'{"erased"')
            assert not [word for word in (b"one", b"trip", b"test") if word in entry.state]
        proof = proof_of(application.database, receipt.stream_id)
        assert [event["payload"] is None for event in proof["events"]] == [True, True, False]
        assert proof["events"][-1]["link"] == receipt.chain_head.hex()

    def test_the_rows_of_all_others_stay_as_they_are(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        tell_stories(application, 3)
        target, *_ = session(application, "trip 1 renamed")
        before = rows_without(connection, [target.stream_id])
        purged(application, [target])
        assert rows_without(connection, [target.stream_id]) == before
        assert all(rows for rows in before.values())
        assert flaws(connection, conninfo) == []

    def test_another_process_that_knows_it_begins_a_new_one(
        self, application: Recount, conninfo: str
    ) -> None:
        with recount_on(conninfo) as other:
            send(other, AddMessages(kind="session", name="trip", messages=say("one")))
            (receipt,) = purged(application, session(application, "trip"))
            send(other, AddMessages(kind="session", name="trip", messages=say("two")))
        assert texts_of(application, "trip") == ["two"]
        assert get_session(application.database, "default", "trip").id != receipt.stream_id

    @pytest.mark.parametrize(
        "command",
        [
            Delete(kind="session", name="trip"),
            Undelete(kind="session", name="trip"),
            MergeMetadata(kind="session", name="trip", metadata={"a": 1}),
            RenameSession(name="trip", new_name="other"),
        ],
        ids=lambda command: type(command).__name__,
    )
    def test_no_command_finds_it_not_even_where_it_was_known(
        self, application: Recount, conninfo: str, command: Command
    ) -> None:
        with recount_on(conninfo) as other:
            for one in (application, other):
                send(one, AddMessages(kind="session", name="trip", messages=say("one")))
            purged(application, session(application, "trip"))
            for one in (application, other):
                with pytest.raises(NotFound):
                    send(one, command)

    def test_one_that_is_written_to_all_the_while_goes_too(
        self, application: Recount, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        send(application, AddMessages(kind="session", name="trip", messages=say("one")))
        (target,) = session(application, "trip")
        send(application, AddMessages(kind="session", name="trip", messages=say("two")))
        (receipt,) = purged(application, [target])
        assert (receipt.events, receipt.messages) == (3, 2)

    def test_a_fork_read_before_the_purge_does_not_bring_it_back(self, application: Recount) -> None:
        send(application, AddMessages(kind="session", name="trip", messages=say("one")))
        command = prepare_fork(application, Name("default", "session", "", "trip"), "copy", Cut())
        assert isinstance(command, Fork)
        purged(application, session(application, "trip"))
        with pytest.raises(NotFound):
            send(application, command)

    def test_a_state_that_was_read_before_is_not_saved_after(
        self, application: Recount, connection: Connection
    ) -> None:
        send(application, AddMessages(kind="session", name="trip", messages=say(*"abcdef")))
        application.states.take_snapshots([])
        state = application.states.find(next(iter(session(application, "trip"))).stream_id)
        assert state is not None
        purged(application, session(application, "trip"))
        assert application.snapshots is not None
        application.snapshots.put([Snapshot(state.id, state.version, state)])
        assert connection.execute("SELECT count(*) FROM snapshots").fetchone() == (0,)


class TestHold:
    def test_it_stops_a_purge_until_it_is_released(self, application: Recount) -> None:
        send(
            application,
            AddMessages(kind="session", name="trip", messages=say("one")),
            PlaceHold(kind="session", name="trip", reason="case 7"),
            Delete(kind="session", name="trip"),
        )
        assert refused(application, session(application, "trip"))
        assert purge_due(application, 0) == []
        send(application, ReleaseHold(kind="session", name="trip"))
        (result,) = purge_due(application, 0)
        assert result.versions

    def test_a_users_hold_covers_what_is_theirs(self, application: Recount) -> None:
        send(
            application,
            AddMessages(kind="session", name="trip", user_id="ana", messages=say("one")),
            AddMessages(kind="thread", name=THREAD, messages=say("two", user_id="ana")),
            Start(kind="user", name="ana"),
            PlaceHold(kind="user", name="ana", reason="case 7"),
        )
        assert len(refused(application, user(application, "ana"))) == 3
        assert refused(application, session(application, "trip"))
        send(application, Delete(kind="session", name="trip"))
        assert purge_due(application, 0) == []
        assert texts_of(application, THREAD, kind="thread") == ["two"]

    @pytest.mark.parametrize(
        "trace",
        [
            AddMessages(kind="session", name="trip", user_id="ana", messages=say("one")),
            AddMessages(kind="thread", name=THREAD, messages=say("two", user_id="ana")),
        ],
        ids=["owns", "said"],
    )
    def test_a_user_without_a_profile_is_held_by_what_there_is_of_them(
        self, application: Recount, trace: AddMessages
    ) -> None:
        hold = PlaceHold(kind="user", name="ana", reason="case 7")
        with pytest.raises(NotFound):
            send(application, hold)
        send(application, trace, hold)
        assert set(refused(application, user(application, "ana"))) == {str(OnHold("user"))}

    def test_what_was_purged_is_no_trace_of_a_user(self, application: Recount) -> None:
        send(application, AddMessages(kind="session", name="trip", user_id="ana", messages=say("one")))
        (gone,) = purge_targets(
            application, session(application, "trip"), lambda project: context(), reason=None, insist=True
        )
        assert gone.versions
        with pytest.raises(NotFound):
            send(application, PlaceHold(kind="user", name="ana", reason="case 7"))


def refused(application: Recount, targets: Iterable[Target]) -> list[str]:
    results = purge_targets(application, targets, lambda project: context(), reason=None, insist=True)
    assert not any(result.versions for result in results)
    return [result.why_not for result in results if result.why_not is not None]


class TestRetention:
    def test_what_was_deleted_long_enough_ago_goes(
        self, application: Recount, connection: Connection
    ) -> None:
        send(
            application,
            Start(kind="session", name="live"),
            Start(kind="session", name="deleted"),
            Start(kind="thread", name=THREAD),
            Start(kind="user", name="ana"),
            Delete(kind="session", name="deleted"),
            Delete(kind="thread", name=THREAD),
            Delete(kind="user", name="ana"),
            DefineFunction(name=THREAD, definition=Definition(type="user_state")),
            Delete(kind="function", name=THREAD),
        )
        assert purge_due(application, 1) == []
        assert {result.target.kind for result in purge_due(application, 0)} == set(KINDS)
        assert [one.name for one in list_sessions(application.database, "default", Window()).items] == [
            "live"
        ]
        with pytest.raises(NotFound):
            get_user(application.database, "default", "ana", deleted=True)
        assert purge_due(application, 0) == []

    def test_messages_of_live_conversations_that_were_deleted_go(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        said = say("kept", "deleted")
        send(
            application,
            AddMessages(kind="session", name="hidden", messages=say("hidden", "hidden, too")),
            Delete(kind="session", name="hidden"),
            AddMessages(kind="session", name="hidden", messages=say("shown")),
            AddMessages(kind="session", name="single", messages=said),
            ChangeMessage(
                kind="session", name="single", message_id=said[1].id, changes={"content": "edited"}
            ),
            DeleteMessage(kind="session", name="single", message_id=said[1].id),
        )
        results = purge_due(application, 0)
        assert sorted(result.target.messages for result in results) == [1, 2]
        assert texts_of(application, "hidden", deleted=None) == ["shown"]
        assert texts_of(application, "single", deleted=None) == ["kept"]
        assert get_session(application.database, "default", "single").message_count == 1
        assert get_session(application.database, "default", "hidden").message_count == 1
        assert erased_versions(application, "single") == [3, 4, 5]
        assert purge_due(application, 0) == []
        assert flaws(connection, conninfo) == []

    def test_what_was_undeleted_meanwhile_stays(self, application: Recount) -> None:
        send(application, Start(kind="session", name="trip"), Delete(kind="session", name="trip"))
        targets = list(find_deleted(application.database, days_ago(application.database, 0)))
        send(application, Undelete(kind="session", name="trip"))
        (result,) = purge_targets(application, targets, lambda project: context(), reason=None, insist=False)
        assert result.why_not
        assert get_session(application.database, "default", "trip").is_deleted is False

    def test_one_purge_at_a_time(self, application: Recount, connection: Connection) -> None:
        with hold_purge_lock(connection), pytest.raises(Unavailable):
            purge_due(application, 0)
        assert purge_due(application, 0) == []


def erased_versions(application: Recount, name: str) -> list[int]:
    stream_id = get_session(application.database, "default", name).id
    entries = application.log.select_stream(stream_id, gt=0, lt=10**6, limit=10**6)
    return [entry.originator_version for entry in entries if entry.state.startswith(b'{"erased"')]


class TestUser:
    def test_only_their_messages_go_where_others_spoke(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        by_ana, by_bob = say("a1", user_id="ana"), say("b1", user_id="bob")
        send(
            application,
            Start(kind="user", name="ana", profile=Profile(email="ana@example.org")),
            AddMessages(kind="session", name="hers", user_id="ana", messages=say("h1")),
            AddMessages(
                kind="session", name="shared", user_id="ana", messages=[*by_ana, *by_bob, *say("a2")]
            ),
            AddMessages(
                kind="session", name="his", user_id="bob", messages=say("a3", user_id="ana") + by_bob
            ),
            AddMessages(kind="thread", name=THREAD, messages=by_ana + by_bob),
            ChangeMessage(kind="thread", name=THREAD, message_id=by_ana[0].id, changes={"content": "a4"}),
            AddMessages(kind="session", name="bobs", user_id="bob", messages=say("b2")),
        )
        receipts = purged(application, user(application, "ana"))
        assert sorted((one.kind, one.events, one.messages) for one in receipts if one.events) == [
            ("session", 2, 1),
            ("user", 1, 0),
        ]
        assert texts_of(application, "shared") == ["b1"]
        assert texts_of(application, "his") == ["b1"]
        assert texts_of(application, THREAD, kind="thread") == ["b1"]
        assert texts_of(application, "bobs") == ["b2"]
        assert get_session(application.database, "default", "shared").message_count == 1
        with pytest.raises(NotFound):
            get_session(application.database, "default", "hers")
        as_it_was = page_as_of(
            application, Name("default", "thread", "", THREAD), AsOf(version=3), Window(), Filter()
        )
        assert [message.content for message in as_it_was.items] == ["b1"]
        assert flaws(connection, conninfo) == []
        with pytest.raises(NotFound):
            list(user(application, "ana"))

    def test_thousands_of_messages_go(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        for _ in range(5):
            said = say(*("a" for _ in range(500)), user_id="ana") + say("b", user_id="bob")
            send(application, AddMessages(kind="session", name="long", messages=said))
        receipts = purged(application, user(application, "ana"))
        assert [receipt.messages for receipt in receipts] == [1000, 1000, 500]
        assert texts_of(application, "long") == ["b"] * 5
        assert flaws(connection, conninfo) == []

    def test_a_request_of_which_a_part_was_erased_is_repeated_without_it(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        said = [*say("a", user_id="ana"), *say("b", user_id="bob"), *say("a", user_id="ana")]
        command = AddMessages(kind="session", name="trip", messages=said)
        application.execute(command, context("key"))
        purged(application, user(application, "ana"))
        again = application.execute(command, context("key"))
        assert (again.is_repeat, again.message_ids) == (True, [said[1].id])
        assert texts_of(application, "trip") == ["b"]
        assert flaws(connection, conninfo) == []


class TestKilled:
    """Erasing stops after any step, in the middle of a purge, and somebody goes on."""

    def test_whoever_goes_on_finds_what_is_left(
        self, application: Recount, connection: Connection, conninfo: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("recountdb.projections.followers.eraser.BATCH", 2)
        for number in range(8):
            name = f"trip {number}"
            send(application, AddMessages(kind="session", name=name, messages=say(*"abcde")))
            (target,) = session(application, name)
            result = purge_target(application, target, context(), reason=None, insist=True)
            stop_after(connection, number)
            with connect(conninfo) as other:
                erase_until(other, settled_position(other), forget_reads)
            (receipt,) = load_receipts(application.database, [result])
            assert receipt.is_erased
        left = connection.execute(
            "SELECT count(*) FROM stored_events WHERE salt IS NOT NULL AND topic <> 'session.purged'"
        )
        assert left.fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (0,)
        assert flaws(connection, conninfo) == []

    def test_a_rebuild_meanwhile_has_the_erasing_wait(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        send(application, AddMessages(kind="session", name="trip", messages=say("one")))
        with shadow.hold_rebuild_lock(connection):
            (receipt,) = purged(application, session(application, "trip"))
            assert not receipt.is_erased
            with pytest.raises(NotFound):
                get_session(application.database, "default", "trip", deleted=True)
            assert flaws(connection, conninfo) == []
        with connect(conninfo) as other:
            erase_until(other, settled_position(other), forget_reads)
        (again,) = page_receipts(application, "default", Window()).items
        assert again.is_erased
        assert flaws(connection, conninfo) == []


def stop_after(connection: Connection, count: int) -> None:
    """Carry out so many steps of what is to be erased, and no more."""
    connection.execute("INSERT INTO followers VALUES ('erasure', 0) ON CONFLICT DO NOTHING")
    for entry in find_erasures(connection, settled_position(connection)):
        for _ in zip(range(count), erase_in_steps(connection, entry, forget_reads), strict=False):
            pass


CANARY = re.compile(rb"canary[0-9a-f]{24}")


class Canaries:
    """Random strings wherever one can say something, in a conversation that is to go."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def new(self) -> str:
        self.all.append(f"canary{secrets.token_hex(12)}")
        return self.all[-1]

    def message(self, **members: Any) -> Message:
        return Message(
            id=uuid4(),
            role="user",
            content=[{"type": "text", "text": self.new()}],
            name=self.new(),
            metadata={self.new(): [self.new()]},
            tool_calls=[{"function": self.new()}],
            tool_call_id=self.new(),
            **members,
        )


def furnish(application: Recount, canaries: Canaries) -> tuple[str, str]:
    """A session and a thread full of canaries; returns their names."""
    name, thread = canaries.new(), str(uuid4())
    said = [canaries.message(user_id=canaries.new()) for _ in range(3)]
    key = canaries.new()
    application.execute(
        AddMessages(
            kind="session", name=name, user_id=canaries.new(), messages=said, metadata={"k": canaries.new()}
        ),
        context(key, fingerprint=canaries.new()),
    )
    edited: dict[str, JsonValue] = {"content": canaries.new()}
    long = [Message(id=uuid4(), role="user", content=canaries.new() + "x" * 50) for _ in range(600)]
    new_name = canaries.new()
    send(
        application,
        ChangeMessage(kind="session", name=name, message_id=said[0].id, changes=edited),
        DeleteMessage(kind="session", name=name, message_id=said[1].id),
        MergeMetadata(kind="session", name=name, metadata={"l": canaries.new()}),
        Delete(kind="session", name=name, reason=canaries.new()),
        Undelete(kind="session", name=name),
        AddMessages(kind="session", name=name, messages=long),  # a snapshot is taken
        RenameSession(name=name, new_name=new_name),
        AddMessages(
            kind="thread", name=thread, messages=[canaries.message()], metadata={"k": canaries.new()}
        ),
        SetState(kind="thread", name=thread, key=canaries.new(), state={"s": canaries.new()}),
        Start(kind="user", name=thread, profile=Profile(display_name=canaries.new())),
        ChangeUser(name=thread, metadata={canaries.new(): 1}, replaces_metadata=True),
        SetState(kind="user", name=thread, key=canaries.new(), state={"s": canaries.new()}),
        DefineFunction(name=thread, definition=Definition(type="user_state", name=canaries.new())),
        ChangeFunction(name=thread, changes={"instructions": canaries.new()}),
        Delete(kind="function", name=thread, reason=canaries.new()),
    )
    return new_name, thread


def dump(conninfo: str) -> bytes:
    command = [str(PG_DUMP), "--inserts", "-d", conninfo]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


def exported(connection: Connection) -> bytes:
    """The text of the file that ``recount log export`` would write now."""
    file = io.BytesIO()
    with packed(file) as write:
        export_log(connection, write, lambda count: None)
    return gzip.decompress(file.getvalue())


def found_in(content: bytes, canaries: Canaries) -> list[str]:
    return sorted({one.decode() for one in CANARY.findall(content)}.intersection(canaries.all))


def data_directory(connection: Connection) -> Path:
    ((named, process_id),) = connection.execute(
        "SELECT current_setting('data_directory'), pg_backend_pid()"
    ).fetchall()
    # A server that may not look at all folders above its data only knows them as where it is.
    return Path(f"/proc/{process_id}/cwd").resolve() if named == "/proc/self/cwd" else Path(named)


def found_in_files(connection: Connection, canaries: Canaries) -> dict[str, list[str]]:
    """Which canaries are in which files of the data directory, but for the write-ahead log."""
    connection.execute("CHECKPOINT")
    directory = data_directory(connection)
    found: dict[str, list[str]] = {}
    for place, folders, files in os.walk(directory):
        if "pg_wal" in folders:
            folders.remove("pg_wal")
        for path in (Path(place, name) for name in files):
            names = found_in(path.read_bytes(), canaries) if path.is_file() else []
            if names:
                found[str(path.relative_to(directory))] = names
    return found


class TestCanaries:
    def test_none_is_left_in_any_table_or_index_nor_after_a_scrub_in_any_file(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        gone, kept = Canaries(), Canaries()
        name, thread = furnish(application, gone)
        furnish(application, kept)
        rebuild.fill_views(conninfo)
        rebuild.swap_in(conninfo)  # so that there are earlier tables, too
        rebuild.fill_views(conninfo)  # and those of a rebuild that was stopped
        assert all(has_tables(connection, schema) for schema in (PREVIOUS, SHADOW))
        note_read(connection, name)
        connection.execute("ANALYZE")
        assert found_in(dump(conninfo), gone) == sorted(gone.all)
        assert found_in(exported(connection), gone) == sorted(gone.all)
        assert {one for names in found_in_files(connection, gone).values() for one in names} == set(gone.all)

        take_checkpoints(application.database)
        purged(application, session(application, name))
        for kind in ("thread", "user", "function"):
            purged(application, find_targets(application.database, Name("default", kind, "", thread)))
        assert found_in(dump(conninfo), gone) == []
        assert found_in(dump(conninfo), kept) == sorted(kept.all)
        assert found_in(exported(connection), gone) == []
        assert found_in(exported(connection), kept) == sorted(kept.all)
        scrub(connection, store_tables())
        assert found_in_files(connection, gone) == {}
        shadow.drop_shadow(connection)
        assert flaws(connection, conninfo) == []

    def test_none_of_what_a_user_said_among_others_is_left(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        gone, kept = Canaries(), Canaries()
        by_ana = [gone.message(user_id="ana") for _ in range(3)]
        by_bob = [kept.message(user_id="bob") for _ in range(3)]
        together = [one for pair in zip(by_ana, by_bob, strict=True) for one in pair]
        send(
            application,
            AddMessages(kind="session", name="trip", user_id="bob", messages=together),
            AddMessages(kind="thread", name=THREAD, messages=together),
            ChangeMessage(
                kind="session", name="trip", message_id=by_ana[0].id, changes={"content": gone.new()}
            ),
            DeleteMessage(kind="session", name="trip", message_id=by_ana[1].id),
        )
        rebuild.fill_views(conninfo)
        rebuild.swap_in(conninfo)
        assert found_in(dump(conninfo), gone) == sorted(gone.all)
        assert found_in_files(connection, gone)
        purged(application, user(application, "ana"))
        assert found_in(dump(conninfo), gone) == []
        assert found_in(dump(conninfo), kept) == sorted(kept.all)
        scrub(connection, store_tables())
        assert found_in_files(connection, gone) == {}
        assert flaws(connection, conninfo) == []


def note_read(connection: Connection, name: str) -> None:
    row = {
        "read_at": datetime.now(UTC) - timedelta(seconds=1),
        "project": "default",
        "actor": "test",
        "request_id": "r",
        "method": "GET",
        "route": "/v1/sessions/{session_id}",
        "parameters": {"session_id": name},
        "status": 200,
    }
    connection.execute(READS["insert_reads"], [to_json([row]).decode()])


def test_erasing_that_the_stream_does_not_speak_of_is_found(
    application: Recount, connection: Connection
) -> None:
    send(application, AddMessages(kind="session", name="trip", messages=say("one", "two")))
    (target,) = session(application, "trip")
    erase_payloads(connection, target.stream_id, [2])
    (flaw,) = log_flaws(connection)
    assert (flaw.stream_id, flaw.version) == (target.stream_id, 2)
    send(application, AddMessages(kind="session", name="trip", messages=say("three")))
    assert len(list(log_flaws(connection))) == 1


def test_the_receipts_of_a_project_are_listed_in_order(application: Recount) -> None:
    results: list[PurgeResult] = []
    for name in ("one", "two", "three"):
        send(application, Start(kind="session", name=name))
        results += purge_targets(
            application, session(application, name), lambda project: context(), reason=name, insist=True
        )
    first = page_receipts(application, "default", Window(2))
    rest = page_receipts(application, "default", Window(2, cursor=first.next_cursor))
    assert [one.reason for one in (*first.items, *rest.items)] == ["one", "two", "three"]
    newest = page_receipts(application, "default", Window(2, "newest"))
    assert [one.reason for one in newest.items] == ["three", "two"]
    assert page_receipts(application, "other", Window()).items == []


def are_erased(application: Recount) -> list[bool]:
    return [receipt.is_erased for receipt in page_receipts(application, "default", Window()).items]


def test_the_server_purges_by_itself_and_goes_on_with_what_was_left(
    application: Recount, connection: Connection, conninfo: str
) -> None:
    send(
        application,
        AddMessages(kind="session", name="left", messages=say("one")),
        AddMessages(kind="session", name="deleted", messages=say("two")),
        Delete(kind="session", name="deleted"),
    )
    (target,) = session(application, "left")
    purge_target(application, target, context(), reason=None, insist=True)  # whoever did so ended here
    with TestClient(create_app(Settings(retention_days=0, purge_seconds=0.05), conninfo)):
        wait_until(lambda: are_erased(application) == [True, True])
    assert connection.execute("SELECT count(*) FROM messages").fetchone() == (0,)


class TestProof:
    @pytest.mark.parametrize(
        "table", ["messages", "previous_messages", "names", "snapshots", "kept_elsewhere"]
    )
    def test_a_receipt_never_says_what_was_not_done(
        self, application: Recount, connection: Connection, conninfo: str, table: str
    ) -> None:
        """Something keeps rows from going: whatever it is, the look afterwards finds them."""
        rebuild.fill_views(conninfo)
        rebuild.swap_in(conninfo)
        rebuild.roll_back_rebuild(conninfo)
        send(application, AddMessages(kind="session", name="trip", messages=say("one", "two")))
        stream = get_session(application.database, "default", "trip").id
        connection.execute("CREATE TABLE kept_elsewhere (stream_id uuid, word text)")
        key = "originator_id" if table == "snapshots" else "stream_id"
        connection.execute(ROWS_THAT_STAY[table], [stream])
        connection.execute(
            f"CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            f" CREATE TRIGGER keep BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION keep()"
        )
        before = position_of(connection)
        (receipt,) = purged(application, session(application, "trip"))
        ((count,),) = connection.execute(
            f"SELECT count(*) FROM {table} WHERE {key} = %s", [stream]
        ).fetchall()
        assert (receipt.is_erased, receipt.left) == (False, {table: count})
        assert position_of(connection) == before

        connection.execute(f"DROP TRIGGER keep ON {table}; DELETE FROM kept_elsewhere")
        erase_until(connection, settled_position(connection), forget_reads)
        (receipt,) = page_receipts(application, "default", Window()).items
        assert (receipt.is_erased, receipt.left) == (True, {})

    def test_what_is_left_of_messages_is_found(self, application: Recount, connection: Connection) -> None:
        messages = say("one", "two")
        send(
            application,
            AddMessages(kind="session", name="trip", messages=messages),
            DeleteMessage(kind="session", name="trip", message_id=messages[0].id),
        )
        connection.execute(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';"
            " CREATE TRIGGER keep BEFORE UPDATE ON stored_events FOR EACH ROW EXECUTE FUNCTION keep()"
        )
        (receipt,) = purged(application, find_deleted(application.database, context().at))
        assert (receipt.is_erased, receipt.left) == (False, {"stored_events": 2})
        connection.execute("DROP TRIGGER keep ON stored_events")
        erase_until(connection, settled_position(connection), forget_reads)
        (receipt,) = page_receipts(application, "default", Window()).items
        assert receipt.is_erased


ROWS_THAT_STAY = {
    "messages": "SELECT %s::uuid",
    "previous_messages": "INSERT INTO previous_messages SELECT * FROM messages WHERE stream_id = %s",
    "names": "SELECT %s::uuid",
    "snapshots": "INSERT INTO snapshots VALUES (%s, 1, 'x', '{}')",
    "kept_elsewhere": "INSERT INTO kept_elsewhere VALUES (%s, 'one')",
}


def position_of(connection: Connection) -> Any:
    """Return how far what was said to be erased is erased."""
    position = "SELECT coalesce(max(position), 0) FROM followers WHERE name = 'erasure'"
    return connection.execute(position).fetchone()


def test_a_read_that_is_noted_after_the_purge_does_not_name_it(
    application: Recount, connection: Connection
) -> None:
    """Notes of reads are written down some moments later than the reads were."""
    send(
        application, *(AddMessages(kind="session", name=name, messages=say("x")) for name in ("gone", "kept"))
    )
    ((read_at,),) = connection.execute("SELECT now()").fetchall()
    purged(application, session(application, "gone"))
    note = {"read_at": read_at.isoformat(), "project": "default", "actor": "a", "request_id": "r"}
    note |= {"method": "GET", "route": "/", "status": 200}
    notes = [note | {"parameters": {"session_id": name}} for name in ("gone", "kept")]
    connection.execute(READS["insert_reads"], [json.dumps(notes)])
    parameters = connection.execute("SELECT parameters FROM reads ORDER BY number").fetchall()
    assert parameters == [({},), ({"session_id": "kept"},)]
