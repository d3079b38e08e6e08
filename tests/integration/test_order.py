"""The order of the whole log: a follower sees every event once, however late its writer commits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo

import recountdb.eventlog.log.order
import recountdb.eventlog.log.settled_positions
from recountdb.domain.commands.base import Command
from recountdb.domain.commands.common import Delete
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.errors import Unavailable, VersionConflict
from recountdb.domain.messages import Message
from recountdb.domain.sessions import SessionDeleted
from recountdb.eventlog.application import Recount
from recountdb.eventlog.log.notifier import Notifier
from recountdb.eventlog.log.order import select_still_held, settled_position
from recountdb.eventlog.log.recorder import LogRecorder
from recountdb.eventlog.log.subscription import LogSubscription
from recountdb.eventlog.postgres.database import Database, connect
from tests.support.appends import append_event, committed_positions, hold_transaction
from tests.support.postgres import new_database
from tests.support.processes import (
    PATIENCE_SECONDS,
    context,
    in_processes,
    in_threads,
    recount_on,
    wait_for_others,
)

pytestmark = pytest.mark.sql

PROCESSES = 2
THREADS = 3


def say(application: Recount, session: str = "s") -> None:
    message = Message(id=uuid4(), role="user", content="x")
    repeat(application, AddMessages(kind="session", name=session, messages=[message]))


def repeat(application: Recount, command: Command) -> None:
    """Carry out ``command``; again, where others or a broken connection came in between."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            application.execute(command, context())
            return
        except (VersionConflict, Unavailable):
            assert time.monotonic() < deadline


def follow(subscription: LogSubscription, last: Callable[[], int | None]) -> list[int]:
    """Positions in the order they come, until the one that ``last`` names, once it is known."""
    seen: list[int] = []
    with subscription:
        for entry in subscription:
            assert isinstance(entry.id, int)
            seen.append(entry.id)
            if entry.id == last():
                return seen
    raise AssertionError("the subscription ended")


def on_first_wait(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> Callable[[], bool]:
    """Have ``act`` called once settled_position finds that it must wait; tells whether it was."""
    calls: list[float] = []

    def sleep(seconds: float) -> None:
        calls.append(seconds)
        if len(calls) == 1:
            act()

    monkeypatch.setattr(
        recountdb.eventlog.log.order, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    )
    return lambda: bool(calls)


class TestSettledPosition:
    def test_an_empty_log_is_settled_at_0(self, database: Database) -> None:
        assert LogRecorder(database).settled_position() == 0

    def test_without_writers_it_is_the_last_position(self, application: Recount) -> None:
        say(application)
        assert application.log.settled_position() == application.log.max_notification_id() == 2

    @pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
    def test_it_waits_for_an_append_under_way(
        self, conninfo: str, database: Database, monkeypatch: pytest.MonkeyPatch, ending: str
    ) -> None:
        with hold_transaction(conninfo) as writer, connect(conninfo) as other, connect(conninfo) as reader:
            first = append_event(writer, database)
            second = append_event(other, database)
            has_waited = on_first_wait(monkeypatch, lambda: writer.execute(ending))  # type: ignore[arg-type]
            assert settled_position(reader) == second
            assert has_waited()
            assert committed_positions(database) == ([first, second] if ending == "COMMIT" else [second])

    def test_it_waits_when_the_last_position_is_not_committed(
        self, conninfo: str, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with hold_transaction(conninfo) as writer, connect(conninfo) as reader:
            position = append_event(writer, database)
            has_waited = on_first_wait(monkeypatch, lambda: writer.execute("COMMIT"))  # type: ignore[arg-type]
            assert settled_position(reader) == position
            assert has_waited()

    def test_it_does_not_wait_for_appends_that_begin_later(
        self, conninfo: str, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else it would never return where there is always a writer."""
        with (
            hold_transaction(conninfo) as early,
            hold_transaction(conninfo) as late,
            connect(conninfo) as reader,
        ):
            first = append_event(early, database)

            def overlap() -> None:
                append_event(late, database)
                early.execute("COMMIT")

            on_first_wait(monkeypatch, overlap)
            assert settled_position(reader) == first

    def test_it_does_not_wait_for_transactions_that_append_nothing(
        self, conninfo: str, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with hold_transaction(conninfo) as somebody, connect(conninfo) as reader, connect(conninfo) as writer:
            somebody.execute("CREATE TABLE elsewhere (id int)")
            position = append_event(writer, database)
            has_waited = on_first_wait(monkeypatch, lambda: None)
            assert settled_position(reader) == position
            assert not has_waited()

    def test_it_gives_up_on_one_that_stands_still_and_names_it(
        self, conninfo: str, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        with hold_transaction(conninfo) as writer, connect(conninfo) as reader:
            append_event(writer, database)
            with pytest.raises(Unavailable, match="stands still"):
                settled_position(reader, wait_seconds_max=recountdb.eventlog.log.order.NOTICE_SECONDS + 0.1)
            pid = writer.info.backend_pid
            assert f"session {pid} (recount" in caplog.text
            assert "idle in transaction for" in caplog.text

    def test_a_holder_is_gone_when_it_holds_no_lock_or_holds_it_in_another_transaction(self) -> None:
        awaited = {"7": 12}
        assert select_still_held(awaited, {"7": 12, "8": 1}) == awaited
        assert select_still_held(awaited, {"7": 0}) == awaited, (
            "it ends, and its events may not be readable yet"
        )
        assert select_still_held(awaited, {"7": 13}) == {}
        assert select_still_held(awaited, {"8": 12}) == {}
        assert select_still_held({"7": 0}, {"7": 0}) == {"7": 0}
        assert select_still_held({"7": 0}, {"7": 12}) == {}

    def test_appends_of_another_database_do_not_count(
        self, conninfo: str, server: str, template: str, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (
            new_database(server, template=template) as name,
            hold_transaction(make_conninfo(server, dbname=name)) as far,
        ):
            append_event(far, database)
            with connect(conninfo) as near:
                position = append_event(near, database)
                has_waited = on_first_wait(monkeypatch, lambda: None)
                assert settled_position(near) == position
                assert not has_waited()


def test_greater_than_my_last_passes_over_a_late_commit(conninfo: str, database: Database) -> None:
    """The control: why followers do not simply read on from where they were."""
    log = LogRecorder(database)
    subscription = log.subscribe(gt=0)
    naive: list[int] = []

    def read_on() -> None:
        after = naive[-1] if naive else 0
        naive.extend(entry.id for entry in log.select_notifications(after, 100, inclusive_of_start=False))

    with hold_transaction(conninfo) as writer, connect(conninfo) as other:
        first = append_event(writer, database)
        second = append_event(other, database)
        read_on()
        writer.execute("COMMIT")
        read_on()
    assert naive == [second]
    assert follow(subscription, lambda: second) == [first, second]


def write_much(conninfo: str, process: int, rounds: int) -> None:
    """Through an application, and beside it by transactions that stay open or are rolled back."""
    with recount_on(conninfo) as application:

        def write(thread: int) -> None:
            for number in range(rounds):
                say(application, f"{process}.{(thread + number) % THREADS}")

        def hold() -> None:
            for number in range(rounds):
                with hold_transaction(conninfo) as connection:
                    append_event(connection, application.database)
                    say(application, "while one is held")
                    append_event(connection, application.database)
                    connection.execute("ROLLBACK" if number % 3 == 0 else "COMMIT")

        wait_for_others()
        in_threads(lambda work: work(), [(lambda t=t: write(t),) for t in range(THREADS)] + [(hold,)])


def test_followers_see_every_event_once_and_in_order(conninfo: str, database: Database) -> None:
    log = LogRecorder(database)
    with connect(conninfo) as connection:
        for _ in range(5):
            append_event(connection, database)
    end = threading.Event()
    starts = [0, 0, 2, 5]

    def last() -> int | None:
        return committed_positions(database)[-1] if end.is_set() else None

    with ThreadPoolExecutor(len(starts) + 1) as pool:
        followers = [pool.submit(follow, log.subscribe(gt=start), last) for start in starts]
        pool.submit(in_processes, write_much, [(conninfo, n, 12) for n in range(PROCESSES)]).result()
        # Nobody could start in the middle more truly than one who does so while others write on.
        middle = committed_positions(database)[len(committed_positions(database)) // 2]
        late = pool.submit(follow, log.subscribe(gt=middle), last)
        end.set()
        with connect(conninfo) as connection:
            append_event(connection, database)
        everything = committed_positions(database)
        for start, follower in zip(starts, followers, strict=True):
            assert follower.result(PATIENCE_SECONDS) == [p for p in everything if p > start]
        assert late.result(PATIENCE_SECONDS) == [p for p in everything if p > middle]


def test_a_follower_of_some_topics_sees_those_alone(application: Recount) -> None:
    topics = [SessionDeleted.TOPIC]
    subscription = application.log.subscribe(gt=0, topics=topics)
    for session in ("a", "b", "c"):
        say(application, session)
        application.execute(Delete(kind="session", name=session), context())
    wanted = [entry.id for entry in application.log.select_notifications(None, 100, topics=topics)]
    assert len(wanted) == 3
    assert follow(subscription, lambda: wanted[-1]) == wanted


def test_many_events_come_page_by_page(conninfo: str, database: Database) -> None:
    """More than are read at once, so that a page's end is neither lost nor repeated."""
    with connect(conninfo) as connection, connection.transaction():
        for _ in range(1203):
            append_event(connection, database)
    everything = committed_positions(database)
    assert follow(LogRecorder(database).subscribe(gt=0), lambda: everything[-1]) == everything


def first_then(subscription: LogSubscription, act: Callable[[], None], count: int) -> Sequence[int]:
    """Positions of ``count`` events; ``act`` is called in another thread once the first has come."""
    seen: list[int] = []
    with subscription, ThreadPoolExecutor(1) as pool:
        for entry in subscription:
            assert isinstance(entry.id, int)
            seen.append(entry.id)
            if len(seen) == 1:
                acting = pool.submit(act)
            if len(seen) == count:
                acting.result(PATIENCE_SECONDS)
                return seen
    raise AssertionError("the subscription ended")


def test_a_lost_notification_delays_nobody_for_good(
    application: Recount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Notifier, "announce", lambda self: None)
    say(application)
    subscription = application.log.subscribe(gt=1)
    assert first_then(subscription, lambda: say(application), count=2) == [2, 3]


def test_a_notification_wakes_a_follower(application: Recount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here nobody polls within the time of a test."""
    monkeypatch.setattr(recountdb.eventlog.log.settled_positions, "POLL_SECONDS", 1000)
    say(application)
    subscription = application.log.subscribe(gt=1)
    assert first_then(subscription, lambda: say(application), count=2) == [2, 3]


def test_a_follower_goes_on_after_its_connections_were_killed(
    application: Recount, conninfo: str, database: Database
) -> None:
    say(application)

    def kill_and_write() -> None:
        for _ in range(3):
            with connect(conninfo) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            say(application)

    # At least two events, and one for each write to come: one that was cut off may be there twice.
    seen = first_then(application.log.subscribe(gt=0), kill_and_write, count=5)
    assert seen == committed_positions(database)[:5]


def test_a_follower_goes_on_after_the_database_was_gone_as_it_read(
    application: Recount, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(application)
    failures = [Unavailable("gone"), Unavailable("still gone")]
    read = application.log.select_notifications

    def fail_at_first(*args: Any, **kwargs: Any) -> Any:
        if failures:
            raise failures.pop()
        return read(*args, **kwargs)

    monkeypatch.setattr(recountdb.eventlog.log.settled_positions, "RECONNECT_SECONDS", 0)
    monkeypatch.setattr(application.log, "select_notifications", fail_at_first)
    assert follow(application.log.subscribe(gt=0), lambda: 2) == [1, 2]
    assert failures == []


def test_a_stopped_follower_ends(application: Recount) -> None:
    say(application)
    subscription = application.log.subscribe(gt=0)
    entries = [next(subscription), next(subscription)]
    subscription.stop()
    say(application)
    assert list(subscription) == []
    assert [entry.id for entry in entries] == [1, 2]
