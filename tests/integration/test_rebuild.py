"""The views made again from the log: the same rows, whatever happens meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from recountdb.domain.commands.base import Name
from recountdb.domain.commands.common import Delete
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.errors import NotFound, RecordUnreadable, Unavailable
from recountdb.domain.messages import Message
from recountdb.eventlog.application import Recount
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.postgres.database import Connection, Database, connect
from recountdb.projections.lists.paging import Window
from recountdb.projections.rebuild import build as rebuild
from recountdb.projections.rebuild import progress as rebuilds
from recountdb.projections.rebuild import shadow
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.registry import BY_NAME
from recountdb.projections.views.sessions import get_session
from recountdb.projections.views.tables import LIVE, NOTES, PREVIOUS, SHADOW, TABLES, list_tables
from tests.support.processes import PATIENCE_SECONDS, context, in_threads
from tests.support.stories import say, story, tell_stories

pytestmark = pytest.mark.sql


@pytest.fixture
def connection(conninfo: str) -> Iterator[Connection]:
    with connect(conninfo) as connection:
        yield connection


def rows_of(connection: Connection, schema: str) -> dict[str, list[str]]:
    """All rows of the views, as texts."""
    return {
        table: sorted(row for (row,) in connection.execute(f"SELECT t::text FROM {schema}{table} t"))
        for table in TABLES
    }


def indexes_of(connection: Connection, schema: str) -> list[Any]:
    found = connection.execute(
        "SELECT tablename, indexname, indexdef FROM pg_indexes"
        " WHERE schemaname = current_schema() AND tablename = ANY(%s) ORDER BY 1, 2",
        [[f"{schema}{table}" for table in TABLES]],
    )
    return found.fetchall()


def found(connection: Connection) -> list[str]:
    return [str(difference) for difference in rebuild.find_differences(connection)]


class TestRows:
    @pytest.mark.parametrize(("workers", "unit"), [(1, 20_000), (1, 1), (2, 10)])
    def test_they_are_those_that_writing_made(
        self,
        application: Recount,
        connection: Connection,
        conninfo: str,
        monkeypatch: pytest.MonkeyPatch,
        workers: int,
        unit: int,
    ) -> None:
        for project in ("alpha", "beta", "gamma"):
            tell_stories(application, 2, project=project)
        monkeypatch.setattr(shadow, "UNIT_EVENTS", unit)
        rebuild.fill_views(conninfo, workers=workers)
        made, live = rows_of(connection, SHADOW), rows_of(connection, LIVE)
        assert made == live
        assert all(live.values())
        assert found(connection) == []

    @pytest.mark.parametrize(
        "text", ["\t\r\n\x01\x1f", '"', "\\", '\\"\n\\n\\', "null", "\\.", "ï🙂\x7f", "a,b"]
    )
    def test_texts_come_back_to_the_letter(
        self, application: Recount, connection: Connection, conninfo: str, text: str
    ) -> None:
        """In columns of text and in documents alike."""
        said = Message(
            id=uuid7(), role=text, content=text, name=text, tool_calls=[{text: text}], metadata={text: text}
        )
        application.execute(AddMessages(kind="session", name="talk", messages=[said]), context())
        rebuild.fill_views(conninfo)
        assert rows_of(connection, SHADOW) == rows_of(connection, LIVE)

    def test_an_empty_log_makes_empty_tables(self, connection: Connection, conninfo: str) -> None:
        rebuild.fill_views(conninfo)
        assert not any(rows_of(connection, SHADOW).values())

    def test_progress_counts_every_event_once(
        self, application: Recount, conninfo: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tell_stories(application, 3)
        monkeypatch.setattr(shadow, "UNIT_EVENTS", 5)
        counted: list[int] = []
        rebuild.fill_views(conninfo, progress=counted.append)
        assert len(counted) > 3
        assert sum(counted) == rebuild.count_log(connection)

    def test_an_event_that_cannot_be_read_stops_it_and_is_named(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        tell_stories(application)
        ((stream_id, version),) = connection.execute(
            "UPDATE stored_events SET state = '{\"secret\": 1}' WHERE topic = 'session.renamed'"
            " RETURNING originator_id, originator_version"
        ).fetchall()
        with pytest.raises(RecordUnreadable) as caught:
            rebuild.fill_views(conninfo)
        assert (caught.value.stream_id, caught.value.version) == (stream_id, version)
        assert "secret" not in str(caught.value)

    def test_a_stream_without_its_beginning_is_named(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        tell_stories(application)
        ((stream_id,),) = connection.execute(
            "DELETE FROM stored_events WHERE topic = 'user.created' RETURNING originator_id"
        ).fetchall()
        with pytest.raises(RecordUnreadable, match="begin") as caught:
            rebuild.fill_views(conninfo)
        assert (caught.value.stream_id, caught.value.version) == (stream_id, 2)

    def test_a_stream_of_a_kind_that_only_a_newer_recount_has(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        tell_stories(application)
        ((stream_id,),) = connection.execute(
            "UPDATE stored_events SET topic = 'plan.made' WHERE topic = 'user.created'"
            " RETURNING originator_id"
        ).fetchall()
        with pytest.raises(RecordUnreadable, match="newer Recount") as caught:
            rebuild.fill_views(conninfo)
        assert (caught.value.stream_id, caught.value.version) == (stream_id, 1)


def spoil(connection: Connection, topic: str = "session.renamed") -> UUID:
    """Make an event unreadable; returns its stream."""
    ((stream_id,),) = connection.execute(
        "UPDATE stored_events SET state = '{\"secret\": 1}' WHERE topic = %s RETURNING originator_id", [topic]
    ).fetchall()
    assert isinstance(stream_id, UUID)
    return stream_id


class TestQuarantine:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_stream_that_cannot_be_read_keeps_its_rows_and_the_others_are_mended(
        self, application: Recount, connection: Connection, conninfo: str, workers: int
    ) -> None:
        tell_stories(application)
        before = rows_of(connection, LIVE)
        stream_id = spoil(connection)
        connection.execute("UPDATE sessions SET message_count = 9 WHERE stream_id <> %s", [stream_id])
        rebuild.fill_views(conninfo, workers=workers, quarantine=True)
        aside = shadow.load_quarantine(connection)
        assert list(aside) == [stream_id]
        assert "secret" not in aside[stream_id]
        assert [d.table for d in rebuild.find_differences(connection)] == ["sessions"]
        rebuild.swap_in(conninfo, quarantine=True)
        assert rows_of(connection, LIVE) == before

    def test_a_stream_that_is_spoiled_while_it_is_caught_up_with(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        tell_stories(application)
        rebuild.fill_views(conninfo)
        folder = rebuild.Folder(connection, quarantine=True)
        for text in ("more", "most"):
            adding = AddMessages(kind="session", name="gone 0", messages=say(text))
            application.execute(adding, context())
            if text == "more":
                folder.catch_up(settled_position(connection))
        connection.execute(
            "UPDATE stored_events SET state = '{}' WHERE notification_id ="
            " (SELECT max(notification_id) FROM stored_events)"
        )
        folder.catch_up(settled_position(connection))
        assert len(shadow.load_quarantine(connection)) == 1
        before = rows_of(connection, LIVE)
        rebuild.swap_in(conninfo, quarantine=True)
        assert rows_of(connection, LIVE) == before

    def test_no_number_is_drawn_twice(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        tell_stories(application)
        spoil(connection, "user.created")
        rebuild.fill_views(conninfo, quarantine=True)
        rebuild.swap_in(conninfo, quarantine=True)
        found = connection.execute("SELECT last FROM counters WHERE kind = 'user'").fetchall()
        assert found == [(1,)]

    def test_what_was_set_aside_is_not_passed_over_by_the_next(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        tell_stories(application)
        spoil(connection)
        rebuild.fill_views(conninfo, quarantine=True)
        with pytest.raises(RecordUnreadable):
            rebuild.fill_views(conninfo)


class TestSomeViews:
    @pytest.mark.parametrize("name", BY_NAME)
    def test_only_the_tables_of_that_view_change(
        self, application: Recount, connection: Connection, conninfo: str, name: str
    ) -> None:
        tell_stories(application)
        before = rows_of(connection, LIVE)
        for damage in DAMAGE:
            connection.execute(damage)
        damaged = rows_of(connection, LIVE)
        rebuild.fill_views(conninfo, [name])
        application.execute(AddMessages(kind="session", name="gone 0", messages=say("late")), context())
        connection.execute("DELETE FROM messages WHERE content::text = '\"late\"'")
        assert {d.table for d in rebuild.find_differences(connection)} <= set(BY_NAME[name].TABLES)
        rebuild.swap_in(conninfo)
        after = rows_of(connection, LIVE)
        others = {"sessions", "messages"} | set(BY_NAME[name].TABLES)  # written to by the command above
        assert {t: after[t] for t in TABLES if t not in others} == {
            t: damaged[t] for t in TABLES if t not in others
        }
        rebuild.fill_views(conninfo, [name])
        assert found(connection) == []
        if name not in ("sessions", "messages"):
            assert {t: after[t] for t in BY_NAME[name].TABLES} == {t: before[t] for t in BY_NAME[name].TABLES}

    def test_one_of_others_that_was_stopped_is_begun_anew(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        tell_stories(application)
        rebuild.fill_views(conninfo, ["users"])
        rebuild.fill_views(conninfo, ["sessions", "threads"])
        assert set(list_tables(connection)) == {"sessions", "threads"}

    def test_versions_go_with_the_tables(
        self, application: Recount, connection: Connection, conninfo: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tell_stories(application)
        monkeypatch.setattr(BY_NAME["users"], "VERSION", 2)
        assert rebuilds.find_outdated_views(connection) == ["users"]
        rebuild.fill_views(conninfo, ["users"])
        rebuild.swap_in(conninfo)
        assert rebuilds.find_outdated_views(connection) == []
        rebuild.roll_back_rebuild(conninfo)
        assert rebuilds.find_outdated_views(connection) == ["users"]


DAMAGE = {
    "UPDATE sessions SET message_count = 9 WHERE name = 'gone 0'": ["sessions", "differs in message_count"],
    "UPDATE messages SET content = '\"other\"' WHERE content::text = '\"two\"'": [
        "messages",
        "differs in content",
    ],
    "DELETE FROM messages WHERE content::text = '\"two\"'": ["messages", "is missing"],
    "DELETE FROM states WHERE key IS NULL": ["states", "is missing"],
    "INSERT INTO requests VALUES ('default', 'x', '', 'session', gen_random_uuid(), 1, 1)": [
        "requests",
        "should not be there",
    ],
    "UPDATE counters SET last = 0 WHERE kind = 'session'": ["counters", "differs in last"],
    "UPDATE names SET name = 'x' WHERE name = 'gone 0'": ["names", "differs in name"],
    'UPDATE users SET metadata = \'{"a": {"b": 1} }\'': ["users", "differs in how a document is spelled"],
}


class TestDifferences:
    @pytest.mark.parametrize(("damage", "told"), DAMAGE.items(), ids=DAMAGE)
    def test_each_is_named(
        self,
        application: Recount,
        connection: Connection,
        conninfo: str,
        damage: str,
        told: list[str],
    ) -> None:
        tell_stories(application)
        assert connection.execute(damage).rowcount == 1
        rebuild.fill_views(conninfo)
        (difference,) = rebuild.find_differences(connection)
        assert [difference.table, difference.reason] == told

    def test_a_rebuild_mends_them(self, application: Recount, connection: Connection, conninfo: str) -> None:
        tell_stories(application)
        before = rows_of(connection, LIVE)
        for damage in DAMAGE:
            connection.execute(damage)
        rebuild.fill_views(conninfo)
        rebuild.swap_in(conninfo)
        assert rows_of(connection, LIVE) == before

    def test_what_is_written_later_is_none(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        tell_stories(application)
        rebuild.fill_views(conninfo)
        tell_stories(application, 2, first=1)
        assert found(connection) == []


class TestInPlace:
    def test_tables_indexes_and_views_are_as_before(
        self, application: Recount, connection: Connection, conninfo: str, database: Database
    ) -> None:
        tell_stories(application)
        rows, indexes = rows_of(connection, LIVE), indexes_of(connection, LIVE)
        rebuild.fill_views(conninfo)
        assert rebuild.swap_in(conninfo) > 0
        assert rows_of(connection, LIVE) == rows
        assert indexes_of(connection, LIVE) == indexes
        tell_stories(application, first=1)
        assert page_messages(database, "default", "session", "trip 1 renamed", Window()).items
        rebuild.fill_views(conninfo)
        assert found(connection) == []

    def test_the_tables_before_can_come_back(
        self, application: Recount, connection: Connection, conninfo: str, database: Database
    ) -> None:
        tell_stories(application)
        connection.execute('UPDATE sessions SET metadata = \'{"from": "before"}\' WHERE number = 1')
        rebuild.fill_views(conninfo)
        rebuild.swap_in(conninfo)
        (name,) = (name for (name,) in connection.execute("SELECT name FROM sessions WHERE number = 1"))
        assert get_session(database, "default", name).metadata != {"from": "before"}
        application.execute(AddMessages(kind="session", name="later", messages=say("x")), context())
        rebuild.roll_back_rebuild(conninfo)
        assert get_session(database, "default", name).metadata == {"from": "before"}
        assert get_session(database, "default", "later").message_count == 1

    def test_without_tables_before_there_is_no_way_back(self, conninfo: str) -> None:
        with pytest.raises(NotFound):
            rebuild.roll_back_rebuild(conninfo)

    def test_writers_go_on_all_the_while(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        tell_stories(application, 3)
        is_over = threading.Event()

        def write(number: int) -> int:
            count = 0
            while not is_over.is_set() or count < 5:
                command = AddMessages(kind="session", name=f"busy {number}", messages=say("x"))
                application.execute(command, context())
                count += 1
            return count

        def rebuild_twice() -> int:
            try:
                for _ in range(2):
                    rebuild.fill_views(conninfo)
                    rebuild.swap_in(conninfo)
            finally:
                is_over.set()
            return 0

        written = in_threads(
            lambda work, *some: work(*some), [(rebuild_twice,), *((write, n) for n in range(4))]
        )
        rebuild.fill_views(conninfo)
        assert found(connection) == []
        for number, count in enumerate(written[1:]):
            stream_id = application.views.find_stream(Name("default", "session", "", f"busy {number}"))
            assert isinstance(stream_id, UUID)
            ((there,),) = connection.execute(
                "SELECT count(*) FROM messages WHERE stream_id = %s", [stream_id]
            ).fetchall()
            assert there == count

    def test_a_long_read_in_the_way_holds_up_nobody_for_long(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        """Writers pass between the attempts, and nothing that is appended meanwhile is lost."""
        tell_stories(application)
        rebuild.fill_views(conninfo)
        with connect(conninfo) as reader, reader.transaction():
            reader.execute("SELECT count(*) FROM messages")
            swapping = threading.Thread(target=rebuild.swap_in, args=(conninfo,))
            swapping.start()
            for number in range(5):
                adding = AddMessages(kind="session", name=f"late {number}", messages=say("x"))
                application.submit(adding, context()).result(PATIENCE_SECONDS)
        swapping.join()
        rebuild.fill_views(conninfo)
        assert found(connection) == []


class TestCatchingUp:
    def test_all_that_happens_to_streams_it_knows_is_taken_in(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        """First each stream is folded whole, then event by event; either way the rows are the same."""
        rebuild.fill_views(conninfo)
        folder = rebuild.Folder(connection)
        for number, command in enumerate([*story(0), *story(1)]):
            application.execute(command, context())
            if number % 2 == 0:
                assert folder.catch_up(settled_position(connection)) > 0
        folder.catch_up(settled_position(connection))
        assert folder.catch_up(settled_position(connection)) == 0
        assert rows_of(connection, SHADOW) == rows_of(connection, LIVE)

    def test_a_try_that_was_rolled_back_is_made_again(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        tell_stories(application)
        rebuild.fill_views(conninfo)
        folder = rebuild.Folder(connection)
        for text in ("more", "most"):
            adding = AddMessages(kind="session", name="gone 0", messages=say(text))
            application.execute(adding, context())
            folder.catch_up(settled_position(connection))
            application.execute(Delete(kind="session", name="gone 0"), context())
            with connection.transaction(force_rollback=True):
                assert folder.for_one_try().catch_up(settled_position(connection)) == 1
            folder.catch_up(settled_position(connection))
        assert rows_of(connection, SHADOW) == rows_of(connection, LIVE)


def test_two_do_not_get_in_each_others_way(connection: Connection, conninfo: str) -> None:
    with (
        shadow.hold_rebuild_lock(connection),
        connect(conninfo) as other,
        pytest.raises(Unavailable),
        shadow.hold_rebuild_lock(other),
    ):
        pass
    with connect(conninfo) as other, shadow.hold_rebuild_lock(other):
        pass


class TestStopped:
    def test_it_goes_on_where_it_was(
        self, application: Recount, connection: Connection, conninfo: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tell_stories(application, 4)
        monkeypatch.setattr(shadow, "UNIT_EVENTS", 10)

        class Killed(Exception):
            pass

        def stop_at_third(count: int) -> None:
            folded.append(count)
            if len(folded) == 3:
                raise Killed

        folded: list[int] = []
        with pytest.raises(Killed):
            rebuild.fill_views(conninfo, progress=stop_at_third)
        tell_stories(application, first=4)
        rest: list[int] = []
        rebuild.fill_views(conninfo, progress=rest.append)
        assert rest
        assert rows_of(connection, SHADOW) == rows_of(connection, LIVE)

    @pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.thorough), 2])
    @pytest.mark.parametrize("is_finished", [True, pytest.param(False, marks=pytest.mark.thorough)])
    def test_a_unit_that_postgresql_is_at_for_a_dead_one_is_waited_for(
        self,
        application: Recount,
        connection: Connection,
        conninfo: str,
        monkeypatch: pytest.MonkeyPatch,
        workers: int,
        is_finished: bool,
    ) -> None:
        tell_stories(application, 2)
        monkeypatch.setattr(shadow, "UNIT_EVENTS", 10)
        shadow.create_shadow(connection, settled_position(connection))
        with connect(conninfo) as dead, ThreadPoolExecutor(1) as pool:
            with dead.transaction():
                dead.execute(rebuild.SQL["take_unit"])
                rebuilding = pool.submit(rebuild.fill_views, conninfo, workers=workers)
                with pytest.raises(TimeoutError):
                    rebuilding.result(workers)
                if is_finished:
                    rebuild.Folder(dead).fold_unit()
            rebuilding.result(PATIENCE_SECONDS)
        assert rows_of(connection, SHADOW) == rows_of(connection, LIVE)

    def test_what_a_process_that_stands_still_left_at_the_tables_is_ended_for_the_next(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        """PostgreSQL waits without limit for a client in the middle of a COPY."""
        tell_stories(application, 2)
        shadow.create_shadow(connection, settled_position(connection))
        with closing(connect(conninfo)) as stopped, ThreadPoolExecutor(1) as pool:
            stopped.execute("BEGIN")
            stopped.execute(rebuild.SQL["take_unit"])
            stopped.pgconn.send_query(b"COPY rebuild_messages FROM STDIN")
            with shadow.hold_rebuild_lock(connection):
                pool.submit(rebuild.fill_views, conninfo).result(PATIENCE_SECONDS)
        assert rows_of(connection, SHADOW) == rows_of(connection, LIVE)

    def test_what_was_put_aside_goes_with_the_next(
        self, application: Recount, connection: Connection, conninfo: str
    ) -> None:
        tell_stories(application)
        for _ in range(2):
            rebuild.fill_views(conninfo)
            rebuild.swap_in(conninfo)
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relname ~ '^(rebuild|previous|dropped)_' AND relkind = 'r'"
        )
        assert {name for (name,) in left} == {f"{PREVIOUS}{table}" for table in (*TABLES, *NOTES)}
