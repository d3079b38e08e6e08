"""The changes that one transaction has decided so far, and the states that they lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from uuid_utils.compat import uuid7

from recountdb.domain.aggregate import Aggregate, Draft
from recountdb.domain.catalog import KINDS
from recountdb.domain.commands.base import Name
from recountdb.domain.errors import VersionConflict
from recountdb.domain.messages import MessageState, fold_messages
from recountdb.domain.sessions import Session
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.write.ports import StreamChange, Views
from recountdb.eventlog.write.states import StreamStates


class Loaded(NamedTuple):
    """A stream to decide upon; without a ``state`` it is new, and ``stream_id`` drawn for it.

    ``is_certain``: the state is no older than this transaction, so what it refuses is refused for good.
    """

    state: Aggregate | None
    stream_id: UUID
    is_certain: bool


class PendingChanges:
    """Changes that are decided and not yet appended. ``lock`` returns a connection in a transaction."""

    def __init__(self, states: StreamStates, views: Views, lock: Callable[[], Connection]) -> None:
        self._states = states
        self._views = views
        self._lock = lock
        self._changes: dict[UUID, StreamChange] = {}
        self._streams: dict[Name, UUID] = {}  # the changed ones
        self._last_numbers: dict[tuple[str, str], int] = {}

    def in_order(self) -> Sequence[StreamChange]:
        """Return the changes by stream id.

        All transactions write streams in this order, so no two of them wait for each other.
        """
        return [self._changes[stream_id] for stream_id in sorted(self._changes)]

    def load(self, name: Name) -> Loaded:
        """Return the stream called ``name`` as this transaction has it. Raises VersionConflict."""
        changed_id = self._streams.get(name)
        if changed_id is not None:
            return Loaded(self._changes[changed_id].state, changed_id, is_certain=True)
        stream_id, is_certain = self._states.names.get(name), False
        if stream_id is None:
            # The views are asked within this transaction's turn. What they say is certain, and so is a
            # state that is loaded now; one that is in the cache may be older than the name.
            stream_id, is_certain = self._views.find_stream(name), True
            if stream_id is None:
                return Loaded(None, uuid7(), is_certain=True)
            self._states.names.put(name, stream_id)
            self._states.forget(stream_id)
        if stream_id in self._changes:
            # An earlier command of this transaction reached it by another name.
            state: Aggregate | None = self._changes[stream_id].state
            is_certain = False
        else:
            state = self._states.load(KINDS[name.kind], stream_id)
        if state is None or state.name != name.name:
            raise VersionConflict  # renamed or purged, perhaps by this very process
        return Loaded(state, stream_id, is_certain)

    def reload(self, name: Name) -> Loaded:
        """Return the stream called ``name`` as ``load`` does, bypassing what is held in memory."""
        self._states.forget_names([name])
        return self.load(name)

    def keep(self, name: Name, draft: Draft[Any], looked_up: dict[UUID, MessageState]) -> None:
        """Add what ``draft`` decided. ``looked_up``: recorded messages that it may have changed."""
        state = draft.state
        assert state is not None
        before = self._changes.get(state.id) or StreamChange(state)
        messages = fold_messages({**looked_up, **before.messages}, draft.events)
        for message_id, message in looked_up.items():
            if messages.get(message_id) is message:  # it was not changed
                del messages[message_id]
        self._changes[state.id] = StreamChange(state, [*before.events, *draft.events], messages)
        self._streams[name] = state.id

    def lock_counters(self, names: Iterable[Name]) -> None:
        """Lock the number counters of streams that may begin, in one order for all transactions.

        If numbers were drawn as commands come, two transactions could each wait for the other's counter.
        """
        unknown = {(name.project, name.kind) for name in names if self._states.names.get(name) is None}
        if len(unknown) > 1:
            for key in sorted(unknown):
                self._last_numbers[key] = self._views.last_number(self._lock(), *key)

    def draw_number(self, name: Name) -> int:
        """Draw the next number; it is used up only if this transaction commits."""
        key = (name.project, name.kind)
        if key not in self._last_numbers:
            self._last_numbers[key] = self._views.last_number(self._lock(), *key)
        begun = sum((state.project, state.KIND) == key for state in self._begun())
        return self._last_numbers[key] + begun + 1

    def count_forks(self, project: str) -> int:
        """Return how many forks the project has, including those that this transaction begins."""
        mine = sum(
            isinstance(state, Session) and state.origin is not None and state.project == project
            for state in self._begun()
        )
        return self._views.count_forks(project) + mine

    def _begun(self) -> list[Aggregate]:
        """Return the states of the streams that this transaction begins."""
        changes = self._changes.values()
        return [change.state for change in changes if change.events[0].originator_version == 1]
