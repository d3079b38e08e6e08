"""The work of one transaction: the decisions of commands, on states held in memory, and its commit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from recountdb.domain.aggregate import Draft
from recountdb.domain.catalog import KINDS
from recountdb.domain.errors import (
    ExpectationFailed,
    KeyReused,
    NotFound,
    RecountError,
    Refused,
    Unavailable,
    VersionConflict,
)
from recountdb.eventlog.integrity.chain import Chain
from recountdb.eventlog.log.event_log import EventLog
from recountdb.eventlog.postgres.clock import elapsed_seconds
from recountdb.eventlog.postgres.database import Connection, translate_errors
from recountdb.eventlog.write.changes import Loaded, PendingChanges
from recountdb.eventlog.write.facts import PastFacts, TransactionFacts
from recountdb.eventlog.write.ports import Outcome, RecordedRequest, StreamChange, Views
from recountdb.eventlog.write.requests import Request
from recountdb.eventlog.write.states import StreamStates

AGE_SECONDS_MAX = 45.0  # of a command: no event's time may be a minute off the database's


@dataclass(frozen=True)
class Resources:
    """The things that all transactions of a writer work with."""

    log: EventLog
    states: StreamStates
    views: Views
    chain: Chain


class Transaction:
    """The work of one transaction: decisions on states held in memory, then one append."""

    def __init__(self, resources: Resources, connection: Connection) -> None:
        self._log = resources.log
        self._states = resources.states
        self._views = resources.views
        self._chain = resources.chain
        self._connection = connection
        self._changes = PendingChanges(resources.states, resources.views, self._lock)
        self._oldest_at = elapsed_seconds()
        self._positions: dict[tuple[UUID, int], int] = {}
        self._exits = ExitStack()
        self._exits.enter_context(translate_errors())
        self._is_open = False

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, *error: Any) -> None:
        self._exits.__exit__(*error)

    def _lock(self) -> Connection:
        """Return the connection with a transaction open, so that locks last until its end."""
        if not self._is_open:
            self._exits.enter_context(self._connection.transaction())
            self._is_open = True
        return self._connection

    def decide_all(self, requests: Sequence[Request]) -> list[Outcome | RecountError]:
        """Return the outcome of each request, or its refusal. Raises VersionConflict, Unavailable."""
        self._changes.lock_counters(name for request in requests for name in request.names)
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Outcome | RecountError:
        self._oldest_at = min(self._oldest_at, request.made_at)
        try:
            return self._repeat(request) or self._decide_with_followers(request)
        except (VersionConflict, Unavailable):
            raise  # these concern the whole transaction; any other refusal is its caller's alone
        except RecountError as refusal:
            return refusal

    def _decide_with_followers(self, request: Request) -> Outcome:
        """Decide the command, and then the commands on other streams that it leads to."""
        outcome = self._decide(request)
        if outcome.events:
            cause = f"{outcome.state.id}/{outcome.events[0].originator_version}"
            context = replace(request.context, idempotency=None, causation_id=cause)
            for command in request.command.along(outcome.events):
                self._decide(Request(command, context, request.answer))
        return outcome

    def _decide(self, request: Request) -> Outcome:
        """Decide on the state held in memory; when that refuses or records nothing, decide on the log's.

        An event decided upon a stale state cannot be stored, as its version exists already. A refusal stores
        nothing that would reveal the stale state, so it counts only when the state is certain.
        """
        if request.command.STANDS_ALONE:  # it is rare, and may depend on more than this stream
            self._states.forget_names([request.name])
        loaded = self._changes.load(request.name)
        try:
            outcome = self._decide_upon(request, loaded)
            if outcome.events or loaded.is_certain:
                return outcome
        except (Refused, NotFound):
            if loaded.is_certain:
                raise
        return self._decide_upon(request, self._changes.reload(request.name))

    def _decide_upon(self, request: Request, loaded: Loaded) -> Outcome:
        command = request.command
        current = loaded.state.version if loaded.state else 0
        if command.expected_version is not None and command.expected_version != current:
            raise ExpectationFailed(command.expected_version, current)
        draft = Draft(KINDS[command.kind], loaded.state, request.context, loaded.stream_id)
        facts = TransactionFacts(self._changes, self._views, request.name, loaded.stream_id, request.context)
        message_ids = command.decide(draft, facts)
        if draft.state is None:
            raise NotFound(command.kind)
        for name, (decided, known) in [(request.name, (draft, facts)), *facts.others.items()]:
            if decided.events:
                self._changes.keep(name, decided, known.looked_up)
        return Outcome(draft.state, draft.events, message_ids)

    def _repeat(self, request: Request) -> Outcome | None:
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
        return self._restore_answer(request, first)

    def _restore_answer(self, request: Request, first: RecordedRequest) -> Outcome:
        """Return the answer that was given to the first request, made from the events it recorded."""
        kind = KINDS[first.kind]
        state = self._states.load(kind, first.stream_id, first.last_version)
        if state is None:
            raise NotFound(first.kind)
        version = first.first_version - 1
        events = list(self._log.get_events(first.stream_id, gt=version, lte=first.last_version))
        before = self._states.load(kind, first.stream_id, version) if version else None
        draft = Draft(kind, before, request.context, first.stream_id)
        facts = PastFacts(self._log, self._views, first.stream_id, version)
        message_ids = request.command.recorded_ids(draft, facts, events)
        position = self._log.recorder.position_of(first.stream_id, first.last_version)
        return Outcome(state, events, message_ids, is_repeat=True, position=position)

    def commit(self) -> Sequence[StreamChange]:
        """Append all that was decided; return the changes."""
        changes = self._changes.in_order()
        if changes:
            rows = [self._log.to_row(event) for change in changes for event in change.events]
            links = self._chain.links_for(rows)
            self._refuse_outdated()
            positions = self._log.recorder.insert_events(
                rows, links=links, connection=self._connection, writes=self._views.writes_for(changes)
            )
            places = [(row.originator_id, row.originator_version) for row in rows]
            self._positions = dict(zip(places, positions, strict=True))
        self._exits.close()
        if changes:
            self._chain.keep(rows, links)  # only now are they committed
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
