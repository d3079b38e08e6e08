"""The work of one transaction: the decisions of commands, on states held in memory, and its commit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from uuid_utils.compat import uuid7

from recountdb.domain.aggregate import Aggregate, Draft
from recountdb.domain.commands import KINDS, Command, Facts, Name
from recountdb.domain.errors import (
    ExpectationFailed,
    KeyReused,
    NotFound,
    RecountError,
    Refused,
    Unavailable,
    VersionConflict,
)
from recountdb.domain.events import Context, Event
from recountdb.domain.messages import MessageState, fold_messages
from recountdb.domain.sessions import Session
from recountdb.eventlog.log.past import messages_at
from recountdb.eventlog.postgres.clock import elapsed_seconds
from recountdb.eventlog.postgres.database import Connection, told
from recountdb.eventlog.tracing import current
from recountdb.eventlog.write.ports import Outcome, RecordedRequest, StreamChange

if TYPE_CHECKING:
    from recountdb.eventlog.application import Recount

NAMES_CACHED_MAX = 100_000
AGE_SECONDS_MAX = 45.0  # of a command: no event's time may be a minute off the database's


Answer = Callable[[Outcome | BaseException], None]
"""Callback with the outcome, or the reason why there is none, on the writer's thread. Never raises."""


class Request:
    """A command that waits for its turn. ``names``: those of all streams that it may change.

    ``made_at``: as eventlog.postgres.clock.elapsed_seconds counts. ``cause``: the span that made it, if any.
    """

    __slots__ = ("answer", "cause", "command", "context", "made_at", "name", "names")

    def __init__(self, command: Command, context: Context, answer: Answer) -> None:
        self.command = command
        self.context = context
        self.answer = answer
        self.made_at = elapsed_seconds()
        self.cause = current()
        self.name = name_of(command, context)
        self.names = [self.name, *(name_of(other, context) for other in command.along())]


def name_of(command: Command, context: Context) -> Name:
    return Name(context.project, command.kind, command.scope, command.name)


class NameCache:
    """The streams of names that this process used lately. A conflict of versions reveals a stale entry."""

    def __init__(self) -> None:
        self._streams: dict[Name, UUID] = {}

    def get(self, name: Name) -> UUID | None:
        return self._streams.get(name)

    def put(self, name: Name, stream_id: UUID) -> None:
        if len(self._streams) >= NAMES_CACHED_MAX:
            self._streams.clear()
        self._streams[name] = stream_id

    def pop(self, name: Name) -> UUID | None:
        return self._streams.pop(name, None)

    def clear(self) -> None:
        self._streams.clear()


class Transaction:
    """The work of one transaction: decisions on states held in memory, then one append."""

    def __init__(self, application: Recount, streams: NameCache, connection: Connection) -> None:
        self._application = application
        self._connection = connection
        self._views = application.views
        self._chain = application.chain
        self._streams = streams
        self._changes: dict[UUID, StreamChange] = {}
        self._started: dict[Name, UUID] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._oldest_at = elapsed_seconds()
        self._positions: dict[tuple[UUID, int], int] = {}
        self._resources = ExitStack()
        self._resources.enter_context(told())
        self._is_open = False

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, *error: Any) -> None:
        self._resources.__exit__(*error)

    def lock_counters(self, requests: Sequence[Request]) -> None:
        """Lock the number counters of streams that ``requests`` may begin, in one order for all transactions.

        If numbers were drawn as commands come, two transactions could each wait for the other's counter.
        """
        names = [name for request in requests for name in request.names]
        unknown = {(name.project, name.kind) for name in names if self._streams.get(name) is None}
        if len(unknown) > 1:
            for key in sorted(unknown):
                self._numbers[key] = self._views.last_number(self._locked(), *key)

    def decide(self, request: Request) -> Outcome | RecountError:
        """Return the outcome of the command, or its refusal. Raises VersionConflict, Unavailable."""
        self._oldest_at = min(self._oldest_at, request.made_at)
        try:
            return self._replay(request) or self._decide_all(request)
        except (VersionConflict, Unavailable):
            raise
        except RecountError as refusal:
            return refusal

    def _decide_all(self, request: Request) -> Outcome:
        """Decide the command, and then the commands on other streams that it leads to."""
        outcome = self._decide(request)
        if outcome.events:
            cause = f"{outcome.state.id}/{outcome.events[0].originator_version}"
            context = replace(request.context, idempotency=None, causation_id=cause)
            for command in request.command.along(outcome.events):
                self._decide(Request(command, context, request.answer))
        return outcome

    def _decide(self, request: Request) -> Outcome:
        """Decide on the state held in memory; when that refuses or records nothing, decide on the log's."""
        if request.command.STANDS_ALONE:  # it is rare, and may depend on more than this stream
            self._forget(request.name)
        state, stream_id, is_certain = self._load(request.name)
        try:
            outcome = self._decide_upon(request, state, stream_id)
            if outcome.events or is_certain:
                return outcome
        except (Refused, NotFound):
            if is_certain:
                raise
        self._forget(request.name)
        state, stream_id, _ = self._load(request.name)
        return self._decide_upon(request, state, stream_id)

    def _forget(self, name: Name) -> None:
        stream_id = self._streams.pop(name)
        if stream_id is not None:
            self._application.forget(stream_id)

    def _load(self, name: Name) -> tuple[Aggregate | None, UUID, bool]:
        """Return the state, the stream's id, and whether the state is as recent as this transaction."""
        stream_id = self._started.get(name)
        if stream_id is not None:
            return self._changes[stream_id].state, stream_id, True
        stream_id = self._streams.get(name)
        is_certain = stream_id is None
        if stream_id is None:
            stream_id = self._views.find_stream(name)
            if stream_id is None:
                return None, uuid7(), True
            self._streams.put(name, stream_id)
            self._application.forget(stream_id)
        state: Aggregate | None
        if stream_id in self._changes:
            state, is_certain = self._changes[stream_id].state, False
        else:
            state = self._application.state_of(KINDS[name.kind], stream_id)
        if state is None or state.name != name.name:
            raise VersionConflict  # renamed or purged, perhaps by this very process
        return state, stream_id, is_certain

    def _decide_upon(self, request: Request, state: Aggregate | None, stream_id: UUID) -> Outcome:
        command = request.command
        current = state.version if state else 0
        if command.expected_version is not None and command.expected_version != current:
            raise ExpectationFailed(command.expected_version, current)
        draft = Draft(KINDS[command.kind], state, request.context, stream_id)
        facts = TransactionFacts(self, request.name, stream_id, request.context)
        message_ids = command.decide(draft, facts)
        if draft.state is None:
            raise NotFound(command.kind)
        if draft.events:
            self._keep(request.name, draft, facts.looked_up)
        for name, (other, facts_of_other) in facts.others.items():
            if other.events:
                self._keep(name, other, facts_of_other.looked_up)
        return Outcome(draft.state, draft.events, message_ids)

    def _keep(self, name: Name, draft: Draft[Any], looked_up: dict[UUID, MessageState]) -> None:
        state = draft.state
        assert state is not None
        before = self._changes.get(state.id) or StreamChange(state)
        messages = fold_messages({**looked_up, **before.messages}, draft.events)
        for message_id, message in looked_up.items():
            if messages.get(message_id) is message:  # it was not changed
                del messages[message_id]
        self._changes[state.id] = StreamChange(state, [*before.events, *draft.events], messages)
        self._started[name] = state.id

    def draft_of(self, name: Name, context: Context) -> tuple[Draft[Any], TransactionFacts]:
        """Load a draft and facts for a second stream, bypassing the cache."""
        self._forget(name)
        state, stream_id, _ = self._load(name)
        draft = Draft(KINDS[name.kind], state, context, stream_id)
        return draft, TransactionFacts(self, name, stream_id, context)

    def _replay(self, request: Request) -> Outcome | None:
        """Return the first answer to a request whose idempotency key was used before; None for a new key.

        Raises KeyReused when the key came with another request.
        """
        idempotency = request.context.idempotency
        if idempotency is None:
            return None
        first = self._views.find_request(request.context.project, idempotency.key)
        if first is None:
            return None
        if first.fingerprint != idempotency.fingerprint:
            raise KeyReused
        return self._first_answer(request, first)

    def _first_answer(self, request: Request, first: RecordedRequest) -> Outcome:
        kind = KINDS[first.kind]
        state = self._application.state_of(kind, first.stream_id, first.last_version)
        if state is None:
            raise NotFound(first.kind)
        events: list[Event] = list(
            self._application.events.get(  # type: ignore[arg-type]
                first.stream_id, gt=first.first_version - 1, lte=first.last_version
            )
        )
        version = first.first_version - 1
        before = self._application.state_of(kind, first.stream_id, version) if version else None
        draft = Draft(kind, before, request.context, first.stream_id)
        facts = PastFacts(self._application, first.stream_id, version)
        message_ids = request.command.recorded_ids(draft, facts, events)
        position = self._application.log.position_of(first.stream_id, first.last_version)
        return Outcome(state, events, message_ids, is_repeat=True, position=position)

    def next_number(self, name: Name) -> int:
        """Draw the next number; it is used up only if this transaction commits."""
        key = (name.project, name.kind)
        if key not in self._numbers:
            self._numbers[key] = self._views.last_number(self._locked(), *key)
        started = sum(
            1
            for change in self._changes.values()
            if (change.state.project, change.state.KIND) == key and change.events[0].originator_version == 1
        )
        return self._numbers[key] + started + 1

    def count_forks(self, project: str) -> int:
        """Return how many forks the project has, including those that this transaction begins."""
        begun = (change for change in self._changes.values() if change.events[0].originator_version == 1)
        states = (change.state for change in begun)
        mine = sum(isinstance(s, Session) and s.origin is not None and s.project == project for s in states)
        return self._views.count_forks(project) + mine

    def _locked(self) -> Connection:
        """Return the connection with a transaction open, so that locks last until its end."""
        if not self._is_open:
            self._resources.enter_context(self._connection.transaction())
            self._is_open = True
        return self._connection

    def commit(self) -> Sequence[StreamChange]:
        """Append all that was decided; return the changes."""
        # By stream id: all transactions write streams in the same order, so none wait in a circle.
        changes = [self._changes[stream_id] for stream_id in sorted(self._changes)]
        if changes:
            stored = [self._application.stored(event) for change in changes for event in change.events]
            links = self._chain.links_for(stored)
            self._refuse_outdated()
            positions = self._application.log.insert_events(
                stored, links=links, connection=self._connection, writes=self._views.writes_for(changes)
            )
            places = [(row.originator_id, row.originator_version) for row in stored]
            self._positions = dict(zip(places, positions, strict=True))
        self._resources.close()
        if changes:
            self._chain.keep(stored, links)
        return changes

    def _refuse_outdated(self) -> None:
        """Raise Unavailable when this process stood still: the events would carry a time long past."""
        if elapsed_seconds() - self._oldest_at > AGE_SECONDS_MAX:
            raise Unavailable("the server stood still, or is overloaded; nothing was recorded")

    def with_position(self, answer: Outcome | RecountError) -> Outcome | RecountError:
        """Return the answer with the position of its last event. Call it after the commit."""
        if isinstance(answer, RecountError) or answer.is_repeat or not answer.events:
            return answer
        last = answer.events[-1]
        return replace(answer, position=self._positions[answer.state.id, last.originator_version])


class TransactionFacts:
    """Answers to the questions of decisions (see domain.commands.Facts), for one stream."""

    def __init__(self, transaction: Transaction, name: Name, stream_id: UUID, context: Context) -> None:
        self._transaction = transaction
        self._views = transaction._views
        self._name = name
        self._stream_id = stream_id
        self._context = context
        self.looked_up: dict[UUID, MessageState] = {}
        self.others: dict[Name, tuple[Draft[Any], TransactionFacts]] = {}

    def next_number(self) -> int:
        return self._transaction.next_number(self._name)

    def is_taken(self, name: str) -> bool:
        return self._views.find_stream(self._name._replace(name=name)) is not None

    def hold_on_user(self, user_id: str) -> str | None:
        return self._views.find_hold(self._name.project, user_id)

    def is_known(self, user_id: str) -> bool:
        return self._views.is_known(self._name.project, user_id)

    def count_forks(self) -> int:
        return self._transaction.count_forks(self._name.project)

    def is_purged(self, stream_id: UUID) -> bool:
        return not self._views.is_there(stream_id)

    def messages(self, ids: Collection[UUID] = (), instants: Collection[datetime] = ()) -> list[MessageState]:
        found = self._views.find_messages(self._stream_id, ids, instants)
        self.looked_up.update((message.id, message) for message in found)
        return found

    def other(self, name: str) -> tuple[Draft[Any], Facts]:
        whole = self._name._replace(name=name)
        if whole not in self.others:
            # The idempotency key belongs to what the command's own stream records.
            context = replace(self._context, idempotency=None)
            self.others[whole] = self._transaction.draft_of(whole, context)
        return self.others[whole]


class PastFacts:
    """Facts about one stream as of ``version``, to make an earlier decision once more."""

    def __init__(self, application: Recount, stream_id: UUID, version: int) -> None:
        self._application = application
        self._stream_id = stream_id
        self._version = version

    def next_number(self) -> int:
        return 0  # nobody sees it: the event that gets it is not recorded

    def is_taken(self, name: str) -> bool:
        return False

    def hold_on_user(self, user_id: str) -> str | None:
        return None

    def is_known(self, user_id: str) -> bool:
        return False

    def count_forks(self) -> int:
        return 0

    def is_purged(self, stream_id: UUID) -> bool:
        return False

    def messages(self, ids: Collection[UUID] = (), instants: Collection[datetime] = ()) -> list[MessageState]:
        today = self._application.views.find_messages(self._stream_id, ids, instants)
        return list(messages_at(self._application, self._stream_id, self._version, today).values())

    def other(self, name: str) -> tuple[Draft[Any], Facts]:
        raise NotImplementedError("what was decided upon two streams is not decided once more")
