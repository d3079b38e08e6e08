"""The application: carries out commands on aggregates, built upon the eventsourcing library.

Its repository, cache, snapshots and event store are the library's; the recorder and the mapper are
ours. Commands that arrive together are decided one after the other and committed in one transaction
(see eventlog.write.writer), each caller still answered only after the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import (
    AggregateRecorder,
    EventStore,
    InfrastructureFactory,
    ProcessRecorder,
    TrackingRecorder,
)
from eventsourcing.utils import Environment, EnvType

from recountdb.domain.aggregate import Aggregate
from recountdb.domain.catalog import KINDS, events_by_topic
from recountdb.domain.commands.base import Command
from recountdb.domain.events import Context
from recountdb.eventlog.integrity.chain import Chain
from recountdb.eventlog.log.epoch import Epochs
from recountdb.eventlog.log.event_log import EventLog
from recountdb.eventlog.log.mapper import EventMapper
from recountdb.eventlog.log.recorder import LogRecorder
from recountdb.eventlog.log.snapshots import SnapshotMapper, SnapshotRecorder, SnapshotStore
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.sessions import RunningAppend
from recountdb.eventlog.write.ports import Outcome, Views
from recountdb.eventlog.write.requests import Answer, Request
from recountdb.eventlog.write.states import StreamStates
from recountdb.eventlog.write.transaction import Resources
from recountdb.eventlog.write.writer import Writer

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


class Recount(Application[UUID]):
    """The application: sessions, threads and users of one database."""

    name = "recount"
    mapper: EventMapper
    recorder: LogRecorder
    events: EventLog
    is_snapshotting_enabled = True

    def __init__(self, database: Database, views: Views) -> None:
        self.database = database
        self.views = views
        self._snapshot_mapper = SnapshotMapper(KINDS)
        super().__init__()
        self.states = StreamStates(self.repository, self.events, self.snapshots)
        chain = Chain(self.log.select_links)
        self._writer = Writer(database.conninfo, Resources(self.events, self.states, views, chain))

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

    def construct_mapper(self) -> EventMapper:
        return EventMapper(events_by_topic())

    def construct_event_store(self) -> EventLog:
        return EventLog(self.mapper, self.recorder)

    def construct_snapshot_store(self) -> EventStore[UUID]:
        recorder = self.factory.aggregate_recorder(purpose="snapshots")
        return SnapshotStore(self._snapshot_mapper, recorder)

    @property
    def log(self) -> LogRecorder:  # type: ignore[override]
        """Return the recorder."""
        return self.recorder

    def send(self, command: Command, context: Context, answer: Answer) -> None:
        """Have ``command`` carried out; ``answer`` is called on the writer's thread once it is committed.

        If it is not carried out, ``answer`` is called with the reason: Refused, NotFound or Unavailable (see
        domain.errors).
        """
        self._writer.send(Request(command, context, answer))

    @property
    def running_append(self) -> RunningAppend | None:
        """Return the append that is under way; None when there is none."""
        return self._writer.running_append

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
        return self.states.load(kind, stream_id, version)

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
