"""The rows of the log, as they are written and as they are read back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import Notification, StoredEvent

from recountdb.eventlog.log.epoch import Epochs


@dataclass(frozen=True)
class StoredRow(StoredEvent):
    """A stored event with the columns that the log is searched by."""

    originator_id: UUID
    project: str
    recorded_at: datetime


class Link(NamedTuple):
    """The columns that make a stored event a link of its stream's chain (see eventlog.integrity.chain).

    ``salt`` is None once the payload was erased.
    """

    salt: bytes | None
    link: bytes


@dataclass(frozen=True)
class LogEntry(Notification):
    """A stored event with its place in the order of the whole log, ``id``; gaps are normal.

    ``epoch`` is the name of the epoch that the event was recorded in (see eventlog.log.epoch); None unless it
    was asked for.
    """

    originator_id: UUID
    project: str
    recorded_at: datetime
    epoch: str | None = None

    @property
    def place(self) -> str:
        """Return the position as text, with the epoch unless that is the first (see eventlog.log.epoch)."""
        is_first = self.epoch is None or self.epoch.startswith("1-")
        return str(self.id) if is_first else f"{self.epoch}:{self.id}"


class Entries(list[LogEntry]):
    """Entries that were read together, of ``weight`` or a little more.

    ``is_cut``: more of the requested entries exist, but would have been too heavy.
    """

    def __init__(self, rows: Iterable[tuple[Any, ...]], epochs: Epochs | None = None) -> None:
        """Take ``rows`` as the statements of eventlog/log/sql/log.sql yield them, number and weight last."""
        found = list(rows)
        super().__init__(make_entry(row[:-2], epochs) for row in found)
        self.is_cut = bool(found) and found[0][-2] > len(found)
        self.weight = int(found[-1][-1] or 0) if found else 0


class MessageChange(NamedTuple):
    """An event that changed a message: the message, the stream's version, and the event's weight in bytes."""

    message_id: UUID
    version: int
    weight: int


def make_stored_event(row: tuple[Any, ...]) -> StoredEvent:
    stream_id, version, topic, state = row
    return StoredEvent(stream_id, version, topic, state.encode())


def make_entry(row: tuple[Any, ...], epochs: Epochs | None = None) -> LogEntry:
    position, stream_id, version, project, topic, recorded_at, state = row
    return LogEntry(
        originator_id=stream_id,
        originator_version=version,
        topic=topic,
        state=state.encode(),
        id=position,
        project=project,
        recorded_at=recorded_at,
        epoch=None if epochs is None else epochs.epoch_of(position).name,
    )
