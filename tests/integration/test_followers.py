"""Followers handle each event once, in order, whatever breaks; and a poison event stops its stream only."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

from recountdb.domain.errors import NotFound, Unavailable
from recountdb.eventlog.application import Recount
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.log.rows import Entries, LogEntry
from recountdb.eventlog.postgres.database import Connection, Database, connect
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.followers import follower as following
from recountdb.projections.followers.follower import (
    BATCH_MAX,
    ParkedStream,
    advance,
    create_checkpoint,
    follow_log,
    list_parked_streams,
    measure_lags,
    resume_streams,
)
from recountdb.projections.followers.leader import Leader, Lease
from tests.support.appends import append_event, committed_positions, hold_transaction
from tests.support.notes import add_texts, end_connection, lock_holders, make_note_tables, noted_positions
from tests.support.processes import (
    PATIENCE_SECONDS,
    in_processes,
    in_threads,
    recount_on,
    wait_for_others,
    wait_until,
)

SECRET = "sherry in the cellar"


class Poison(Exception):
    """A follower cannot handle an event."""


class Notebook:
    """A follower that writes down what it sees. A repeat would show: nothing there is unique."""

    begins_now = False

    def __init__(
        self,
        name: str = "notebook",
        *,
        topics: Sequence[str] | None = None,
        refuses: Callable[[LogEntry], bool] = lambda entry: False,
        after: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        self.name = name
        self.topics = topics
        self.refuses = refuses
        self.after = after
        self.sizes: list[int] = []

    def handle(self, connection: Connection, entries: Sequence[LogEntry]) -> None:
        self.sizes.append(len(entries))
        for entry in entries:
            if self.refuses(entry):
                raise Poison(SECRET)
            row = (entry.id, entry.originator_id, entry.originator_version)
            connection.execute("INSERT INTO seen (position, stream_id, version) VALUES (%s, %s, %s)", row)
        self.after(connection)


@pytest.fixture
def notes(database: Database) -> Database:
    """The database, with a table for notebooks."""
    make_note_tables(database)
    return database


def catch_up(database: Database, follower: Notebook, *, limit: int = BATCH_MAX) -> None:
    """Have the follower handle all there is, here and now."""
    with connect(database.conninfo) as connection:
        create_checkpoint(connection, follower)
        settled = settled_position(connection)
        while advance(connection, follower, settled, limit=limit):
            pass


Start = Callable[[str, Notebook], Leader]


def properly(conninfo: str, follower: Notebook) -> Leader:
    return Leader(conninfo, f"follower {follower.name}", partial(follow_log, follower=follower))


def naively(conninfo: str, follower: Notebook) -> Leader:
    """What one would write first: "greater than my last", and the checkpoint saved after the effect."""

    def work(lead: Lease) -> None:
        while not lead.is_over:
            ((last,),) = lead.connection.execute("SELECT coalesce(max(position), 0) FROM naive").fetchall()
            bounds = {"gt": last, "lte": None, "topics": None, "limit": 500, "weight_max": None}
            rows = lead.connection.execute(
                Statements("recountdb.eventlog.log.x", "log")["select_notifications"], bounds
            )
            entries = Entries(rows)
            if entries:
                follower.handle(lead.connection, entries)
                lead.connection.execute("INSERT INTO naive VALUES (%s)", [entries[-1].id])
            lead.wait(0.02)

    return Leader(conninfo, "naive", work)


@contextmanager
def running(*leaders: Leader) -> Iterator[None]:
    for leader in leaders:
        leader.start()
    try:
        yield
    finally:
        for leader in leaders:
            leader.stop()
            assert not leader.is_alive()


class TestOnce:
    """The same questions to a follower as it is, and to the naive one, which must fail them."""

    @pytest.fixture(params=[properly, naively])
    def start(self, request: pytest.FixtureRequest) -> Start:
        found: Start = request.param
        return found

    def judge(self, start: Start, database: Database) -> None:
        is_right = noted_positions(database) == committed_positions(database)
        assert is_right == (start is properly), noted_positions(database)

    def test_an_event_that_was_committed_late(self, start: Start, notes: Database, conninfo: str) -> None:
        with (
            running(start(conninfo, Notebook())),
            hold_transaction(conninfo) as late,
            connect(conninfo) as early,
        ):
            first = append_event(late, notes)
            second = append_event(early, notes)
            if start is naively:
                wait_until(lambda: noted_positions(notes) == [second])
            else:
                time.sleep(0.2)
                assert noted_positions(notes) == [], "nothing is settled yet"
            late.execute("COMMIT")
            third = append_event(early, notes)
            wait_until(lambda: third in noted_positions(notes))
            assert committed_positions(notes) == [first, second, third]
        self.judge(start, notes)

    def test_a_crash_between_the_effect_and_the_checkpoint(
        self, start: Start, notes: Database, conninfo: str
    ) -> None:
        crashed: list[int] = []

        def crash(connection: Connection) -> None:
            if not crashed:
                crashed.append(connection.info.backend_pid)
                end_connection(notes, connection.info.backend_pid)

        with running(start(conninfo, Notebook(after=crash))), connect(conninfo) as writer:
            append_event(writer, notes)
            wait_until(lambda: bool(crashed))
            last = append_event(writer, notes)
            wait_until(lambda: last in noted_positions(notes))
        self.judge(start, notes)


def test_all_events_of_many_writers_while_leaders_are_killed(
    notes: Database, conninfo: str, application: Recount
) -> None:
    leaders = [properly(conninfo, Notebook()) for _ in range(3)]
    killed = 0

    def write(number: int) -> None:
        for count in range(40):
            add_texts(application, f"s{(number + count) % 5}", "x")

    with running(*leaders):
        writers = threading.Thread(target=in_threads, args=(write, [(n,) for n in range(4)]))
        writers.start()
        while writers.is_alive() or killed < 3:
            wait_until(lambda: bool(lock_holders(notes)))
            for pid in lock_holders(notes):
                end_connection(notes, pid)
                killed += 1
            time.sleep(0.1)
        writers.join()
        last = committed_positions(notes)[-1]
        wait_until(lambda: last in noted_positions(notes))
    assert killed >= 3
    assert noted_positions(notes) == committed_positions(notes)


class TestLead:
    def test_one_has_it_and_another_takes_over_when_its_connection_is_gone(
        self, notes: Database, conninfo: str, application: Recount
    ) -> None:
        first, second = (properly(conninfo, Notebook()) for _ in range(2))
        with running(first):
            wait_until(lambda: first.has_lead)
            with running(second):
                time.sleep(0.1)
                assert not second.has_lead
                first.tell_to_stop()
                wait_until(lambda: second.has_lead)
                assert not first.has_lead
                (pid,) = lock_holders(notes)
                end_connection(notes, pid)
                add_texts(application, "s", "hi")
                wait_until(lambda: noted_positions(notes) == committed_positions(notes))
                assert pid not in lock_holders(notes)

    def test_followers_are_led_each_by_itself(self, notes: Database, conninfo: str) -> None:
        one, other = properly(conninfo, Notebook("one")), properly(conninfo, Notebook("other"))
        with running(one, other):
            wait_until(lambda: one.has_lead and other.has_lead)

    def test_it_is_woken_to_end(
        self, notes: Database, conninfo: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "POLL_SECONDS", PATIENCE_SECONDS * 2)
        monkeypatch.setattr("recountdb.projections.followers.leader.TRY_SECONDS", PATIENCE_SECONDS * 2)
        leader, standby = (properly(conninfo, Notebook()) for _ in range(2))
        leader.start()
        wait_until(lambda: leader.has_lead)
        standby.start()
        time.sleep(0.05)
        for one in (leader, standby):
            one.stop()
            assert not one.is_alive()

    def test_a_right_that_is_missing_is_told_in_a_sentence(
        self, conninfo: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("recountdb.projections.followers.leader.TRY_SECONDS", 0.01)
        began = []

        def work(lead: Lease) -> None:
            began.append(lead)
            raise InsufficientPrivilege("permission denied for table webhooks")

        with running(Leader(conninfo, "poor", work)):
            wait_until(lambda: len(began) > 2)
        (told,) = [message for message in caplog.messages if "recount-poor" in message]
        assert told.startswith("recount-poor waits: the database refused")
        assert "Traceback" not in caplog.text

    def test_a_failure_of_the_work_is_told_and_the_work_taken_up_again(
        self, conninfo: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("recountdb.projections.followers.leader.TRY_SECONDS", 0.01)
        began = []

        def work(lead: Lease) -> None:
            began.append(lead)
            raise ZeroDivisionError

        with running(Leader(conninfo, "failing", work)):
            wait_until(lambda: len(began) > 2)
        assert "recount-failing failed, and is tried again" in caplog.messages

    def test_processes_compete(self, notes: Database, conninfo: str) -> None:
        in_processes(write_and_follow, [(conninfo, number) for number in range(3)])
        assert len(noted_positions(notes)) > 3
        assert noted_positions(notes) == committed_positions(notes)


def write_and_follow(conninfo: str, number: int) -> None:
    """Write some events, and follow until all events of all processes were seen."""
    leader = properly(conninfo, Notebook())
    with running(leader), recount_on(conninfo) as application:
        wait_for_others()
        for _ in range(20):
            add_texts(application, f"s{number}", "x")
        # Its session began with an event more.
        wait_until(lambda: len(noted_positions(application.database)) == 3 * 21)


class TestPoison:
    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(following, "RETRY_SECONDS", 0.001)

    def test_its_stream_is_parked_and_others_go_on(
        self, notes: Database, application: Recount, caplog: pytest.LogCaptureFixture
    ) -> None:
        bad = add_texts(application, "bad", "one", "two", "three")
        good = add_texts(application, "good", "one")
        follower = Notebook(
            refuses=lambda entry: entry.originator_id == bad and entry.originator_version == 3
        )
        catch_up(notes, follower)
        add_texts(application, "bad", "four")
        add_texts(application, "good", "two")
        catch_up(notes, follower)
        rows = notes.fetch("SELECT stream_id, version FROM seen ORDER BY number")
        assert rows == [(bad, 1), (bad, 2), (good, 1), (good, 2), (good, 3)]
        (parked,) = list_parked_streams(notes, "notebook")
        assert (parked.stream_id, parked.version, parked.error) == (bad, 3, "Poison")
        assert SECRET not in caplog.text
        assert f"cannot handle version 3 of stream {bad} (Poison)" in caplog.text

    def test_it_was_tried_three_times_by_itself(self, notes: Database, application: Recount) -> None:
        for number in range(20):
            add_texts(application, f"s{number}", "x")
        follower = Notebook(refuses=lambda entry: entry.id == 25)
        catch_up(notes, follower)
        assert follower.sizes[0] == 40
        assert follower.sizes.count(1) >= 3
        assert noted_positions(notes) == [
            position for position in committed_positions(notes) if position not in (25, 26)
        ]

    def test_one_that_passes_on_a_later_try_parks_nothing(
        self, notes: Database, application: Recount
    ) -> None:
        tries: list[int] = []

        def refuses(entry: LogEntry) -> bool:
            tries.append(entry.id)
            return tries.count(2) in (1, 2, 3) and entry.id == 2

        add_texts(application, "s", "one", "two")
        catch_up(notes, Notebook(refuses=refuses))
        assert list_parked_streams(notes) == []
        assert noted_positions(notes) == committed_positions(notes)

    def test_resumed_it_goes_on_in_order_where_it_stopped(
        self, notes: Database, application: Recount, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "BATCH_MAX", 2)
        bad = add_texts(application, "bad", *"123456")
        add_texts(application, "good", "1")
        catch_up(notes, Notebook(refuses=lambda entry: entry.originator_id == bad))
        mended = Notebook()
        assert resume_streams(notes, mended) == []
        assert list_parked_streams(notes) == []
        versions = notes.fetch("SELECT version FROM seen WHERE stream_id = %s ORDER BY number", [bad])
        assert [version for (version,) in versions] == [1, 2, 3, 4, 5, 6, 7]
        add_texts(application, "bad", "7")
        catch_up(notes, mended)
        assert sorted(noted_positions(notes)) == committed_positions(notes)

    @pytest.mark.parametrize("kind", [InsufficientPrivilege, ReadOnlySqlTransaction])
    def test_what_is_no_fault_of_an_event_parks_nothing(
        self, application: Recount, notes: Database, kind: type[Exception]
    ) -> None:
        add_texts(application, "s", "one")

        def fail(connection: Connection) -> None:
            raise kind

        with pytest.raises(Unavailable):
            catch_up(notes, Notebook(after=fail))
        assert list_parked_streams(notes) == []
        catch_up(notes, Notebook())
        assert noted_positions(notes) == committed_positions(notes)

    def test_resumed_in_vain_it_stays_parked_where_it_got_to(
        self, notes: Database, application: Recount
    ) -> None:
        bad = add_texts(application, "bad", *"1234")
        catch_up(notes, Notebook(refuses=lambda entry: entry.originator_id == bad))
        (before,) = list_parked_streams(notes)
        left = resume_streams(notes, Notebook(refuses=lambda entry: entry.originator_version == 4), bad)
        assert left == [ParkedStream("notebook", bad, 4, "Poison", before.since)]
        assert noted_positions(notes) == committed_positions(notes)[:3]

    def test_of_what_was_set_aside_only_wanted_topics_come(
        self, notes: Database, application: Recount
    ) -> None:
        bad = add_texts(application, "bad", "1", "2")
        topics = ["session.message-added"]
        catch_up(notes, Notebook(topics=topics, refuses=lambda entry: True))
        resume_streams(notes, Notebook(topics=topics), bad)
        assert noted_positions(notes) == committed_positions(notes)[1:]

    def test_a_stream_that_is_not_parked_cannot_be_resumed(self, notes: Database) -> None:
        with pytest.raises(NotFound):
            resume_streams(notes, Notebook(), uuid4())
        assert resume_streams(notes, Notebook()) == []

    @pytest.mark.parametrize("error", [Unavailable("later"), psycopg.OperationalError()])
    def test_what_is_not_the_events_fault_parks_nothing(
        self, notes: Database, application: Recount, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("recountdb.projections.followers.leader.TRY_SECONDS", 0.01)
        failures = iter([error] * 5)

        def fail(connection: Connection) -> None:
            for failure in failures:
                raise failure

        add_texts(application, "s", "one")
        with running(properly(notes.conninfo, Notebook(after=fail))):
            wait_until(lambda: noted_positions(notes) == committed_positions(notes))
        assert list_parked_streams(notes) == []


class TestCheckpoint:
    def test_it_rests_where_nothing_is_wanted(self, notes: Database, application: Recount) -> None:
        add_texts(application, "s", "one", "two")
        follower = Notebook(topics=["user.started"])
        catch_up(notes, follower)
        assert follower.sizes == []
        (lag,) = measure_lags(notes)
        assert (lag.position, lag.events, lag.seconds) == (3, 0, 0)

    def test_the_lag_is_in_positions_and_in_seconds(self, notes: Database, application: Recount) -> None:
        add_texts(application, "s", "one")
        catch_up(notes, Notebook())
        add_texts(application, "s", "two", "three")
        time.sleep(0.05)
        (lag,) = measure_lags(notes)
        assert (lag.follower, lag.position, lag.events) == ("notebook", 2, 2)
        assert 0.05 <= lag.seconds < PATIENCE_SECONDS

    def test_a_new_follower_may_begin_with_what_comes(self, notes: Database, application: Recount) -> None:
        add_texts(application, "s", "before")
        follower = Notebook()
        follower.begins_now = True
        catch_up(notes, follower)
        add_texts(application, "s", "after")
        catch_up(notes, follower)
        assert noted_positions(notes) == committed_positions(notes)[-1:]

    def test_batches_are_bounded(self, notes: Database, application: Recount) -> None:
        add_texts(application, "s", *"1234567")
        follower = Notebook()
        catch_up(notes, follower, limit=3)
        assert follower.sizes == [3, 3, 2]

    def test_followers_are_woken_rather_than_wait_for_their_poll(
        self, notes: Database, application: Recount, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "POLL_SECONDS", PATIENCE_SECONDS * 2)
        leader = properly(notes.conninfo, Notebook())
        with running(leader):
            wait_until(lambda: leader.has_lead)
            time.sleep(0.1)
            add_texts(application, "s", "one")
            wait_until(lambda: noted_positions(notes) == committed_positions(notes))


@pytest.fixture(autouse=True)
def _tells(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
