"""The recorder: writes events together with the rows of the views in one transaction.

The library's recorder locks the table and notifies inside each append, which lets one writer in
at a time. This one takes a shared advisory lock before it draws positions, so that any number of
writers append side by side and a reader can still tell which positions are settled (see
eventlog.log.order).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from eventsourcing.persistence import StoredEvent
from pydantic_core import to_json

from recountdb.eventlog.log.reader import LogReader
from recountdb.eventlog.log.rows import Link, StoredRow
from recountdb.eventlog.log.subscription import LogSubscription
from recountdb.eventlog.postgres.clock import elapsed_seconds
from recountdb.eventlog.postgres.database import Connection
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


class LogRecorder(LogReader):
    """Recorder of the log of one database."""

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
        # The clock ignores the time of an answer that took long, so it must know when it was asked for.
        asked_at = elapsed_seconds()
        # One statement is one round trip, and a transaction by itself when none is open.
        inserted = connection.execute(sql, rows, prepare=True).fetchall()
        if inserted:
            self.database.clock.take(inserted[-1][1], asked_at=asked_at)
        return [position for position, _ in inserted]

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> LogSubscription:
        """Yield entries after ``gt``, in order, then live: none missed, none repeated."""
        return LogSubscription(self, gt=gt, topics=topics)


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
