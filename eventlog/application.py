"""The application: carries out commands on aggregates, built upon the eventsourcing library.

Its repository, cache, snapshots and event store are the library's; the recorder and the mapper are
ours. Commands that arrive together are decided one after the other and committed in one transaction
(see eventlog.writer), each caller still answered only after the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError, Application
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

from domain.aggregate import Aggregate, Snapshot
from domain.catalog import events_by_topic
from domain.commands import KINDS, Command
from domain.errors import Unavailable
from domain.events import Context, Event
from eventlog.changes import Outcome, StreamChange, Views
from eventlog.database import Database
from eventlog.mapper import EventMapper, SnapshotMapper
from eventlog.recorder import LogRecorder, SnapshotRecorder
from eventlog.writer import Writer

SNAPSHOT_INTERVAL = 500  # events of a stream from one snapshot to the next
CACHED_AGGREGATES = 10_000


class Factory(InfrastructureFactory[TrackingRecorder]):
    """Hands our recorders to the library."""

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
        """The database belongs to whoever opened it."""


class Recount(Application[UUID]):
    """Sessions, threads and users of one database."""

    name = "recount"
    is_snapshotting_enabled = True

    def __init__(self, database: Database, views: Views) -> None:
        self.database = database
        self.views = views
        self._snapshot_mapper = SnapshotMapper(KINDS)
        super().__init__()
        self._writer = Writer(self)

    def construct_env(self, name: str, env: EnvType | None = None) -> Environment:
        # The library reads its settings from the process's environment; ours come from api.settings.
        return Environment(
            name,
            {
                "IS_SNAPSHOTTING_ENABLED": "y",
                self.AGGREGATE_CACHE_MAXSIZE: str(CACHED_AGGREGATES),
                # A stale state is found out by its version when it is saved, not by asking first.
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
        return EventStore(self._snapshot_mapper, recorder)

    @property
    def log(self) -> LogRecorder:  # type: ignore[override]
        """The recorder, as what it is."""
        assert isinstance(self.recorder, LogRecorder)
        return self.recorder

    def read(self, stored: StoredEvent) -> Event:
        """The event that ``stored`` holds. Raises RecordUnreadable."""
        event = self.mapper.to_domain_event(stored)
        assert isinstance(event, Event)
        return event

    def submit(self, command: Command, context: Context) -> Future[Outcome]:
        """Have ``command`` carried out; the future is done once it is committed, or refused.

        The future raises Refused, NotFound or Unavailable (see domain.errors).
        """
        return self._writer.submit(command, context)

    def execute(self, command: Command, context: Context) -> Outcome:
        """Carry out ``command`` and wait for the commit. Raises as ``submit`` says."""
        return self.submit(command, context).result()

    def state_of(
        self, kind: type[Aggregate], stream_id: UUID, version: int | None = None
    ) -> Aggregate | None:
        """The recorded state, as of ``version`` or the newest this process knows; None without events."""
        try:
            state: Aggregate = self.repository.get(
                stream_id, version=version, projector_func=kind.project_all
            )
        except AggregateNotFoundError:
            return None
        return state

    def forget(self, stream_id: UUID) -> None:
        """Drop the cached state, so that the next look reads the log."""
        with suppress(KeyError):
            assert self.repository.cache is not None
            self.repository.cache.get(stream_id, evict=True)

    def remember(self, state: Aggregate) -> None:
        assert self.repository.cache is not None
        self.repository.cache.put(state.id, state)

    def take_snapshots(self, changes: Sequence[StreamChange]) -> None:
        """Save the states that passed a multiple of the interval."""
        snapshots = [
            Snapshot(change.state.id, change.state.version, change.state)
            for change in changes
            if change.state.version // SNAPSHOT_INTERVAL
            > (change.state.version - len(change.events)) // SNAPSHOT_INTERVAL
        ]
        # The events are committed: a snapshot that could not be saved only makes a later load slower.
        with suppress(Unavailable):
            if snapshots:
                assert self.snapshots is not None
                self.snapshots.put(snapshots)

    def close(self) -> None:
        """Finish what was submitted, then stop."""
        if hasattr(self, "_writer"):
            self._writer.close()
        super().close()
