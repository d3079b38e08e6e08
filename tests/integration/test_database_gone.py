"""Connections that break and records that cannot be read: told to whom it concerns, and got over."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any
from uuid import UUID

import pytest

import recountdb.eventlog.write.states
from recountdb.domain.commands.base import Command
from recountdb.domain.commands.common import Delete, MergeMetadata, Start
from recountdb.domain.errors import InvalidInput, NotFound, RecordUnreadable, RecountError, Unavailable
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Connection, Database, connect
from recountdb.eventlog.write.ports import Outcome
from recountdb.projections.lists.paging import Filter, Window
from recountdb.projections.queries.history import AsOf, load_message_as_of, load_state_as_of, page_as_of
from recountdb.projections.views.messages import get_message, page_messages, search_messages
from recountdb.projections.views.registry import CoreViews
from recountdb.projections.views.sessions import get_session, list_sessions
from tests.support.messages import TALK, add_hello
from tests.support.outage import END_OTHERS
from tests.support.processes import PATIENCE_SECONDS, context
from tests.support.together import submit_together

pytestmark = pytest.mark.sql

SECRET = "Zanzibar"
MESSAGE_ID = UUID(int=1)
WINDOW, EVERYTHING = Window(), Filter()


@pytest.fixture
def talk(application: Recount) -> Recount:
    """The application with a session of one message, every connection of it in use before."""
    application.execute(add_hello("talk", id=MESSAGE_ID), context())
    get_session(application.database, "default", "talk")
    return application


def kill_all(conninfo: str) -> None:
    """End all connections to the database but this one, and wait until they are gone."""
    with connect(conninfo) as admin:
        admin.execute(END_OTHERS)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while admin.execute(END_OTHERS).fetchall():
            assert time.monotonic() < deadline


READS: dict[str, Callable[[Recount], object]] = {
    "session": lambda app: get_session(app.database, "default", "talk"),
    "sessions": lambda app: list_sessions(app.database, "default", WINDOW),
    "page": lambda app: page_messages(app.database, "default", "session", "talk", WINDOW),
    "message": lambda app: get_message(app.database, "default", MESSAGE_ID),
    "search": lambda app: search_messages(app.database, "default", WINDOW, EVERYTHING, settled=2),
    "state then": lambda app: load_state_as_of(app, TALK, AsOf(version=1)),
    "page then": lambda app: page_as_of(app, TALK, AsOf(version=2), WINDOW, EVERYTHING),
    "message then": lambda app: load_message_as_of(app, TALK, MESSAGE_ID, None),
    "log": lambda app: app.log.select_notifications(None, 10),
    "audit": lambda app: app.log.select_project("default", gt=0, lt=10, limit=10),
    "settled position": lambda app: app.log.settled_position(),
}


class TestReads:
    @pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
    def test_recover_by_themselves(
        self, talk: Recount, conninfo: str, read: Callable[[Recount], object]
    ) -> None:
        before = read(talk)
        kill_all(conninfo)
        assert read(talk) == before

    def test_recover_with_every_connection_of_the_pool_dead(self, conninfo: str) -> None:
        database = Database(conninfo, connections_max=4)
        database.open()
        try:
            with database.connection(), database.connection(), database.connection():
                pass
            kill_all(conninfo)
            for _ in range(8):
                assert database.fetch("SELECT 1") == [(1,)]
        finally:
            database.close()

    def test_a_pool_with_nothing_free_is_told(self, conninfo: str) -> None:
        database = Database(conninfo, connections_max=1, timeout_seconds=0.1)
        database.open()
        try:
            with database.connection(), pytest.raises(Unavailable, match="busy"):
                database.fetch("SELECT 1")
            assert database.fetch("SELECT 1") == [(1,)]
        finally:
            database.close()


def refusals(application: Recount, command: Command) -> list[RecountError]:
    """What the caller was told before ``command`` was carried out."""
    told: list[RecountError] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            application.execute(command, context())
            return told
        except Unavailable as error:
            told.append(error)
    raise AssertionError("writing never worked again")


class TestWrites:
    def test_take_another_connection_unseen(self, talk: Recount, conninfo: str) -> None:
        for count in range(2, 5):
            kill_all(conninfo)
            assert refusals(talk, add_hello("talk")) == []
            assert get_session(talk.database, "default", "talk").message_count == count

    def test_that_wait_together_take_another_connection_unseen(self, talk: Recount, conninfo: str) -> None:
        kill_all(conninfo)
        requests = [(add_hello(f"s{number}"), context()) for number in range(5)]
        assert told(submit_together(talk, requests)) == [None] * 5

    def test_one_cut_off_as_it_appends_is_told_and_can_be_repeated(
        self, talk: Recount, conninfo: str
    ) -> None:
        with connect(conninfo) as rival:
            rival.execute("BEGIN")
            foreign_event(rival, talk, "session.undeleted", b'{"restores_content": true}')
            cut_off = talk.submit(add_hello("talk"), context())
            kill_the_one_that_waits(conninfo)
            assert isinstance(cut_off.exception(PATIENCE_SECONDS), Unavailable)
            rival.execute("ROLLBACK")
        assert len(refusals(talk, add_hello("talk"))) <= 1
        assert get_session(talk.database, "default", "talk").message_count == 2

    def test_closing_after_everything_broke_is_quiet(self, conninfo: str) -> None:
        database = Database(conninfo)
        database.open()
        application = Recount(database, CoreViews(database))
        application.execute(add_hello("talk"), context())
        kill_all(conninfo)
        application.close()
        database.close()


def kill_the_one_that_waits(conninfo: str) -> None:
    kill = f"{END_OTHERS} AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + PATIENCE_SECONDS
    with connect(conninfo) as admin:
        while not admin.execute(kill).fetchall():
            assert time.monotonic() < deadline, "nobody waits"


def foreign_event(connection: Connection, talk: Recount, topic: str, state: bytes) -> int:
    """Append to the session "talk" behind the application's back; returns the event's version."""
    stream_id = talk.views.find_stream(TALK)
    assert stream_id is not None
    version = talk.log.last_version(stream_id) + 1
    connection.execute(
        "INSERT INTO stored_events"
        " (originator_id, originator_version, project, topic, recorded_at, state, link)"
        " VALUES (%s, %s, 'default', %s, now(), %s, '')",
        (stream_id, version, topic, state.decode()),
    )
    return version


UNREADABLE = {
    "unknown topic": ("session.sang", b'{"song": "%s"}' % SECRET.encode()),
    "newer version": ("session.renamed", b'{"class_version": 9, "name": "%s"}' % SECRET.encode()),
    "broken payload": ("session.renamed", b'{"name": ["%s"]}' % SECRET.encode()),
}


@pytest.mark.parametrize(("topic", "state"), UNREADABLE.values(), ids=UNREADABLE.keys())
@pytest.mark.parametrize("is_cached", [True, False], ids=["known state", "state to be loaded"])
class TestUnreadableRecord:
    @pytest.fixture
    def spoilt(
        self, talk: Recount, conninfo: str, topic: str, state: bytes, is_cached: bool
    ) -> tuple[Recount, int]:
        """The application and the version of the event that cannot be read."""
        with connect(conninfo) as connection:
            version = foreign_event(connection, talk, topic, state)
        stream_id = talk.views.find_stream(TALK)
        if not is_cached and stream_id:
            talk.states.forget(stream_id)
        return talk, version

    def test_stops_writes_to_its_own_stream_alone(self, spoilt: tuple[Recount, int]) -> None:
        talk, version = spoilt
        commands = [
            add_hello("a"),
            add_hello("talk"),
            add_hello("b"),
            Delete(kind="session", name="talk"),
            add_hello("a"),
        ]
        futures = submit_together(talk, [(command, context()) for command in commands])
        first, own, second, also_own, third = told(futures)
        assert (first, second, third) == (None, None, None)
        for error in (own, also_own):
            assert isinstance(error, RecordUnreadable)
            assert error.version == version
            assert SECRET not in str(error)
        counts = {s.name: s.message_count for s in list_sessions(talk.database, "default", WINDOW).items}
        assert counts == {"talk": 1, "a": 2, "b": 1}

    def test_leaves_the_views_and_earlier_versions_readable(self, spoilt: tuple[Recount, int]) -> None:
        talk, version = spoilt
        assert len(page_messages(talk.database, "default", "session", "talk", WINDOW).items) == 1
        assert load_state_as_of(talk, TALK, AsOf(version=version - 1)).version == version - 1
        with pytest.raises(RecordUnreadable):
            load_state_as_of(talk, TALK, AsOf(version=version))


def told(futures: list[Future[Outcome]]) -> list[BaseException | None]:
    wait(futures, PATIENCE_SECONDS)
    return [future.exception() for future in futures]


@pytest.mark.parametrize(
    "too_long",
    [
        lambda text: Start(kind="session", name="talk", scope=text),
        lambda text: Start(kind="session", name="talk", user_id=text),
    ],
    ids=["scope", "user"],
)
def test_a_text_too_long_to_be_looked_up_by_is_its_own_callers_alone(
    application: Recount, too_long: Callable[[str], Command]
) -> None:
    # PostgreSQL compresses what it can before it finds it too long.
    text = "".join(random.Random(1).choices([chr(code) for code in range(0x4E00, 0x9FFF)], k=4000))
    commands = [add_hello("a"), too_long(text), add_hello("b")]
    first, own, second = told(submit_together(application, [(command, context()) for command in commands]))
    assert (first, second) == (None, None)
    assert isinstance(own, InvalidInput)
    assert text[:10] not in str(own)
    sessions = list_sessions(application.database, "default", WINDOW).items
    assert [(session.name, session.number) for session in sessions] == [("a", 1), ("b", 2)]


class TestSnapshots:
    """A cache and no more: neither their loss nor their damage stops anybody."""

    @pytest.fixture(autouse=True)
    def _at_every_event(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recountdb.eventlog.write.states, "SNAPSHOT_INTERVAL", 1)

    @pytest.mark.parametrize("error", [Unavailable("gone"), RuntimeError("broken")], ids=repr)
    def test_one_that_cannot_be_saved_changes_nothing(
        self, talk: Recount, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise error

        assert talk.snapshots is not None
        monkeypatch.setattr(talk.snapshots, "put", refuse)
        outcomes = told(
            submit_together(talk, [(add_hello("talk"), context()), (add_hello("talk"), context())])
        )
        assert outcomes == [None, None]
        assert get_session(talk.database, "default", "talk").message_count == 3

    @pytest.mark.parametrize("damage", ["'{}'", "'[]'", """'{"metadata": "Zanzibar"}'"""])
    def test_one_that_cannot_be_read_is_passed_over(self, talk: Recount, conninfo: str, damage: str) -> None:
        stream_id = talk.views.find_stream(TALK)
        assert stream_id is not None
        state = load_state_as_of(talk, TALK, AsOf(version=2))
        with connect(conninfo) as connection:
            damaged = connection.execute(f"UPDATE snapshots SET state = {damage}")
        assert damaged.rowcount == 1
        assert load_state_as_of(talk, TALK, AsOf(version=2)) == state
        talk.states.forget(stream_id)
        talk.execute(MergeMetadata(kind="session", name="talk", metadata={"a": 1}), context())
        assert get_session(talk.database, "default", "talk").metadata == {"a": 1}


def test_nothing_of_what_failed_stays_in_the_writers_mind(talk: Recount, conninfo: str) -> None:
    """A session that could not be started is not taken for started afterwards."""
    kill_all(conninfo)
    command = Start(kind="session", name="new")
    if refusals(talk, command):
        assert get_session(talk.database, "default", "new").number == 2
    with pytest.raises(NotFound):
        talk.execute(Delete(kind="session", name="newer"), context())
