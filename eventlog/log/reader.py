"""Reading the log back: by stream, by project, and by position."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from eventsourcing.persistence import ApplicationRecorder, StoredEvent

from recountdb.eventlog.log.epoch import Epochs, LogPosition, Settled, load_epochs, read_settled
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.log.rows import Entries, MessageChange, make_stored_event
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "log")

BATCH_WEIGHT_MAX = 4 * 2**20
"""Approximate bytes of payloads that are read at a time; a single event may be larger."""


class LogReader(ApplicationRecorder, ABC):
    """The half of the recorder that reads (see eventlog.log.recorder for the half that writes)."""

    def __init__(self, database: Database) -> None:
        self.database = database

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
        return [make_stored_event(row) for row in self.database.fetch(sql, bounds)]

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
        return [make_stored_event(row) for row in self.database.fetch(SQL["select_after"], bounds)]

    def find_changes(self, originator_id: UUID, *, lte: int) -> list[MessageChange]:
        """Return the changes of a stream's messages after they were added, oldest first, without payloads."""
        rows = self.database.fetch(SQL["find_changes"], {"id": originator_id, "lte": lte})
        return [MessageChange(UUID(message_id), version, weight) for message_id, version, weight in rows]

    def select_versions(self, originator_id: UUID, versions: Sequence[int]) -> Sequence[StoredEvent]:
        """Return a stream's events at these versions, oldest first."""
        bounds = {"id": originator_id, "versions": list(versions)}
        return [make_stored_event(row) for row in self.database.fetch(SQL["select_versions"], bounds)]

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
