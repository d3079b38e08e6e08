"""The states of streams that this process holds in memory, and how they get there.

They may be stale: other processes write too. A stale state shows when its next version exists already.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError, Repository
from eventsourcing.persistence import EventStore

from recountdb.domain.aggregate import Aggregate, Snapshot
from recountdb.domain.commands.base import Name
from recountdb.domain.errors import Unavailable
from recountdb.domain.events import Event
from recountdb.eventlog.log.event_log import EventLog
from recountdb.eventlog.tracing import span
from recountdb.eventlog.write.ports import StreamChange

SNAPSHOT_INTERVAL = 500  # events of a stream from one snapshot to the next
NAMES_CACHED_MAX = 100_000

logger = logging.getLogger(__name__)


class StreamNames:
    """The streams of names that this process used lately. For the writer's thread only."""

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


class StreamStates:
    """The cached states, the names they are found by, and the snapshots. ``names``: for the writer only."""

    def __init__(
        self, repository: Repository[UUID], log: EventLog, snapshots: EventStore[UUID] | None
    ) -> None:
        assert repository.cache is not None
        assert snapshots is not None
        self.names = StreamNames()
        self._repository = repository
        self._cache = repository.cache
        self._log = log
        self._snapshots = snapshots

    def load(self, kind: type[Aggregate], stream_id: UUID, version: int | None = None) -> Aggregate | None:
        """Return the recorded state, as of ``version`` or the newest known here; None without events."""
        try:
            state: Aggregate = self._repository.get(
                stream_id, version=version, projector_func=partial(_fold_events, kind)
            )
        except AggregateNotFoundError:
            return None
        return state

    def find(self, stream_id: UUID) -> Aggregate | None:
        """Return the state as this process last saw it; None when it has not seen it, or not lately."""
        try:
            state = self._cache.get(stream_id)
        except KeyError:
            return None
        assert isinstance(state, Aggregate)
        return state

    def remember(self, state: Aggregate) -> None:
        """Keep a state that was just committed, and the name of its stream."""
        self._cache.put(state.id, state)
        self.names.put(Name(state.project, state.KIND, state.scope, state.name), state.id)

    def forget(self, stream_id: UUID) -> None:
        """Drop the cached state, so that the next read goes to the log."""
        with suppress(KeyError):
            self._cache.get(stream_id, evict=True)

    def forget_names(self, names: Iterable[Name]) -> None:
        """Drop these names and the states of their streams."""
        for name in names:
            stream_id = self.names.pop(name)
            if stream_id is not None:
                self.forget(stream_id)

    def clear(self) -> None:
        """Drop all states and names."""
        self.names.clear()
        for stream_id in list(self._cache.cache):  # the cache's own clear() leaves most entries
            self.forget(stream_id)

    def catch_up(self, names: Iterable[Name]) -> None:
        """Bring the cached states of the streams of ``names`` up to date with what others recorded."""
        found = {stream_id for name in names if (stream_id := self.names.get(name)) is not None}
        states = {state.id: state for state in map(self.find, found) if state is not None}
        versions = {stream_id: state.version for stream_id, state in states.items()}
        for event in self._log.get_after(versions, limit=SNAPSHOT_INTERVAL):
            states[event.originator_id] = states[event.originator_id].evolve(event)
        for stream_id, state in states.items():
            if state.version == versions[stream_id] + SNAPSHOT_INTERVAL:
                self.forget(stream_id)  # it may have more events: loading from a snapshot is faster
            else:
                self._cache.put(stream_id, state)

    def take_snapshots(self, changes: Sequence[StreamChange]) -> None:
        """Save the states that passed a multiple of the interval."""
        snapshots = [
            Snapshot(change.state.id, change.state.version, change.state)
            for change in changes
            if not change.state.is_purged and _passes_interval(change)
        ]
        # The events are committed: a snapshot that could not be saved only makes a later load slower.
        try:
            if snapshots:
                self._snapshots.put(snapshots)
        except Unavailable:
            pass
        except Exception:
            logger.exception("a snapshot could not be saved")


def _passes_interval(change: StreamChange) -> bool:
    version = change.state.version
    return version // SNAPSHOT_INTERVAL > (version - len(change.events)) // SNAPSHOT_INTERVAL


def _fold_events(
    kind: type[Aggregate], state: Aggregate | None, events: Iterable[Event | Snapshot]
) -> Aggregate | None:
    """Return the state after ``events``, which are read as they are folded."""
    with span("fold", kind=kind.KIND):
        return kind.project_all(state, events)
