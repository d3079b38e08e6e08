"""Many writers, in threads and in processes: everyone's words are kept, once, in order, unmixed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from recountdb.domain.commands.base import Command, Name
from recountdb.domain.commands.common import MergeMetadata, Start
from recountdb.domain.commands.conversations import AddMessages, RenameSession
from recountdb.domain.errors import AlreadyExists, ExpectationFailed, KeyReused, RecountError, VersionConflict
from recountdb.domain.messages import Message
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database, connect
from recountdb.eventlog.write.ports import Outcome
from recountdb.eventlog.write.states import SNAPSHOT_INTERVAL
from recountdb.eventlog.write.writer import ATTEMPTS_MAX
from recountdb.projections.lists.paging import LIMIT_MAX, Window
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.registry import CoreViews
from recountdb.projections.views.sessions import get_session, list_sessions
from tests.support.processes import (
    PATIENCE_SECONDS,
    context,
    flat,
    in_processes,
    in_threads,
    recount_on,
    wait_for_others,
    wait_until,
)
from tests.support.together import submit_together

PROCESSES = 3
THREADS = 3
INSTANT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def batch(count: int, *, timestamp: datetime | None = None) -> list[Message]:
    texts = [f"{number} of {count}" for number in range(count)]
    return [Message(id=uuid4(), role="user", content=text, timestamp=timestamp) for text in texts]


def execute(application: Recount, command: Command, key: str | None = None) -> Outcome:
    """The outcome; a caller who was told of a conflict repeats, as the error says."""
    while True:
        try:
            return application.execute(command, context(key))
        except VersionConflict:
            continue


@dataclass(frozen=True)
class Acknowledged:
    """What a writer was told of one batch."""

    session: str
    message_ids: Sequence[UUID]
    versions: Sequence[int]


def add(application: Recount, session: str, messages: list[Message]) -> Acknowledged:
    outcome = execute(application, AddMessages(kind="session", name=session, messages=messages))
    versions = [event.originator_version for event in outcome.events]
    return Acknowledged(session, outcome.message_ids, versions)


def write_batches(conninfo: str, process: int, batches: int) -> list[Acknowledged]:
    """Each thread of the process writes to a session of its own and to one that all share."""
    with recount_on(conninfo) as application:

        def write(thread: int) -> list[Acknowledged]:
            own = f"own {process}.{thread}"
            return [add(application, name, batch(3)) for _ in range(batches) for name in ("shared", own)]

        wait_for_others()
        return flat(in_threads(write, [(thread,) for thread in range(THREADS)]))


def test_every_acknowledged_message_is_there_once_and_batches_stay_whole(
    conninfo: str, database: Database
) -> None:
    batches = 8
    told = flat(in_processes(write_batches, [(conninfo, n, batches) for n in range(PROCESSES)]))

    sessions = list_sessions(database, "default", Window(LIMIT_MAX)).items
    assert [session.number for session in sessions] == [*range(1, PROCESSES * THREADS + 2)]
    assert {session.name for session in sessions} == {acknowledged.session for acknowledged in told}
    for session in sessions:
        mine = [acknowledged for acknowledged in told if acknowledged.session == session.name]
        page = page_messages(database, "default", "session", session.name, Window(LIMIT_MAX))
        found = {message.version: message.id for message in page.items}
        acknowledged_ids = [message_id for batch in mine for message_id in batch.message_ids]
        assert Counter(found.values()) == Counter(acknowledged_ids)
        assert [*found] == [*range(2, len(acknowledged_ids) + 2)]
        assert (session.message_count, session.version) == (len(found), len(found) + 1)
        for batch_ in mine:
            *_, last = batch_.versions
            added = [*range(last - len(batch_.message_ids) + 1, last + 1)]
            assert [found[version] for version in added] == list(batch_.message_ids)
            assert list(batch_.versions) in (added, [1, *added])


def write_first(conninfo: str, process: int, names: int) -> list[Acknowledged]:
    with recount_on(conninfo) as application:

        def write(thread: int) -> list[Acknowledged]:
            return [add(application, f"new {name}", batch(1)) for name in range(names)]

        wait_for_others()
        return flat(in_threads(write, [(thread,) for thread in range(THREADS)]))


def test_first_writes_to_one_name_meet_in_one_session(conninfo: str, database: Database) -> None:
    names = 6
    told = flat(in_processes(write_first, [(conninfo, n, names) for n in range(PROCESSES)]))

    sessions = list_sessions(database, "default", Window()).items
    assert sorted(session.name for session in sessions) == [f"new {name}" for name in range(names)]
    assert [session.number for session in sessions] == [*range(1, names + 1)]
    assert {session.message_count for session in sessions} == {PROCESSES * THREADS}
    assert Counter(acknowledged.versions[0] == 1 for acknowledged in told)[True] == names


def write_the_same(conninfo: str, process: int, texts: int) -> list[list[UUID]]:
    """The same thread batches as everyone: each with ids of its own, said at the same instant."""
    with recount_on(conninfo) as application:

        def write(thread: int) -> list[list[UUID]]:
            thread_batch = AddMessages(kind="thread", name="t", messages=batch(texts, timestamp=INSTANT))
            return [list(execute(application, thread_batch).message_ids) for _ in range(2)]

        wait_for_others()
        return flat(in_threads(write, [(thread,) for thread in range(THREADS)]))


def test_the_same_thread_batch_from_everyone_is_stored_once(conninfo: str, database: Database) -> None:
    answers = flat(in_processes(write_the_same, [(conninfo, n, 5) for n in range(PROCESSES)]))
    page = page_messages(database, "default", "thread", "t", Window())
    stored = [message.id for message in page.items]
    assert [message.content for message in page.items] == [message.content for message in batch(5)]
    assert answers == [stored] * (PROCESSES * THREADS * 2)


def write_chosen(conninfo: str, messages: list[Message]) -> list[list[UUID]]:
    with recount_on(conninfo) as application:
        given = frozenset(message.id for message in messages)

        def write() -> list[UUID]:
            command = AddMessages(kind="session", name="s", messages=messages, given_ids=given)
            return list(execute(application, command).message_ids)

        wait_for_others()
        return in_threads(write, [()] * THREADS)


def test_messages_with_the_same_ids_from_everyone_are_stored_once(conninfo: str, database: Database) -> None:
    messages = batch(5)
    ids = [message.id for message in messages]
    answers = flat(in_processes(write_chosen, [(conninfo, messages)] * PROCESSES))
    page = page_messages(database, "default", "session", "s", Window())
    assert [message.id for message in page.items] == ids
    assert answers == [ids] * (PROCESSES * THREADS)


def write_with_keys(conninfo: str, fingerprint: str, keys: int) -> list[tuple[bool, list[UUID]] | None]:
    """For each key the ids that were answered, and whether as a repeat; None: it was used otherwise."""
    with recount_on(conninfo) as application:

        def write(number: int) -> tuple[bool, list[UUID]] | None:
            command = AddMessages(kind="session", name=f"s{number % 2}", messages=batch(2))
            while True:
                try:
                    asked = context(f"key {number}", fingerprint=fingerprint)
                    outcome = application.execute(command, asked)
                    return outcome.is_repeat, list(outcome.message_ids)
                except VersionConflict:
                    continue
                except KeyReused:
                    return None

        wait_for_others()
        return in_threads(write, [(number,) for number in range(keys)])


def test_one_idempotency_key_at_once_from_two_processes_records_once(
    conninfo: str, database: Database
) -> None:
    one, other = in_processes(write_with_keys, [(conninfo, "same", 10)] * 2)
    for first, second in zip(one, other, strict=True):
        assert first is not None
        assert second is not None
        assert {first[0], second[0]} == {True, False}
        assert first[1] == second[1]
    assert sum(session.message_count for session in list_sessions(database, "default", Window()).items) == 20


def test_one_idempotency_key_at_once_with_two_bodies_is_refused_to_one(
    conninfo: str, database: Database
) -> None:
    one, other = in_processes(write_with_keys, [(conninfo, "this", 10), (conninfo, "that", 10)])
    for answers in zip(one, other, strict=True):
        assert sum(answer is None for answer in answers) == 1
        assert [answer[0] for answer in answers if answer] == [False]
    assert sum(session.message_count for session in list_sessions(database, "default", Window()).items) == 20


def merge_many(conninfo: str, process: int, merges: int) -> None:
    with recount_on(conninfo) as application:

        def write(thread: int) -> None:
            for number in range(merges):
                patch = {"by": {f"{process}.{thread}": {str(number): number}}}
                execute(application, MergeMetadata(kind="session", name="s", metadata=patch))  # type: ignore[arg-type]

        wait_for_others()
        in_threads(write, [(thread,) for thread in range(THREADS)])


def test_metadata_merges_lose_nothing(conninfo: str, application: Recount, database: Database) -> None:
    application.execute(Start(kind="session", name="s"), context())
    merges = 6
    in_processes(merge_many, [(conninfo, n, merges) for n in range(PROCESSES)])
    everything = {str(number): number for number in range(merges)}
    writers = [f"{process}.{thread}" for process in range(PROCESSES) for thread in range(THREADS)]
    session = get_session(database, "default", "s")
    assert session.metadata == {"by": dict.fromkeys(writers, everything)}
    assert session.version == 1 + PROCESSES * THREADS * merges


def refusal(application: Recount, command: Command) -> RecountError | None:
    try:
        application.execute(command, context())
    except RecountError as error:
        return error
    return None


def test_of_those_who_expect_the_same_version_one_wins(application: Recount, database: Database) -> None:
    application.execute(Start(kind="session", name="s"), context())
    commands = [
        AddMessages(kind="session", name="s", messages=batch(1), expected_version=1) for _ in range(12)
    ]
    refusals = in_threads(refusal, [(application, command) for command in commands])
    assert refusals.count(None) == 1
    for error in filter(None, refusals):
        assert isinstance(error, ExpectationFailed)
        assert (error.expected_version, error.current_version) == (1, 2)
    assert get_session(database, "default", "s").message_count == 1


def rename(conninfo: str, name: str) -> bool:
    with recount_on(conninfo) as application:
        execute(application, Start(kind="session", name=name))
        wait_for_others()
        error = refusal(application, RenameSession(name=name, new_name="wanted"))
        assert error is None or isinstance(error, AlreadyExists)
        return error is None


def test_of_those_who_rename_to_one_name_one_wins(conninfo: str, database: Database) -> None:
    won = in_processes(rename, [(conninfo, f"s{number}") for number in range(PROCESSES)])
    assert won.count(True) == 1
    winner = get_session(database, "default", "wanted")
    left = {session.name for session in list_sessions(database, "default", Window()).items} - {"wanted"}
    assert left == {f"s{number}" for number in range(PROCESSES) if not won[number]}
    assert winner.version == 2


def start_in_turn(conninfo: str, projects: Sequence[str], rounds: int) -> None:
    with recount_on(conninfo) as application:
        for number in range(rounds):
            wait_for_others()
            command = AddMessages(kind="session", name=f"s{number}", messages=batch(1))
            requests = [(command, context(project=project)) for project in projects]
            for future in submit_together(application, requests):
                future.result()


def test_numbers_drawn_in_two_projects_at_once_stay_dense(conninfo: str, database: Database) -> None:
    """Transactions that draw from the same counters in opposite order would wait in a circle."""
    in_processes(start_in_turn, [(conninfo, ["a", "b"], 5), (conninfo, ["b", "a"], 5)])
    for project in ("a", "b"):
        sessions = list_sessions(database, project, Window()).items
        assert [session.number for session in sessions] == [1, 2, 3, 4, 5]
        assert {session.message_count for session in sessions} == {2}


class BlindViews(CoreViews):
    """Never finds the stream named "hidden", so whoever starts it meets it each time."""

    asked = 0

    def find_stream(self, name: Name) -> UUID | None:
        if name.name != "hidden":
            return super().find_stream(name)
        self.asked += 1
        return None


@pytest.fixture
def blind(application: Recount, database: Database) -> BlindViews:
    """The application's views from here on, with the session "hidden" there already."""
    application.execute(Start(kind="session", name="hidden"), context())
    application.states.names.pop(Name("default", "session", "", "hidden"))
    views = BlindViews(database)
    writer = application._writer
    writer._resources = replace(writer._resources, views=views)
    return views


def test_counters_are_locked_in_one_order_however_commands_come(
    conninfo: str, application: Recount, database: Database
) -> None:
    """Two transactions that lock the same rows in different orders may wait for each other for ever."""
    for project in ("alpha", "beta"):
        application.execute(Start(kind="session", name="first"), context(project=project))
    find = "SELECT last FROM counters WHERE project = %s FOR UPDATE SKIP LOCKED"
    with connect(conninfo) as other, other.transaction():
        assert other.execute(find, ["beta"]).fetchall() == [(1,)]
        begun = submit_together(
            application,
            [(Start(kind="session", name="next"), context(project=p)) for p in ("beta", "alpha")],
        )
        wait_until(lambda: database.fetch("SELECT FROM pg_locks WHERE NOT granted") != [])
        assert other.execute(find, ["alpha"]).fetchall() == []
    for future in begun:
        assert future.result(PATIENCE_SECONDS).state.number == 2


@pytest.mark.parametrize("others", [1, SNAPSHOT_INTERVAL, SNAPSHOT_INTERVAL + 1])
def test_a_batch_is_decided_upon_what_another_process_wrote(
    conninfo: str, application: Recount, others: int
) -> None:
    """However much that is, and none of it is lost or written over."""
    names = ["a", "b", "c"]
    adding = [AddMessages(kind="session", name=name, messages=batch(1)) for name in names]
    for command in adding:
        application.execute(command, context())
    with recount_on(conninfo) as other:
        for name in names[:2]:
            other.execute(AddMessages(kind="session", name=name, messages=batch(others)), context())
    again = [AddMessages(kind="session", name=name, messages=batch(1)) for name in names]
    futures = submit_together(application, [(command, context()) for command in again])
    states = [future.result(PATIENCE_SECONDS).state for future in futures]
    assert [state.version for state in states] == [3 + others, 3 + others, 3]


def test_a_conflict_that_stays_is_told_after_some_tries(
    application: Recount, database: Database, blind: BlindViews
) -> None:
    error = refusal(application, Start(kind="session", name="hidden"))
    assert type(error) is VersionConflict
    assert blind.asked == ATTEMPTS_MAX + 2  # twice together, then alone
    assert get_session(database, "default", "hidden").version == 1


def test_a_conflict_is_its_own_callers_alone(
    application: Recount, database: Database, blind: BlindViews
) -> None:
    commands = [
        AddMessages(kind="session", name=name, messages=batch(1)) for name in ("a", "hidden", "b", "a")
    ]
    futures = submit_together(application, [(command, context()) for command in commands])
    assert [type(future.exception()) for future in futures] == [
        type(None),
        VersionConflict,
        type(None),
        type(None),
    ]
    counts = {s.name: s.message_count for s in list_sessions(database, "default", Window()).items}
    assert counts == {"a": 2, "b": 1, "hidden": 0}
    assert [s.number for s in list_sessions(database, "default", Window()).items] == [1, 2, 3]


def test_a_name_that_was_left_is_not_the_old_streams_any_more(
    application: Recount, database: Database
) -> None:
    """Not even where the writer knew it by both names, and both are written to at once."""
    application.execute(Start(kind="session", name="before"), context())
    application.execute(RenameSession(name="before", new_name="after"), context())
    commands = [AddMessages(kind="session", name=name, messages=batch(1)) for name in ("after", "before")]
    futures = submit_together(application, [(command, context()) for command in commands])
    after, before = (future.result().state for future in futures)
    assert (after.name, before.name) == ("after", "before")
    assert after.id != before.id
    assert get_session(database, "default", "after").message_count == 1
    assert get_session(database, "default", "before").message_count == 1
