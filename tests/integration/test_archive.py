"""The log exported and imported: the same to the byte, whatever interrupts it, or refused with a reason."""

from __future__ import annotations

import gzip
import io
import os
import random
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, LiteralString
from uuid import UUID

import pytest
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Identifier
from pydantic_core import from_json, to_json

from recountdb.api.cli.claim import claim_directory
from recountdb.api.runtime import open_database
from recountdb.api.services.purge import find_targets, purge_target, purge_targets
from recountdb.api.services.read_audit import forget_reads
from recountdb.api.services.rebuild import build_views
from recountdb.api.services.status import describe_schema
from recountdb.domain.commands.base import Name
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.errors import Unavailable
from recountdb.eventlog.application import Recount
from recountdb.eventlog.archive import check as checking
from recountdb.eventlog.archive import export_log as exporting
from recountdb.eventlog.archive import import_log as importing
from recountdb.eventlog.archive import read as reading
from recountdb.eventlog.archive.import_log import ImportUnfinished
from recountdb.eventlog.archive.lines import ArchiveRefused, EventLine, to_moment
from recountdb.eventlog.archive.read import Source
from recountdb.eventlog.integrity.chain import GENESIS, commitment_to, link_after
from recountdb.eventlog.integrity.checkpoints import take_checkpoints
from recountdb.eventlog.integrity.verify import StoredLink, log_flaws
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.postgres.advisory_locks import APPEND_LOCK
from recountdb.eventlog.postgres.database import Connection, Database, connect
from recountdb.projections.followers.eraser import erase_until
from recountdb.projections.rebuild import build as rebuild
from recountdb.projections.rebuild import shadow
from recountdb.projections.views.tables import PREVIOUS, TABLES, has_tables
from tests.support.postgres import new_database
from tests.support.processes import context, recount_on, wait_until
from tests.support.stories import say, tell_stories

pytestmark = pytest.mark.sql

Rows = dict[str, list[str]]


def nothing(count: int) -> None:
    """Progress that nobody follows."""


def rows_of(connection: Connection) -> Rows:
    """The log, its checkpoints and all views, as texts."""
    found = {
        table: [row for (row,) in connection.execute(f"SELECT t::text FROM {table} t ORDER BY {order}")]
        for table, order in {"stored_events": "notification_id", "checkpoints": "position"}.items()
    }
    for table in TABLES:
        rows = connection.execute(f"SELECT t::text FROM {table} t")
        found[table] = sorted(row for (row,) in rows)
    return found


def rows_of_conninfo(conninfo: str) -> Rows:
    with connect(conninfo) as connection:
        return rows_of(connection)


def exported(conninfo: str) -> bytes:
    """The lines of an archive."""
    lines: list[bytes] = []
    with connect(conninfo) as connection:
        exporting.export_log(connection, lines.append, nothing)
    return b"".join(lines)


def source_of(text: bytes) -> Source:
    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        yield io.BytesIO(text)

    return opened


def take_in(conninfo: str, source: Source) -> None:
    """Import, as the command line does."""
    checked = checking.check(source, nothing)
    with connect(conninfo) as connection, importing.hold_import_locks(connection):
        importing.import_log(connection, source, checked, nothing)
        build_views(conninfo, workers=1)
        importing.finish_import(connection)


def sealed(lines: list[bytes]) -> bytes:
    """An archive of these lines, with a closing line that fits them, whatever they say."""
    header = from_json(lines[0])
    events = sum(line.startswith(b'{"position"') for line in lines)
    lines = [to_json(header | {"events": events}) + b"\n", *lines[1:]]
    checkpoints = sum(line.startswith(b'{"checkpoint"') for line in lines)
    digest = sha256(b"".join(lines)).hexdigest()
    return b"".join(
        [*lines, to_json({"events": events, "checkpoints": checkpoints, "sha256": digest}), b"\n"]
    )


@pytest.fixture
def other(server: str, template: str) -> Iterator[str]:
    """A second store, empty."""
    with new_database(server, template=template) as name:
        yield make_conninfo(server, dbname=name)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "BATCH_EVENTS", 7)


@pytest.fixture
def text(application: Recount, database: Database, conninfo: str) -> bytes:
    """A log with some of everything, several checkpoints, an erased payload, and events after them all."""
    for number, project in enumerate(("default", "shop", "default")):
        tell_stories(application, first=number, project=project)
        take_checkpoints(database)
    tell_stories(application, first=3)
    return exported(conninfo)


def purge_some(application: Recount) -> None:
    """A whole session, and what a user said in a thread that goes on."""
    named = [Name("default", "session", "", "trip 0 renamed"), Name("default", "user", "", "ana 2")]
    for name in named:
        targets = find_targets(application.database, name)
        results = purge_targets(application, targets, lambda project: context(), reason=None, insist=True)
        assert all(result.versions for result in results)


class TestRoundTrip:
    def test_all_is_as_it_was(self, text: bytes, conninfo: str, other: str) -> None:
        take_in(other, source_of(text))
        with connect(conninfo) as first, connect(other) as second:
            before, after = rows_of(first), rows_of(second)
            assert after == before
            assert all(before.values())
            assert list(log_flaws(second)) == []
        rebuild.fill_views(other)
        with connect(other) as second:
            assert list(rebuild.find_differences(second)) == []

    def test_what_is_recorded_afterwards_goes_on_from_there(
        self, text: bytes, conninfo: str, other: str
    ) -> None:
        take_in(other, source_of(text))
        adding = AddMessages(kind="session", name="gone 0", messages=say("more"))
        starting = AddMessages(kind="session", name="new", messages=say("first"))
        told = []
        for store in (conninfo, other):
            with recount_on(store) as application, connect(store) as connection:
                application.execute(adding, context())
                application.execute(starting, context())
                versions = connection.execute(
                    "SELECT notification_id, originator_version, topic FROM stored_events"
                    " ORDER BY notification_id DESC LIMIT 3"
                ).fetchall()
                numbers = connection.execute("SELECT number, version FROM sessions ORDER BY 1").fetchall()
                told.append((versions, numbers))
                assert list(log_flaws(connection)) == []
        assert told[0] == told[1]

    def test_positions_that_became_no_events_are_not_drawn_again(
        self, application: Recount, conninfo: str, other: str
    ) -> None:
        tell_stories(application)
        with connect(conninfo) as connection:
            ((drawn,),) = connection.execute(
                "SELECT nextval(pg_get_serial_sequence('stored_events', 'notification_id'))"
            ).fetchall()
        take_in(other, source_of(exported(conninfo)))
        with recount_on(other) as application:
            application.execute(AddMessages(kind="session", name="x", messages=say("y")), context())
        with connect(other) as connection:
            ((first,),) = connection.execute(
                "SELECT min(notification_id) FROM stored_events WHERE notification_id >= %s", [drawn]
            ).fetchall()
        assert first == drawn + 1

    def test_an_empty_log_is_one_too(self, conninfo: str, other: str) -> None:
        take_in(other, source_of(exported(conninfo)))
        with recount_on(other) as application:
            application.execute(AddMessages(kind="session", name="x", messages=say("y")), context())
        with connect(other) as connection:
            assert connection.execute("SELECT min(notification_id) FROM stored_events").fetchone() == (1,)

    def test_an_erased_event_stays_erased(
        self, text: bytes, application: Recount, conninfo: str, other: str
    ) -> None:
        before = rows_of_conninfo(conninfo)
        purge_some(application)
        purged = exported(conninfo)
        assert text.count(b'"salt":null') == 0
        assert purged.count(b'"salt":null') > 10
        take_in(other, source_of(purged))
        with connect(conninfo) as first, connect(other) as second:
            assert rows_of(second) == rows_of(first) != before
            assert list(log_flaws(second)) == []
        assert exported(other).splitlines()[1:-1] == purged.splitlines()[1:-1]
        rebuild.fill_views(other)
        with connect(other) as second:
            assert list(rebuild.find_differences(second)) == []

    def test_what_was_to_be_erased_is_erased_by_the_next_purge(
        self, text: bytes, application: Recount, conninfo: str, other: str
    ) -> None:
        """Exported between a purge and the erasing, which the importer's own follower makes up for."""
        (target,) = find_targets(application.database, Name("default", "session", "", "trip 0 renamed"))
        purge_target(application, target, context(), reason=None, insist=True)
        take_in(other, source_of(exported(conninfo)))
        with connect(other) as second:
            erase_until(second, settled_position(second), forget_reads)
            unerased = second.execute(
                "SELECT count(*) FROM stored_events WHERE originator_id = %s AND salt IS NOT NULL",
                [target.stream_id],
            )
            assert unerased.fetchone() == (1,)
            assert list(log_flaws(second)) == []

    def test_two_exports_have_the_same_lines(self, text: bytes, conninfo: str) -> None:
        header, *lines, closing = text.splitlines()
        assert exported(conninfo).splitlines()[1:-1] == lines
        assert (from_json(header)["events"], from_json(closing)["events"]) == (len(lines) - 3, len(lines) - 3)

    def test_an_export_is_one_moment_of_a_log_that_grows(
        self, application: Recount, conninfo: str, other: str
    ) -> None:
        tell_stories(application, 3)
        is_over = threading.Event()

        def write() -> None:
            for number in range(3, 10_000):
                tell_stories(application, first=number)
                if is_over.is_set():
                    return

        writer = threading.Thread(target=write)
        writer.start()
        try:
            texts = [exported(conninfo) for _ in range(5)]
        finally:
            is_over.set()
            writer.join()
        lines = exported(conninfo).splitlines()[1:-1]
        for text in texts:
            header, *some, _ = text.splitlines()
            assert some == lines[: len(some)]
            settled = from_json(header)["settled_position"]
            assert [line for line in lines if from_json(line)["position"] <= settled] == some
        assert len(texts[0]) < len(texts[-1])
        take_in(other, source_of(texts[-1]))

    def test_what_is_not_settled_is_left_out(self, application: Recount, conninfo: str) -> None:
        tell_stories(application)
        with connect(conninfo) as open_append, connect(conninfo) as connection:
            with open_append.transaction():
                open_append.execute(
                    "SELECT pg_advisory_xact_lock_shared(%s, 'stored_events'::regclass::oid::int)",
                    [APPEND_LOCK],
                )
                open_append.execute(
                    "SELECT nextval(pg_get_serial_sequence('stored_events', 'notification_id'))"
                )
                lines: list[bytes] = []
                exporter = threading.Thread(
                    target=exporting.export_log, args=(connection, lines.append, nothing)
                )
                exporter.start()
                time.sleep(0.2)
                assert lines == []  # it waits for the position to be settled
            exporter.join()
        assert len(lines) > 2


class Broken(Exception):
    """The byte stream ends like this, as a disk that is gone."""


def breaking(text: bytes, after: int) -> Source:
    """A source that fails after so many bytes, each time but the first, when all is read for the sum."""
    opened = []

    class Breaking(io.BytesIO):
        def __next__(self) -> bytes:
            if self.tell() >= after:
                raise Broken
            return super().__next__()

    @contextmanager
    def source() -> Iterator[BinaryIO]:
        opened.append(True)
        yield Breaking(text) if len(opened) > 2 else io.BytesIO(text)

    return source


@pytest.mark.usefixtures("small_batches")
class TestInterrupted:
    def test_it_goes_on_where_it_was(self, text: bytes, conninfo: str, other: str) -> None:
        chance = random.Random(0)
        reached: list[int] = []
        for after in sorted(chance.randrange(len(text)) for _ in range(6)):
            with pytest.raises(Broken):
                take_in(other, breaking(text, after))
            with connect(other) as connection:
                reached += connection.execute("SELECT position FROM log_imports").fetchone() or ()
                with pytest.raises(ImportUnfinished):
                    importing.refuse_unfinished(connection)
        assert reached == sorted(reached)
        assert len(set(reached)) > 3
        take_in(other, source_of(text))
        with connect(conninfo) as first, connect(other) as second:
            assert rows_of(first) == rows_of(second)
            importing.refuse_unfinished(second)

    def test_what_is_there_is_not_stored_again(
        self, text: bytes, other: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(Broken):
            take_in(other, breaking(text, len(text) // 2))
        with connect(other) as connection:
            before = connection.execute("SELECT xmin, notification_id FROM stored_events").fetchall()
        take_in(other, source_of(text))
        with connect(other) as connection:
            after = connection.execute("SELECT xmin, notification_id FROM stored_events").fetchall()
        assert len(before) > 7
        assert set(before) < set(after)

    def test_nobody_else_writes_meanwhile(self, text: bytes, conninfo: str, other: str) -> None:
        """Not even a server that was there before, and also after the import was killed."""
        with recount_on(other) as application:
            with pytest.raises(Broken):
                take_in(other, breaking(text, len(text) // 2))
            with pytest.raises(Unavailable, match="recount log import"):
                application.execute(AddMessages(kind="session", name="x", messages=say("y")), context())
            take_checkpoints(application.database)
            take_in(other, source_of(text))
            with connect(conninfo) as first, connect(other) as second:
                assert rows_of(first) == rows_of(second)
            application.execute(AddMessages(kind="session", name="x", messages=say("y")), context())

    def test_the_store_does_not_open_until_it_is_done(self, text: bytes, other: str) -> None:
        with pytest.raises(Broken):
            take_in(other, breaking(text, len(text) // 2))
        with pytest.raises(ImportUnfinished, match="interrupted: run 'recount log import'"):
            open_database(other, connections_max=1)
        with connect(other) as connection:  # as 'recount status' shows it
            assert "import of the log was interrupted" in describe_schema(connection)["problem"]
            take_in(other, source_of(text))
            assert describe_schema(connection)["problem"] is None
        open_database(other, connections_max=1).close()

    def test_it_does_not_go_on_with_another_file(self, text: bytes, conninfo: str, other: str) -> None:
        with pytest.raises(Broken):
            take_in(other, breaking(text, len(text) // 2))
        with pytest.raises(ArchiveRefused, match="an import of another log was interrupted"):
            take_in(other, source_of(exported(conninfo)))
        take_in(other, source_of(text))

    def test_two_do_not_run_at_once(self, text: bytes, other: str) -> None:
        with (
            connect(other) as connection,
            importing.hold_import_locks(connection),
            pytest.raises(Unavailable, match="another import"),
        ):
            take_in(other, source_of(text))
        take_in(other, source_of(text))

    def test_one_interrupted_while_views_are_made_makes_them_again(
        self, text: bytes, conninfo: str, other: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(connection: Connection) -> None:
            raise Broken

        for function in ("index_shadow", "drop_previous"):
            with monkeypatch.context() as patch:
                patch.setattr(shadow, function, fail)
                with pytest.raises(Broken):
                    take_in(other, source_of(text))
        take_in(other, source_of(text))
        with connect(conninfo) as first, connect(other) as second:
            assert rows_of(first) == rows_of(second)
            assert not has_tables(second, PREVIOUS)


def refusal(text: bytes, conninfo: str) -> str:
    """Why the import is refused; sees that it left nothing."""
    with connect(conninfo) as connection:
        before = rows_of(connection)
        with pytest.raises(ArchiveRefused) as caught:
            take_in(conninfo, source_of(text))
        assert rows_of(connection) == before
        importing.refuse_unfinished(connection)
    return str(caught.value)


Edit = Callable[[dict[str, Any]], object]


@pytest.mark.usefixtures("small_batches")
class TestRefused:
    def test_a_store_that_has_events(self, text: bytes, conninfo: str) -> None:
        assert "has events already" in refusal(text, conninfo)
        with recount_on(conninfo) as application:  # which is as good as before
            application.execute(AddMessages(kind="session", name="x", messages=say("y")), context())

    def test_a_file_that_is_cut_off_anywhere(self, text: bytes, other: str) -> None:
        chance = random.Random(1)
        lines = text.splitlines(keepends=True)
        for length in [*(chance.randrange(1, len(text)) for _ in range(30)), len(text) - 1]:
            assert refusal(text[:length], other)
        for count in (1, 2, len(lines) - 1):
            assert "cut off" in refusal(b"".join(lines[:count]), other)
        assert refusal(text + lines[-1], other)
        assert refusal(text + b"\n", other)
        assert "not a log" in refusal(b"", other)

    def test_other_files(self, other: str) -> None:
        assert "not a log" in refusal(b'{"id": "talk", "messages": []}\n', other)
        assert "not a log" in refusal(b"\x00" * 5000, other)
        newer = b'{"format":"recount-log/2","exported_at":1}\n'
        assert "newer Recount" in refusal(newer, other)

    def test_a_bit_that_flipped_anywhere(self, text: bytes, other: str) -> None:
        chance = random.Random(int(os.environ.get("RECOUNT_TEST_SEED", "0")))
        for _ in range(1000):
            place, bit = chance.randrange(len(text)), 1 << chance.randrange(8)
            flipped = bytearray(text)
            flipped[place] ^= bit
            with pytest.raises(ArchiveRefused):
                checking.check(source_of(bytes(flipped)), nothing)

    def test_a_bit_that_flipped_in_each_kind_of_line_leaves_nothing(self, text: bytes, other: str) -> None:
        header, event, *_, checkpoint, closing = text.splitlines(keepends=True)
        for line in (header, event, checkpoint, closing):
            for place in (1, 20, len(line) // 2, len(line) - 1):
                flipped = bytearray(text)
                flipped[text.index(line) + place] ^= 1
                assert refusal(bytes(flipped), other)

    @pytest.mark.parametrize("member", ["topic", "project", "recorded_at", "state", "salt", "link"])
    def test_a_changed_event_is_named(self, text: bytes, other: str, member: str) -> None:
        """In a damaged file as in one whose checksum was worked out anew."""
        changed, number = edited(text, {member: changed_value})
        lines = changed.splitlines(keepends=True)
        place = f"line {number} (position {from_json(lines[number - 1])['position']})"
        assert place in refusal(changed, other)
        assert place in refusal(sealed(lines[:-1]), other)

    def test_an_event_that_was_taken_out_put_in_or_moved_is_found(self, text: bytes, other: str) -> None:
        lines = text.splitlines(keepends=True)[:-1]
        changed = [
            lines[:10] + lines[11:],
            [*lines[:10], lines[10], *lines[10:]],
            [*lines[:10], lines[11], lines[10], *lines[12:]],
            [lines[1], lines[0], *lines[2:]],
            lines[1:],
        ]
        for some in changed:
            assert refusal(sealed(some) if some[0] == lines[0] else b"".join(some), other)

    def test_checkpoints_that_do_not_hold(self, text: bytes, other: str) -> None:
        lines = text.splitlines(keepends=True)[:-1]
        forged = from_json(lines[-1]) | {"digest": "00" * 32}
        assert "checkpoint does not hold" in refusal(sealed([*lines[:-1], to_json(forged) + b"\n"]), other)

    def test_a_position_that_was_changed_under_a_checkpoint(self, text: bytes, other: str) -> None:
        """The chain does not know of positions, the checkpoints do."""
        lines = text.splitlines(keepends=True)[:-1]
        events = [line for line in lines if line.startswith(b'{"position"')]
        gap = from_json(events[0]) | {"position": 0}
        assert "checkpoint does not hold" in refusal(
            sealed([lines[0], to_json(gap) + b"\n", *lines[2:]]), other
        )

    def test_what_the_database_cannot_take(self, text: bytes, other: str) -> None:
        """A chain that holds over a payload that is not JSON."""
        line = from_json(text.splitlines()[1])
        state = '{"half'
        row = StoredLink(
            notification_id=1,
            originator_id=EventLine.model_validate_json(text.splitlines()[1]).stream,
            originator_version=1,
            project=line["project"],
            topic=line["topic"],
            recorded_at=to_moment(line["recorded_at"]),
            state=state,
            salt=bytes(16),
            link=b"",
        )
        link = link_after(GENESIS, row, commitment_to(bytes(16), state.encode()))
        forged = line | {"state": state, "salt": bytes(16).hex(), "link": link.hex()}
        assert "lines 2 to 2" in refusal(sealed([text.splitlines(True)[0], to_json(forged) + b"\n"]), other)

    @pytest.mark.parametrize(
        "members",
        [
            {"version": 2**70},
            {"position": -(2**70)},
            {"recorded_at": 2**62},
            {"topic": "x" * 70_000},
            {"stream": "no uuid"},
            {"link": "no hexadecimal"},
            {"salt": None},
            {"state": "\0"},
            {"more": 1},
        ],
        ids=str,
    )
    def test_events_that_cannot_be(self, text: bytes, other: str, members: dict[str, Any]) -> None:
        lines = text.splitlines(keepends=True)[:-1]
        forged = to_json(from_json(lines[1]) | members) + b"\n"
        assert "line 2 " in refusal(sealed([lines[0], forged, *lines[2:]]), other)

    @pytest.mark.parametrize(
        "members", [{"checkpoint": 2**70}, {"taken_at": 2**62}, {"root": ""}, {"more": 1}], ids=str
    )
    def test_checkpoints_that_cannot_be(self, text: bytes, other: str, members: dict[str, Any]) -> None:
        lines = text.splitlines(keepends=True)[:-1]
        forged = to_json(from_json(lines[-1]) | members) + b"\n"
        assert refusal(sealed([*lines[:-1], forged]), other)
        assert refusal(sealed([*lines, lines[-1]]), other)  # the same one twice

    def test_a_file_that_changes_while_it_is_read(self, text: bytes, conninfo: str, other: str) -> None:
        later = exported(conninfo)
        checked = checking.check(source_of(text), nothing)
        with connect(other) as connection, importing.hold_import_locks(connection):
            with pytest.raises(ArchiveRefused, match="was changed while it was read"):
                importing.import_log(connection, source_of(later), checked, nothing)
            assert not any(rows_of(connection).values())

    def test_refusals_do_not_quote(self, text: bytes, other: str) -> None:
        lines = text.splitlines(keepends=True)
        for number in (2, len(lines) // 2):
            line = lines[number - 1].replace(b'"state":"', b'"state":rosebud"')
            told = refusal(sealed([*lines[: number - 1], line, *lines[number:-1]]), other)
            assert told.startswith(f"line {number} ")
            assert "rosebud" not in told


def edited(text: bytes, edits: dict[str, Edit]) -> tuple[bytes, int]:
    """The archive with other values in one event in the middle, and the number of its line."""
    lines = text.splitlines(keepends=True)
    number = len(lines) // 2
    event = from_json(lines[number - 1])
    for member, edit in edits.items():
        event[member] = edit(event[member])
    lines[number - 1] = to_json(event) + b"\n"
    return b"".join(lines), number


def changed_value(value: Any) -> Any:
    match value:
        case int():
            return value + 1
        case str() if set(value) <= set("0123456789abcdef"):
            return value[:-1] + ("0" if value[-1] != "0" else "1")
        case _:
            return value + " "


class TestFiles:
    def test_a_file_appears_when_it_is_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "log.gz"
        path.write_text("before")

        def write_half() -> None:
            with exporting.written(path) as write:
                write(b"half")
                raise Broken

        with pytest.raises(Broken):
            write_half()
        assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]
        with exporting.written(path) as write:
            write(b"whole")
            assert path.read_text() == "before"
        assert gzip.decompress(path.read_bytes()) == b"whole"

    def test_damage_of_the_compressed_data_is_refused(self, text: bytes, tmp_path: Path) -> None:
        path = tmp_path / "log.gz"
        with exporting.written(path) as write:
            write(text)
        whole = path.read_bytes()
        source = partial(reading.open_archive, path)
        assert checking.check(source, nothing).checkpoints == 3
        chance = random.Random(2)
        for _ in range(200):
            broken = bytearray(whole)
            broken[chance.randrange(10, len(whole))] ^= 1 << chance.randrange(8)
            path.write_bytes(broken)
            if unpacked(broken) != text:  # a few bits of the format say nothing
                with pytest.raises(ArchiveRefused):
                    checking.check(source, nothing)
            path.write_bytes(whole[: chance.randrange(1, len(whole))])
            with pytest.raises(ArchiveRefused):
                checking.check(source, nothing)

    def test_a_file_that_was_unpacked_will_do(self, text: bytes, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        path.write_bytes(text)
        assert checking.check(partial(reading.open_archive, path), nothing).checkpoints == 3

    def test_a_pipe_will_not_do(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ArchiveRefused, match="not in a pipe"):
            checking.check(partial(reading.open_archive, tmp_path / "pipe"), nothing)


def unpacked(data: bytearray) -> bytes | None:
    """None: it cannot be."""
    with suppress(OSError, EOFError, zlib.error):
        return gzip.decompress(data)
    return None


# The command line with few events in each transaction, so that there is something to be interrupted.
PROGRAM = """
import sys
from recountdb.api.cli import main
from recountdb.eventlog.archive import check
from recountdb.projections.rebuild import shadow
check.BATCH_EVENTS, shadow.UNIT_EVENTS = 5, 20
main(sys.argv[1:])
"""


def program(conninfo: str, *arguments: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RECOUNT_", "PG"))}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=kept | {"RECOUNT_DATABASE_URL": conninfo},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(conninfo: str, *arguments: str) -> tuple[int, str, str]:
    with program(conninfo, *arguments) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_no_statement_is_under_way_while_a_line_is_read(conninfo: str) -> None:
    """PostgreSQL ends what stands still in a transaction, but nothing that stands still within a COPY."""

    def rows() -> Iterator[tuple[object, ...]]:
        for position in (1, 2):
            assert connection.info.transaction_status == TransactionStatus.INTRANS
            yield position, position, b"root", b"digest", UUID(int=position), datetime.now(UTC)

    with connect(conninfo) as connection:
        importing.store_rows(connection, "insert_checkpoints", rows())
        found = connection.execute("SELECT position, root, epoch FROM checkpoints").fetchall()
    assert found == [(1, b"root", UUID(int=1)), (2, b"root", UUID(int=2))]


class TestCommands:
    @pytest.mark.parametrize("server", ["embedded"], indirect=True)  # it brings its own
    def test_into_a_new_directory_that_no_server_uses(
        self, text: bytes, conninfo: str, tmp_path: Path
    ) -> None:
        file, directory = tmp_path / "log.gz", tmp_path / "data"
        with exporting.written(file) as write:
            write(text)
        importing = ("log", "import", str(file), "--data", str(directory))
        directory.mkdir(mode=0o700)
        with claim_directory(directory):
            code, _, err = run(conninfo, *importing)
            assert (code, err.startswith("A server runs on")) == (2, True)
        assert run(conninfo, *importing)[0] == 0
        assert run(conninfo, "verify", "--data", str(directory))[0] == 0
        code, out, _ = run(conninfo, "status", "--json", "--data", str(directory))
        assert from_json(out)["settled_position"] == from_json(text.splitlines()[0])["settled_position"]

    def test_there_and_back(self, text: bytes, conninfo: str, other: str, tmp_path: Path) -> None:
        file = str(tmp_path / "log.gz")
        code, out, _ = run(conninfo, "log", "export", file, "--json")
        told = from_json(out)
        assert (code, told["checkpoints"]) == (0, 3)
        code, out, _ = run(other, "log", "import", file, "--json")
        assert (code, from_json(out)) == (0, told)
        with connect(conninfo) as first, connect(other) as second:
            assert rows_of(first) == rows_of(second)
        assert run(other, "verify")[0] == 0
        code, _, err = run(other, "log", "import", file)  # it may be asked for twice
        assert (code, "were imported already" in err) == (0, True)
        with connect(other) as second:
            second.execute("DELETE FROM log_imports")
        code, _, err = run(other, "log", "import", file)
        assert (code, err) == (
            2,
            "The store has events already: import a log into a new database or data directory.\n",
        )

    @pytest.mark.parametrize("table", ["checkpoints", "sessions"])  # events are there; views, too
    def test_a_killed_import_is_refused_until_it_is_run_again(
        self, text: bytes, conninfo: str, other: str, tmp_path: Path, table: LiteralString
    ) -> None:
        file = str(tmp_path / "log.gz")
        with exporting.written(Path(file)) as write:
            write(text)
        with connect(other) as watcher, connect(other) as holder, holder.transaction():
            holder.execute(SQL("LOCK TABLE {} IN SHARE MODE").format(Identifier(table)))
            with program(other, "log", "import", file) as process:
                wait_until(lambda: watcher.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount > 0)
                process.kill()
                process.communicate()
        code, _, err = run(other, "sessions")
        assert (code, "an import of the log was interrupted" in err.lower()) == (3, True)
        assert run(other, "log", "import", file)[0] == 0
        with connect(conninfo) as first, connect(other) as second:
            assert rows_of(first) == rows_of(second)
        assert run(other, "verify")[0] == 0
