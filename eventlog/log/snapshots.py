"""Snapshots: saved states from which a long stream is loaded faster. They are a cache and may be deleted."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import AggregateRecorder, EventStore, JSONTranscoder, Mapper, StoredEvent
from pydantic import TypeAdapter, ValidationError

from recountdb.domain.aggregate import Aggregate, Snapshot
from recountdb.eventlog.log.rows import make_stored_event
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "log")


class SnapshotStore(EventStore[UUID]):
    """Store that passes over a snapshot it cannot read: snapshots are a cache, and the events are there."""

    def get(self, originator_id: UUID, **bounds: Any) -> Iterator[DomainEventProtocol[UUID]]:
        try:
            snapshots = list(super().get(originator_id, **bounds))
        except ValidationError:
            snapshots = []
        return iter(snapshots)


class SnapshotRecorder(AggregateRecorder):
    """Recorder of snapshots of the given ``topics``; it sees no others."""

    def __init__(self, database: Database, topics: Sequence[str]) -> None:
        self.database = database
        self._topics = list(topics)

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        rows = [
            {
                "id": stored.originator_id,
                "version": stored.originator_version,
                "topic": stored.topic,
                "state": stored.state.decode(),
            }
            for stored in stored_events
        ]
        with self.database.connection() as connection, connection.cursor() as cursor:
            cursor.executemany(SQL["insert_snapshot"], rows)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        bounds = {"id": originator_id, "gt": gt, "lte": lte, "limit": limit, "topics": self._topics}
        return [make_stored_event(row) for row in self.database.fetch(SQL["select_snapshots"], bounds)]


class SnapshotMapper(Mapper[UUID]):
    """Mapper of snapshots. A snapshot of another shape than today's has another topic, and is never read."""

    def __init__(self, kinds: Mapping[str, type[Aggregate]]) -> None:
        super().__init__(JSONTranscoder())
        self._adapters = {_snapshot_topic(kind): TypeAdapter(kind) for kind in kinds.values()}

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        snapshot = domain_event
        assert isinstance(snapshot, Snapshot)
        topic = _snapshot_topic(type(snapshot.state))
        return StoredEvent(
            originator_id=snapshot.originator_id,
            originator_version=snapshot.originator_version,
            topic=topic,
            state=self._adapters[topic].dump_json(snapshot.state),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Snapshot:
        state = self._adapters[stored_event.topic].validate_json(stored_event.state)
        assert isinstance(stored_event.originator_id, UUID)
        return Snapshot(stored_event.originator_id, stored_event.originator_version, state)

    @property
    def topics(self) -> list[str]:
        return list(self._adapters)


def _snapshot_topic(kind: type[Aggregate]) -> str:
    """Return a topic that changes with the members of the state, so that no old snapshot is misread."""
    members = ",".join(sorted(kind.__dataclass_fields__))
    return f"{kind.KIND}.snapshot.{zlib.crc32(members.encode()):08x}"
