"""The log as events: the rows that the recorder stores and finds, translated by the mapper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import EventStore, StoredEvent

from recountdb.domain.events import Event
from recountdb.eventlog.log.mapper import EventMapper
from recountdb.eventlog.log.recorder import LogRecorder
from recountdb.eventlog.log.rows import StoredRow


class EventLog(EventStore[UUID]):
    """The library's event store, with the questions that only our recorder answers.

    All its reading methods raise RecordUnreadable when a payload cannot be understood.
    """

    mapper: EventMapper
    recorder: LogRecorder

    def to_event(self, stored: StoredEvent) -> Event:
        """Return the event that ``stored`` holds."""
        return self.mapper.to_domain_event(stored)

    def to_row(self, event: DomainEventProtocol[UUID]) -> StoredRow:
        """Return ``event`` as it is stored."""
        return self.mapper.to_stored_event(event)

    def get_events(self, stream_id: UUID, *, gt: int, lte: int) -> Iterator[Event]:
        """Yield a stream's events of versions above ``gt`` up to ``lte``, oldest first."""
        return map(self.to_event, self.recorder.select_events(stream_id, gt=gt, lte=lte))

    def get_versions(self, stream_id: UUID, versions: Sequence[int]) -> Iterator[Event]:
        """Yield a stream's events at these versions, oldest first."""
        return map(self.to_event, self.recorder.select_versions(stream_id, versions))

    def get_after(self, versions: Mapping[UUID, int], *, limit: int) -> Iterator[Event]:
        """Yield events after these versions (by stream), up to ``limit`` of each; by stream and version."""
        return map(self.to_event, self.recorder.select_after(versions, limit=limit))
