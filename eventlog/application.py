"""The application: carries out commands on aggregates, built upon the eventsourcing library.

Its repository, cache, snapshots and event store are the library's; the recorder and the mapper are
ours. Commands that arrive together are decided one after the other and committed in one transaction
(see eventlog.write.writer), each caller still answered only after the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import (
    AggregateRecorder,
    EventStore,
    InfrastructureFactory,
    Mapper,
    ProcessRecorder,
    StoredEvent,
    TrackingRecorder,
)
from eventsourcing.utils import Environment, EnvType
from pydantic import ValidationError

from recountdb.domain.aggregate import Aggregate, Snapshot
from recountdb.domain.catalog import events_by_topic
from recountdb.domain.commands import KINDS, Command
from recountdb.domain.errors import Unavailable
from recountdb.domain.events import Context, Event
from recountdb.eventlog.integrity.chain import Chain
from recountdb.eventlog.log.epoch import Epochs
from recountdb.eventlog.log.mapper import EventMapper, SnapshotMapper, StoredRow
from recountdb.eventlog.log.recorder import LogRecorder, SnapshotRecorder
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.tracing import span
from recountdb.eventlog.write.ports import Outcome, StreamChange, Views
from recountdb.eventlog.write.transaction import Answer, Request
from recountdb.eventlog.write.writer import Append, Writer

logger = logging.getLogger(__name__)

SNAPSHOT_INTERVAL = 500  # events of a stream from one snapshot to the next
CACHED_AGGREGATES = 10_000


class Factory(InfrastructureFactory[TrackingRecorder]):
    """Factory that hands our recorders to the library."""

    def __init__(self, env: Environment, database: Database, snapshot_topics: Sequence[str]) -> None:
        super().__init__(env)
        self._database = database
        self._snapshot_topics = snapshot_topics

    def application_recorder(self) -> LogRecorder:
        return LogRecorder(self._database)

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        assert purpose == "snapshots"
        return SnapshotRecorder(self._database, self._snapshot_topics)

    def tracking_recorder(self, tracking_recorder_class: Any = None) -> TrackingRecorder:
        raise NotImplementedError("followers keep their checkpoints with their own rows")

    def process_recorder(self) -> ProcessRecorder:
        raise NotImplementedError("followers keep their checkpoints with their own rows")

    def close(self) -> None:
        """Do nothing: the database belongs to the code that opened it."""


class SnapshotStore(EventStore[UUID]):
    """Store that passes over a snapshot it cannot read: snapshots are a cache, and the events are there."""

    def get(self, originator_id: UUID, **bounds: Any) -> Iterator[DomainEventProtocol[UUID]]:
        try:
            snapshots = list(super().get(originator_id, **bounds))
        except ValidationError:
            snapshots = []
        return iter(snapshots)


class Recount(Application[UUID]):
    """The application: sessions, threads and users of one database."""

    name = "recount"
    is_snapshotting_enabled = True

    def __init__(self, database: Database, views: Views) -> None:
        self.database = database
        self.views = views
        self._snapshot_mapper = SnapshotMapper(KINDS)
        super().__init__()
        self.chain = Chain(self.log.select_links)
        self._writer = Writer(self)

    def construct_env(self, name: str, env: EnvType | None = None) -> Environment:
        # The library reads its settings from the process's environment; ours come from api.settings.
        return Environment(
            name,
            {
                "IS_SNAPSHOTTING_ENABLED": "y",
                self.AGGREGATE_CACHE_MAXSIZE: str(CACHED_AGGREGATES),
                # A conflict of versions on saving reveals a stale state; the log is not asked beforehand.
                self.AGGREGATE_CACHE_FASTFORWARD: "n",
                self.DEEPCOPY_FROM_AGGREGATE_CACHE: "n",
            },
        )

    def construct_factory(self, env: Environment) -> Factory:
        return Factory(env, self.database, self._snapshot_mapper.topics)

    def construct_mapper(self) -> Mapper[UUID]:
        return EventMapper(events_by_topic())

    def construct_snapshot_store(self) -> EventStore[UUID]:
        recorder = self.factory.aggregate_recorder(purpose="snapshots")
        return SnapshotStore(self._snapshot_mapper, recorder)

    @property
    def log(self) -> LogRecorder:  # type: ignore[override]
        """Return the recorder with its own type."""
        assert isinstance(self.recorder, LogRecorder)
        return self.recorder

    def read(self, stored: StoredEvent) -> Event:
        """Return the event that ``stored`` holds. Raises RecordUnreadable."""
        event = self.mapper.to_domain_event(stored)
        assert isinstance(event, Event)
        return event

    def stored(self, event: Event) -> StoredRow:
        """Return ``event`` as it is stored."""
        assert isinstance(self.mapper, EventMapper)
        return self.mapper.to_stored_event(event)

    def send(self, command: Command, context: Context, answer: Answer) -> None:
        """Have ``command`` carried out; ``answer`` is called on the writer's thread once it is committed.

        If it is not carried out, ``answer`` is called with the reason: Refused, NotFound or Unavailable (see
        domain.errors).
        """
        self._writer.send(Request(command, context, answer))

    @property
    def append_under_way(self) -> Append | None:
        """Return the append that is under way; None when there is none."""
        return self._writer.under_way

    @property
    def epochs(self) -> Epochs | None:
        """Return the epochs of the log when this process connected to write; None before."""
        return self._writer.epochs

    def execute(self, command: Command, context: Context) -> Outcome:
        """Carry out ``command`` and wait for the commit. Raises Refused, NotFound, Unavailable."""
        # A thread wakes up from a simple queue with a fraction of the work that a future takes.
        answers: SimpleQueue[Outcome | BaseException] = SimpleQueue()
        self.send(command, context, answers.put)
        answer = answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def submit(self, command: Command, context: Context) -> Future[Outcome]:
        """Have ``command`` carried out while the caller goes on; the future raises as ``execute`` does."""
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        self.send(command, context, partial(_settle, future))
        return future

    def state_of(
        self, kind: type[Aggregate], stream_id: UUID, version: int | None = None
    ) -> Aggregate | None:
        """Return the recorded state, as of ``version`` or the newest known here; None without events."""
        try:
            state: Aggregate = self.repository.get(
                stream_id, version=version, projector_func=partial(_fold_events, kind)
            )
        except AggregateNotFoundError:
            return None
        return state

    def known_state(self, stream_id: UUID) -> Aggregate | None:
        """Return the state as this process last saw it; None when it has not seen it, or not lately."""
        assert self.repository.cache is not None
        try:
            state = self.repository.cache.get(stream_id)
        except KeyError:
            return None
        assert isinstance(state, Aggregate)
        return state

    def catch_up(self, stream_ids: Iterable[UUID]) -> None:
        """Bring the known states of these streams up to date with what others recorded."""
        states = {state.id: state for state in map(self.known_state, stream_ids) if state is not None}
        versions = {stream_id: state.version for stream_id, state in states.items()}
        for stored in self.log.select_after(versions, limit=SNAPSHOT_INTERVAL):
            event = self.read(stored)
            states[event.originator_id] = states[event.originator_id].evolve(event)
        for stream_id, state in states.items():
            if state.version == versions[stream_id] + SNAPSHOT_INTERVAL:
                self.forget(stream_id)  # it may have more events: loading from a snapshot is faster
            else:
                self.remember(state)

    def forget(self, stream_id: UUID) -> None:
        """Drop the cached state, so that the next read goes to the log."""
        with suppress(KeyError):
            assert self.repository.cache is not None
            self.repository.cache.get(stream_id, evict=True)

    def forget_all(self) -> None:
        """Drop everything held in memory about streams. Call it on the writer's thread only."""
        assert self.repository.cache is not None
        for stream_id in list(self.repository.cache.cache):  # the cache's own clear() leaves most entries
            self.forget(stream_id)
        self.chain.forget()

    def remember(self, state: Aggregate) -> None:
        assert self.repository.cache is not None
        self.repository.cache.put(state.id, state)

    def take_snapshots(self, changes: Sequence[StreamChange]) -> None:
        """Save the states that passed a multiple of the interval."""
        snapshots = [
            Snapshot(change.state.id, change.state.version, change.state)
            for change in changes
            if not change.state.is_purged
            and change.state.version // SNAPSHOT_INTERVAL
            > (change.state.version - len(change.events)) // SNAPSHOT_INTERVAL
        ]
        # The events are committed: a snapshot that could not be saved only makes a later load slower.
        try:
            if snapshots:
                assert self.snapshots is not None
                self.snapshots.put(snapshots)
        except Unavailable:
            pass
        except Exception:
            logger.exception("a snapshot could not be saved")

    def close(self) -> None:
        """Finish what was submitted, then stop."""
        if hasattr(self, "_writer"):
            self._writer.close()
        super().close()


def _settle(future: Future[Outcome], answer: Outcome | BaseException) -> None:
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _fold_events(
    kind: type[Aggregate], state: Aggregate | None, events: Iterable[Event | Snapshot]
) -> Aggregate | None:
    """Return the state after ``events``, which are read as they are folded."""
    with span("fold", kind=kind.KIND):
        return kind.project_all(state, events)
