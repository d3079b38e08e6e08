"""Random commands against the store and against a model of it: after each, both hold the same.

The store is written through two applications on one database, as by two processes, each of which
finds its caches overtaken by the other; and it takes snapshots all the time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

import recountdb.eventlog.write.states
from recountdb.api.services.fork import Cut, prepare_fork
from recountdb.api.services.purge import purge_target
from recountdb.domain.aggregate import Aggregate
from recountdb.domain.catalog import KINDS
from recountdb.domain.commands.base import Command, Name, Refuse
from recountdb.domain.commands.conversations import Fork
from recountdb.domain.errors import NotFound
from recountdb.domain.events import Context, Event
from recountdb.domain.memory_functions import built_in
from recountdb.domain.messages import fold_messages
from recountdb.eventlog.application import Recount
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.log.rows import LogEntry
from recountdb.eventlog.postgres.database import Database, connect
from recountdb.eventlog.write.ports import Outcome
from recountdb.projections.followers.eraser import erase_until
from recountdb.projections.lists.paging import Filter, Order, Page, Window
from recountdb.projections.queries import history
from recountdb.projections.queries.diff import compare_moments
from recountdb.projections.queries.history import AsOf
from recountdb.projections.queries.purge import find_target
from recountdb.projections.views.memory_functions import get_function, list_functions
from recountdb.projections.views.messages import MessagePage, get_message, page_messages, search_messages
from recountdb.projections.views.registry import CoreViews
from recountdb.projections.views.sessions import get_session, list_sessions
from recountdb.projections.views.states import StatefulKind, get_state
from recountdb.projections.views.threads import get_thread, list_threads
from recountdb.projections.views.users import get_user, list_users
from tests.support.asks import BEGINNING, FIRST, asks, command_of, context_of, documents, filters, target_of
from tests.support.model import Answer, Ask, Model, No, Row, Stream, is_hidden, page_of, text
from tests.support.rows import (
    as_columns,
    message_row,
    row_of,
    row_of_stream,
    sorted_rows,
    vars_of,
    without_scope,
)
from tests.support.together import submit_together

pytestmark = pytest.mark.sql

VIEWS = ["counters", "names", "sessions", "threads", "users", "functions", "states", "messages", "requests"]
SIGHTS: list[tuple[Order, bool | None]] = [
    ("oldest", False),
    ("newest", False),
    ("oldest", True),
    ("newest", True),
    ("oldest", None),
    ("newest", None),
]
ANY: Row = {"role": None, "user_id": None, "metadata": None, "since": None, "until": None}


class Store(RuleBasedStateMachine):
    """Two applications on one database, and the model of what it holds."""

    database: Database

    @initialize(first=st.sampled_from([[], FIRST, FIRST]))
    def begin(self, first: list[Ask]) -> None:
        empty(self.database)
        self.model = Model()
        self.clock = BEGINNING
        self.made_ids = 0
        self.keyed: list[Ask] = []
        self.entries: Sequence[LogEntry] = ()
        self.applications = [Recount(self.database, CoreViews(self.database)) for _ in range(2)]
        self.carry_out(first, 0, 0)

    def teardown(self) -> None:
        for application in getattr(self, "applications", ()):
            application.close()

    @rule(ask=asks(), which=st.integers(0, 1), peek=st.integers(0, 99))
    def ask_one(self, ask: Ask, which: int, peek: int) -> None:
        self.carry_out([ask], which, peek)

    @rule(batch=st.lists(asks(), min_size=2, max_size=4), which=st.integers(0, 1), peek=st.integers(0, 99))
    def ask_together(self, batch: list[Ask], which: int, peek: int) -> None:
        self.carry_out(batch, which, peek)

    @precondition(lambda self: self.keyed)
    @rule(earlier=st.integers(0, 99), which=st.integers(0, 1), peek=st.integers(0, 99))
    def repeat(self, earlier: int, which: int, peek: int) -> None:
        """The caller heard no answer and asks once more; ids that it did not choose are made anew."""
        self.carry_out([self.keyed[earlier % len(self.keyed)]], which, peek)

    @precondition(lambda self: any(self.of_kind("session")))
    @rule(
        source=st.integers(0, 99),
        version=st.integers(0, 99),
        name=st.sampled_from(["s1", "s2", "s3", "s4", "s5"]),
        metadata=st.none() | documents,
        which=st.integers(0, 1),
        peek=st.integers(0, 99),
    )
    def fork(self, source: int, version: int, name: str, metadata: Row | None, which: int, peek: int) -> None:
        """A session as it was becomes another; a deleted one does not."""
        sessions = list(self.of_kind("session"))
        stream = sessions[source % len(sessions)]
        then = stream.history[version % len(stream.history)]
        target = Name(*stream.key())
        application = self.applications[which]
        command = prepare_fork(application, target, name, Cut(version=then["version"]), metadata=metadata)
        if then["deleted_version"] is not None:
            assert isinstance(command, Refuse)
            return
        assert isinstance(command, Fork)
        common = {"project": target.project, "kind": "session", "scope": target.scope, "name": name}
        ask: Ask = {**common, "command": "fork", "expected": None, "key": None, "at": self.clock}
        copies = [message.id for message in command.messages]
        ask |= {"source": (stream.stream_id, then), "copies": copies, "metadata": metadata}
        self.check([self.answer(ask)], [(command, context_of(ask))], which, peek)

    @precondition(lambda self: self.model.streams)
    @rule(victim=st.integers(0, 99), which=st.integers(0, 1), seconds=st.sampled_from([0, 1, -5]))
    def purge(self, victim: int, which: int, seconds: int) -> None:
        """Any stream goes for good, deleted or live, unless it is held; the other process may know it yet."""
        stream = self.model.streams[victim % len(self.model.streams)]
        self.clock += timedelta(seconds=seconds)
        target = find_target(self.database, Name(*stream.key()))
        assert target.version == stream.now["version"]
        assert target.messages == len(stream.now["messages"])
        context = Context(project=target.project, actor="test", at=self.clock)
        result = purge_target(self.applications[which], target, context, reason=None, insist=True)
        if stream.now["hold"] is not None:
            assert (list(result.versions), result.why_not is None) == ([], False)
            return
        assert list(result.versions) == [stream.now["version"] + 1]
        self.model.purge(stream)
        self.entries = self.applications[0].log.select_notifications(None, 10_000)
        self.check_log()
        # What was said is in the messages view yet, and nothing shows it.
        self.check_search({**ANY, "deleted": None}, 4, "oldest")
        with connect(self.database.conninfo) as connection:
            erase_until(connection, settled_position(connection), lambda connection, subject: None)
        self.check_all()
        for application in self.applications:
            with pytest.raises(NotFound):
                history.load_state_as_of(application, Name(*stream.key()), AsOf())

    def answer(self, ask: Ask) -> Answer | No:
        """The model's."""
        try:
            return self.model.carry_out(ask)
        except No as no:
            return no

    @precondition(lambda self: self.model.streams)
    @rule(
        criteria=filters,
        limit=st.integers(1, 4),
        order=st.sampled_from(["oldest", "newest"]),
        version=st.integers(0, 99),
        restart=st.sampled_from([None, None, None, 0, 1]),
    )
    def read(self, criteria: Row, limit: int, order: Order, version: int, restart: int | None) -> None:
        """Any page of now and of then; perhaps one of the processes was started anew."""
        if restart is not None:
            self.applications[restart].close()
            self.applications[restart] = Recount(self.database, CoreViews(self.database))
        for stream in self.conversations():
            state = stream.history[version % len(stream.history)]
            self.check_pages(stream, stream.now, None, criteria, limit, order)
            self.check_pages(stream, state, AsOf(version=state["version"]), criteria, limit, order)
        self.check_search(criteria, limit, order)

    def carry_out(self, batch: list[Ask], which: int, peek: int) -> None:
        ready: list[tuple[Command, Context]] = []
        answers: list[Answer | No] = []
        for ask in batch:
            ask = self.resolved(ask)
            ready.append((command_of(ask), context_of(ask)))
            answers.append(self.answer(ask))
        self.check(answers, ready, which, peek)

    def check(
        self,
        answers: Sequence[Answer | No],
        ready: Sequence[tuple[Command, Context]],
        which: int,
        peek: int,
    ) -> None:
        """Have the commands carried out, and compare all there is with the model."""
        futures = submit_together(self.applications[which], ready)
        wait(futures)
        for answer, future in zip(answers, futures, strict=True):
            self.check_answer(answer, future.exception() or future.result())
        self.check_all()
        touched = {id(a.stream): a.stream for a in answers if isinstance(a, Answer)}
        for stream in touched.values():
            self.check_reads(stream, peek)
            self.check_past(stream, peek)

    def check_all(self) -> None:
        self.entries = self.applications[0].log.select_notifications(None, 10_000)
        self.check_tables()
        self.check_log()

    def resolved(self, ask: Ask) -> Ask:
        """``ask`` with a real target, real ids, versions and times."""
        if "is_aimed" not in ask:
            ask = self.aimed(ask)
        self.clock += timedelta(seconds=ask["seconds"])
        stream = self.model.find(*target_of(ask))
        version = stream.now["version"] if stream else 0
        named = {None: None, "right": version, "too low": version - 1, "too high": version + 1}
        ask = {**ask, "at": self.clock, "expected": named[ask["expected"]]}
        if "messages" in ask:
            ids = [message["message_id"] for message in ask["messages"]]
            ask["chosen"] = set(ids) - {None}
            ask["messages"] = [
                {**message, "message_id": message["message_id"] or self.new_id()}
                for message in ask["messages"]
            ]
        return ask

    def aimed(self, ask: Ask) -> Ask:
        """``ask`` as its caller would repeat it: at one stream and one message, by one key."""
        there = list(self.of_kind(ask["kind"]))
        if ask["near"] is not None and there:
            project, _, scope, name = there[ask["near"] % len(there)].key()
            ask = {**ask, "project": project, "scope": scope, "name": name}
        if "which" in ask:
            ask = {**ask, "message_id": some_message(self.model.find(*target_of(ask)), ask["which"])}
        ask = {**ask, "is_aimed": True, "fingerprint": text({**ask, "seconds": 0, "expected": 0})}
        if ask["key"] is not None:
            self.keyed.append(ask)
        return ask

    def new_id(self) -> UUID:
        self.made_ids += 1
        return UUID(int=1000 + self.made_ids)

    def check_answer(self, expected: Answer | No, answer: Outcome | BaseException) -> None:
        if isinstance(expected, No):
            assert type(answer).__name__ == str(expected), answer
            return
        if isinstance(answer, BaseException):
            raise answer
        if expected.stream.stream_id is None:
            expected.stream.stream_id = answer.state.id
        assert text(row_of(answer.state)) == text(row_of_stream(expected.stream, expected.state))
        assert [e.originator_version for e in answer.events] == [*range(expected.first, expected.last + 1)]
        assert list(answer.message_ids) == expected.message_ids
        assert answer.is_repeat == expected.is_repeat

    def positions(self) -> dict[tuple[Any, int], int]:
        return {(entry.originator_id, entry.originator_version): entry.id for entry in self.entries}

    def check_tables(self) -> None:
        """Every row of every view, and no other."""
        tables = self.tables()
        rows = {name: sorted_rows(found) for name, found in tables.items()}
        for kind in KINDS:
            states = [row_of_stream(stream, stream.now) for stream in self.of_kind(kind)]
            assert rows[f"{kind}s"] == sorted_rows(
                without_scope(row) if kind in ("user", "function") else row for row in states
            )
        assert rows["messages"] == sorted_rows(
            as_columns(message_row(stream, message))
            for stream in self.model.streams
            for message in stream.now["messages"]
        )
        assert rows["names"] == sorted_rows(
            dict(zip(("project", "kind", "scope", "name"), stream.key(), strict=True))
            | {"stream_id": stream.stream_id}
            for stream in self.model.streams
        )
        assert rows["states"] == sorted_rows(
            {"stream_id": stream.stream_id, "key": key, **document}
            for stream in self.model.streams
            for key, document in stream.now["states"].items()
        )
        assert rows["requests"] == sorted_rows(
            {
                "project": project,
                "key": key,
                "fingerprint": fingerprint,
                "kind": first.stream.now["kind"],
                "stream_id": first.stream.stream_id,
                "first_version": first.first,
                "last_version": first.last,
            }
            for (project, key), (fingerprint, first) in self.model.requests.items()
        )
        drawn = {(row["project"], row["kind"]): row["last"] for row in tables["counters"]}
        for (project, kind), last in drawn.items():
            assert last == self.model.count(project, kind)
        everything = (*self.model.streams, *self.model.purged)
        assert drawn.keys() >= {stream.key()[:2] for stream in everything}

    def check_log(self) -> None:
        """The events of each stream, folded, are its rows."""
        events: defaultdict[UUID, list[Event]] = defaultdict(list)
        for entry in self.entries:
            event = self.applications[0].events.to_event(entry)
            assert (entry.project, entry.recorded_at) == (event.project, event.recorded_at)
            events[event.originator_id].append(event)
        everything = (*self.model.streams, *self.model.purged)
        assert events.keys() == {stream.stream_id for stream in everything}
        for stream in self.model.purged:
            self.check_tombstone(stream, events[stream.stream_id])
        for stream in self.model.streams:
            mine = events[stream.stream_id]
            assert [event.originator_version for event in mine] == [*range(1, len(stream.history) + 1)]
            folded = KINDS[stream.now["kind"]].project_all(None, mine)
            assert folded is not None
            assert text(row_of(folded)) == text(row_of_stream(stream, stream.now))
            recorded = fold_messages({}, mine).values()
            assert [text(vars_of(message)) for message in recorded] == [
                text(message_row(stream, message)) for message in stream.now["messages"]
            ]

    def check_tombstone(self, stream: Stream, events: list[Event]) -> None:
        """Its versions and its number are what is left, before its payloads are erased and after."""
        assert [event.originator_version for event in events] == [*range(1, len(stream.history) + 2)]
        folded = KINDS[stream.now["kind"]].project_all(None, events)
        assert folded is not None
        assert (folded.is_purged, folded.name) == (True, "")
        assert (folded.number, folded.version) == (stream.now["number"], len(events))

    def check_reads(self, stream: Stream, peek: int) -> None:
        """The stream by its name, in a list, by its pages; one of its messages by id."""
        project, kind, scope, name = stream.key()
        now = stream.now
        is_deleted = now["deleted_version"] is not None
        for deleted in (False, True):
            try:
                state = get(self.database, project, kind, name, scope=scope, deleted=deleted)
                assert deleted or not is_deleted
                assert text(row_of(state)) == text(row_of_stream(stream, now))
            except NotFound:
                assert is_deleted
                assert not deleted
        self.check_list(project, kind, *SIGHTS[peek % len(SIGHTS)])
        if kind in ("session", "thread"):
            order, wanted = SIGHTS[peek % len(SIGHTS)]
            self.check_pages(stream, now, None, {**ANY, "deleted": wanted}, 2, order)
        for key, document in now["states"].items():
            is_shown = not is_deleted and document["version"] > now["hidden_through"]
            owner: StatefulKind = "thread" if kind == "thread" else "user"
            found = get_state(self.database, project, owner, name, key)
            assert text(found) == text(document["state"] if is_shown else None)
        for message in now["messages"][peek % 7 : peek % 7 + 1]:
            self.check_message(project, message["message_id"])

    def check_list(self, project: str, kind: str, order: Order, deleted: bool | None) -> None:
        if kind == "function":  # there is one list of them
            order, deleted = "oldest", False
        expected = [
            text(row_of_stream(stream, stream.now))
            for stream in self.of_kind(kind)
            if stream.key()[0] == project and deleted in (None, stream.now["deleted_version"] is not None)
        ]
        if kind == "function":
            first, *found = all_pages(lambda window: list_functions(self.database, project, window), 2, order)
            assert first == built_in(project)
        else:
            found = all_pages(
                lambda window: LISTS[kind](self.database, project, window, Filter(deleted=deleted)), 2, order
            )
        assert [text(row_of(state)) for state in found] == in_order(expected, order)

    def check_message(self, project: str, message_id: UUID) -> None:
        holders = {
            stream.stream_id
            for stream in self.conversations()
            for message in stream.now["messages"]
            if stream.key()[0] == project
            and message["message_id"] == message_id
            and not is_hidden(stream.now, message)
        }
        try:
            found = get_message(self.database, project, message_id)
        except NotFound:
            assert not holders
        else:
            assert found.message.stream_id in holders

    def check_past(self, stream: Stream, peek: int) -> None:
        """Some earlier version reads as it was, by its number and by its time."""
        past = stream.history[peek % len(stream.history)]
        name = Name(*stream.key())
        application = self.applications[peek % 2]
        by_version = AsOf(version=past["version"])
        state = history.load_state_as_of(application, name, by_version)
        assert text(row_of(state)) == text(row_of_stream(stream, past))
        moment = past["updated_at"]
        by_time = [state for state in stream.history if state["updated_at"] <= moment][-1]
        state = history.load_state_as_of(application, name, AsOf(moment=moment))
        assert text(row_of(state)) == text(row_of_stream(stream, by_time))
        if stream.now["kind"] in ("session", "thread"):
            order, deleted = SIGHTS[peek % len(SIGHTS)]
            self.check_pages(stream, past, by_version, {**ANY, "deleted": deleted}, 2, order)
            for message in past["messages"][peek % 5 : peek % 5 + 2]:
                self.check_message_as_of(name, past, message, by_version)
            self.check_difference(stream, past, stream.history[peek // 7 % len(stream.history)])

    def check_difference(self, stream: Stream, old: Row, new: Row) -> None:
        """Those messages differ that the model has otherwise, at one moment and at the other."""
        moments = (AsOf(version=state["version"]) for state in (old, new))
        points = compare_moments(self.applications[0], Name(*stream.key()), *moments)
        shown = [shown_in(stream, state) for state in (old, new)]
        for point, state, here, there in zip(points, (old, new), shown, shown[::-1], strict=True):
            assert text(row_of(point.conversation)) == text(row_of_stream(stream, state))
            found = {message.id: text(vars_of(message)) for message in point.messages}
            assert list(found.items()) == [item for item in here.items() if item not in there.items()]

    def check_message_as_of(self, name: Name, past: Row, message: Row, as_of: AsOf) -> None:
        try:
            found = history.load_message_as_of(self.applications[0], name, message["message_id"], as_of)
        except NotFound:
            assert is_hidden(past, message)
        else:
            assert not is_hidden(past, message)
            assert (found.version, found.changed_version) == (message["version"], message["changed_version"])
            assert text(found.content) == text(message["content"])

    def check_pages(
        self, stream: Stream, state: Row, as_of: AsOf | None, criteria: Row, limit: int, order: Order
    ) -> None:
        """All pages of a conversation's messages are those of ``state``."""
        target = Name(*stream.key())
        criterion = Filter(scope=target.scope, **criteria)

        def some(window: Window) -> MessagePage:
            if as_of is None:
                kind: Any = target.kind
                page = page_messages(self.database, target.project, kind, target.name, window, criterion)
            else:
                page = history.page_as_of(self.applications[1], target, as_of, window, criterion)
            assert page.version == state["version"]
            return page

        if state["deleted_version"] is not None and criteria["deleted"] is False:
            with pytest.raises(NotFound):
                some(Window(limit, order))
            return
        expected = [text(message_row(stream, message)) for message in page_of(state, criteria)]
        found = all_pages(some, limit, order)
        assert [text(vars_of(message)) for message in found] == in_order(expected, order)

    def check_search(self, criteria: Row, limit: int, order: Order) -> None:
        """Messages of a whole project, in the order of the log."""
        positions = self.positions()
        settled = self.applications[0].log.settled_position()
        assert settled >= max(positions.values(), default=0)
        for project in ("p", "q"):
            expected = sorted(
                positions[stream.stream_id, message["version"]]
                for stream in self.conversations()
                if stream.key()[0] == project
                for message in page_of(stream.now, criteria)
            )
            found = all_pages(
                partial(
                    search_messages, self.database, project, criteria=Filter(**criteria), settled=settled
                ),
                limit,
                order,
            )
            assert [item.position for item in found] == in_order(expected, order)

    def conversations(self) -> Iterator[Stream]:
        return (stream for stream in self.model.streams if stream.now["kind"] in ("session", "thread"))

    def of_kind(self, kind: str) -> Iterator[Stream]:
        return (stream for stream in self.model.streams if stream.now["kind"] == kind)

    def tables(self) -> dict[str, list[Row]]:
        """All rows of all views, in one query."""
        columns = ", ".join(f"(SELECT json_agg({table}) FROM {table})" for table in VIEWS)
        ((*tables,),) = self.database.fetch(f"SELECT {columns}")
        return {name: rows or [] for name, rows in zip(VIEWS, tables, strict=True)}


def all_pages(page: Callable[[Window], Page[Any]], limit: int, order: Order) -> list[Any]:
    """The items of all pages, one page after the other."""
    items: list[Any] = []
    cursor = None
    while True:
        some = page(Window(limit, order, cursor))
        assert len(some.items) <= limit
        items += some.items
        cursor = some.next_cursor
        if cursor is None:
            return items


def in_order(oldest_first: list[Any], order: Order) -> list[Any]:
    return oldest_first if order == "oldest" else oldest_first[::-1]


LISTS: dict[str, Any] = {"session": list_sessions, "thread": list_threads, "user": list_users}


def get(database: Database, project: str, kind: str, name: str, *, scope: str, deleted: bool) -> Aggregate:
    match kind:
        case "session":
            return get_session(database, project, name, scope=scope, deleted=deleted)
        case "thread":
            return get_thread(database, project, name, deleted=deleted)
        case "function":
            return get_function(database, project, name, deleted=deleted)
        case _:
            return get_user(database, project, name, deleted=deleted)


def shown_in(stream: Stream, state: Row) -> dict[UUID, str]:
    """The messages that could be seen, by id, in order."""
    return {
        message["message_id"]: text(message_row(stream, message))
        for message in state["messages"]
        if not is_hidden(state, message)
    }


def some_message(stream: Stream | None, which: int) -> UUID:
    """Mostly one that can be seen, sometimes a hidden one, sometimes none that there is."""
    known = stream.now["messages"] if stream else []
    seen = [message for message in known if stream and not is_hidden(stream.now, message)]
    wanted = seen if which % 5 and seen else known
    ids = [message["message_id"] for message in wanted]
    return ids[which % len(ids)] if ids and which else UUID(int=99)


def empty(database: Database) -> None:
    with database.connection() as connection:
        tables = ", ".join(["stored_events", "snapshots", "followers", "parked_streams", *VIEWS])
        connection.execute(f"TRUNCATE {tables} RESTART IDENTITY")


def run(database: Database, monkeypatch: pytest.MonkeyPatch, *, steps: int, **more: Any) -> None:
    monkeypatch.setattr(recountdb.eventlog.write.states, "SNAPSHOT_INTERVAL", 3)

    class Machine(Store):
        pass

    Machine.database = database
    run_state_machine_as_test(
        Machine,
        settings=settings(
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            **more,
        ),
    )


@pytest.mark.timeout(600)  # a failing example is made small for up to five minutes
def test_the_store_and_the_model_agree(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    run(database, monkeypatch, steps=30)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_store_and_the_model_agree_for_long(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    run(database, monkeypatch, steps=50, max_examples=200)
