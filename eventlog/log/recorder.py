"""The recorder: writes events together with their rows in one transaction, and reads them back.

The library's recorder locks the table and notifies inside each append, which lets one writer in
at a time. This one takes a shared advisory lock before it draws positions, so that any number of
writers append side by side and a reader can still tell which positions are settled (see
eventlog.log.order).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    Notification,
    StoredEvent,
)
from pydantic_core import to_json

from recountdb.eventlog.integrity.chain import Link
from recountdb.eventlog.log.epoch import Epochs, LogPosition, Settled, load_epochs, read_settled
from recountdb.eventlog.log.mapper import StoredRow
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.log.subscription import LogSubscription
from recountdb.eventlog.postgres.clock import elapsed_seconds
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "log")


@lru_cache(maxsize=256)
def append_statement(writes: tuple[str, ...]) -> str:
    """Return one statement that inserts events and carries out ``writes``; it yields positions and the time.

    Its parts see the database as it was before, so no two of them may touch the same row.
    """
    parts = [f"events AS ({SQL['insert_events']})"]
    parts += [f"write_{number} AS ({sql})" for number, sql in enumerate(writes)]
    inserted = "SELECT notification_id, clock_timestamp() FROM events ORDER BY notification_id"
    return f"WITH {', '.join(parts)} {inserted}"


class Write(NamedTuple):
    """A part of the appending statement: ``sql`` brings ``rows``, a JSON array, into ``table``."""

    table: str
    sql: str
    rows: Sequence[dict[str, Any]]


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


BATCH_WEIGHT_MAX = 4 * 2**20
"""Approximate bytes of payloads that are read at a time; a single event may be larger."""


class Change(NamedTuple):
    """An event that changed a message: the message, the stream's version, and the event's weight in bytes."""

    message_id: UUID
    version: int
    weight: int


class Entries(list[LogEntry]):
    """Entries that were read together, of ``weight`` or a little more.

    ``is_cut``: more of the requested entries exist, but would have been too heavy.
    """

    def __init__(self, rows: Iterable[tuple[Any, ...]], epochs: Epochs | None = None) -> None:
        """Take ``rows`` as the statements of eventlog/log/sql/log.sql yield them, number and weight last."""
        found = list(rows)
        super().__init__(entry_from(row[:-2], epochs) for row in found)
        self.is_cut = bool(found) and found[0][-2] > len(found)
        self.weight = int(found[-1][-1] or 0) if found else 0


class LogRecorder(ApplicationRecorder):
    """Recorder of the log of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        links: Sequence[Link] = (),
        connection: Connection | None = None,
        writes: Sequence[Write] = (),
        **kwargs: Any,
    ) -> Sequence[int]:
        """Append events with their ``links`` and carry out ``writes``: all or nothing, in one round trip.

        Return the positions, in the order of the events. A ``connection`` may have a transaction open,
        which its caller then commits. Raises VersionConflict when a version exists already.
        """
        if connection is None:
            with self.database.connection() as pooled:
                return self._insert(pooled, stored_events, links, writes)
        return self._insert(connection, stored_events, links, writes)

    def _insert(
        self,
        connection: Connection,
        stored_events: Sequence[StoredEvent],
        links: Sequence[Link],
        writes: Sequence[Write],
    ) -> list[int]:
        sql = append_statement(tuple(write.sql for write in writes))
        rows = [_events_as_json(stored_events, links), *(as_json(write.rows) for write in writes)]
        asked_at = elapsed_seconds()
        # One statement is one round trip, and a transaction by itself when none is open.
        inserted = connection.execute(sql, rows, prepare=True).fetchall()
        if inserted:
            self.database.clock.take(inserted[-1][1], asked_at=asked_at)
        return [position for position, _ in inserted]

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return events of one stream, versions above ``gt`` up to ``lte``; oldest first unless ``desc``."""
        sql = SQL["select_events_descending"] if desc else SQL["select_events"]
        bounds = {"id": originator_id, "gt": gt, "lte": lte, "limit": limit}
        return [stored_from(row) for row in self.database.fetch(sql, bounds)]

    def select_stream(
        self,
        originator_id: UUID,
        *,
        gt: int,
        lt: int,
        limit: int,
        desc: bool = False,
        weight_max: int | None = BATCH_WEIGHT_MAX,
    ) -> Entries:
        """Return one stream's entries, versions between ``gt`` and ``lt``; oldest first unless ``desc``."""
        sql = SQL["select_stream_descending"] if desc else SQL["select_stream"]
        bounds = {"id": originator_id, "gt": gt, "lt": lt, "limit": limit, "weight_max": weight_max}
        return self.select_entries(sql, bounds, prepare=True)

    def select_links(self, versions: Mapping[UUID, int]) -> dict[UUID, bytes]:
        """Return the chain's link at each of these versions (by stream), unless it is missing."""
        bounds = {"ids": list(versions), "versions": list(versions.values())}
        return dict(self.database.fetch(SQL["select_links"], bounds))

    def select_after(self, versions: Mapping[UUID, int], *, limit: int) -> Sequence[StoredEvent]:
        """Return events after these versions (by stream), up to ``limit`` of each; by stream and version."""
        bounds = {"ids": list(versions), "versions": list(versions.values()), "limit": limit}
        return [stored_from(row) for row in self.database.fetch(SQL["select_after"], bounds)]

    def find_changes(self, originator_id: UUID, *, lte: int) -> list[Change]:
        """Return the changes of a stream's messages after they were added, oldest first, without payloads."""
        rows = self.database.fetch(SQL["find_changes"], {"id": originator_id, "lte": lte})
        return [Change(UUID(message_id), version, weight) for message_id, version, weight in rows]

    def select_versions(self, originator_id: UUID, versions: Sequence[int]) -> Sequence[StoredEvent]:
        """Return a stream's events at these versions, oldest first."""
        bounds = {"id": originator_id, "versions": list(versions)}
        return [stored_from(row) for row in self.database.fetch(SQL["select_versions"], bounds)]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Entries:
        """Return entries by position.

        The result is complete only up to a settled position (see eventlog.log.order).
        """
        gt = None if start is None else start - inclusive_of_start
        bounds = {"gt": gt, "lte": stop, "topics": list(topics) or None, "limit": limit}
        bounds["weight_max"] = BATCH_WEIGHT_MAX
        return Entries(self.database.fetch(SQL["select_notifications"], bounds))

    def select_project(
        self,
        project: str,
        *,
        gt: int,
        lt: int,
        limit: int,
        topics: Sequence[str] = (),
        stream_id: UUID | None = None,
        desc: bool = False,
        epochs: Epochs | None = None,
        weight_max: int | None = BATCH_WEIGHT_MAX,
    ) -> Entries:
        """Return one project's entries, positions between ``gt`` and ``lt``; oldest first unless ``desc``.

        The result is complete only up to a settled position (see eventlog.log.order). ``epochs`` are those
        that the bounds belong to. Raises OlderEpoch when the log is in another epoch by now.
        """
        sql = SQL["select_project_descending"] if desc else SQL["select_project"]
        bounds = {
            "project": project,
            "gt": gt,
            "lt": lt,
            "topics": list(topics) or None,
            "stream": stream_id,
            "limit": limit,
            "weight_max": weight_max,
        }
        return self.select_entries(sql, bounds, within=epochs)

    def select_entries(
        self, sql: str, bounds: dict[str, Any], *, within: Epochs | None = None, prepare: bool = False
    ) -> Entries:
        """Return the entries that a statement finds, with their epochs.

        Raises OlderEpoch when the log is no longer in the last epoch of ``within``.
        """

        def read(connection: Connection) -> Entries:
            rows = connection.execute(sql, bounds, prepare=prepare).fetchall()
            # An epoch is stored before its events, so loading the epochs afterwards misses none.
            epochs = load_epochs(connection)
            if within is not None:
                epochs.check(LogPosition(within.current.name, bounds["gt"]))
            return Entries(rows, epochs)

        return self.database.read(read)

    def settled_position(self) -> int:
        """Return the settled position (see eventlog.log.order.settled_position)."""
        return self.database.read(settled_position)

    def settled(self) -> Settled:
        """Return the settled position with the epochs that it belongs to."""
        return self.database.read(read_settled)

    def version_at(self, originator_id: UUID, moment: datetime) -> int:
        """Return the version a stream had at ``moment``; 0 before it began.

        Times do not run backwards within a stream, so this looks at as many events as the number
        of versions has binary digits.
        """
        low, high = 0, self.last_version(originator_id)
        while low < high:
            middle = (low + high + 1) // 2
            ((recorded_at,),) = self.database.fetch(SQL["select_time"], (originator_id, middle))
            low, high = (middle, high) if recorded_at <= moment else (low, middle - 1)
        return low

    def last_version(self, originator_id: UUID) -> int:
        """Return the newest version of a stream; 0 when it has none."""
        ((version,),) = self.database.fetch(SQL["select_last_version"], (originator_id,))
        return int(version)

    def position_of(self, originator_id: UUID, version: int) -> int | None:
        """Return the position of an event; None when it does not exist."""
        for (position,) in self.database.fetch(SQL["select_position"], (originator_id, version)):
            return int(position)
        return None

    def max_notification_id(self) -> int | None:
        ((position,),) = self.database.fetch("SELECT max(notification_id) FROM stored_events")
        return None if position is None else int(position)

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> LogSubscription:
        """Yield entries after ``gt``, in order, then live: none missed, none repeated."""
        return LogSubscription(self, gt=gt, topics=topics)


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
        return [stored_from(row) for row in self.database.fetch(SQL["select_snapshots"], bounds)]


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    return to_json(rows).decode()


def _events_as_json(stored_events: Sequence[StoredEvent], links: Sequence[Link]) -> str:
    """Return the rows as a JSON array, with each payload verbatim in its place."""
    rows = (_event_as_json(*row) for row in zip(stored_events, links, strict=True))
    return (b"[" + b",".join(rows) + b"]").decode()


def _event_as_json(stored: StoredEvent, link: Link) -> bytes:
    assert isinstance(stored, StoredRow)
    columns = to_json(
        {
            "originator_id": stored.originator_id,
            "originator_version": stored.originator_version,
            "project": stored.project,
            "topic": stored.topic,
            "recorded_at": stored.recorded_at,
            "salt": _bytea(link.salt),
            "link": _bytea(link.link),
        }
    )
    return b'%b,"state":%b}' % (columns[:-1], stored.state)


def _bytea(value: bytes | None) -> str | None:
    """Return bytes as PostgreSQL reads them from text."""
    return None if value is None else rf"\x{value.hex()}"


def stored_from(row: tuple[Any, ...]) -> StoredEvent:
    stream_id, version, topic, state = row
    return StoredEvent(stream_id, version, topic, state.encode())


def entry_from(row: tuple[Any, ...], epochs: Epochs | None = None) -> LogEntry:
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
