"""Appends to the log by hand, in transactions that stay open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

from recountdb.domain.sessions import MetadataMerged
from recountdb.eventlog.integrity.chain import Chain
from recountdb.eventlog.log.mapper import EventMapper
from recountdb.eventlog.log.recorder import LogRecorder
from recountdb.eventlog.postgres.database import Connection, Database, connect
from tests.support.processes import context


def append_event(connection: Connection, database: Database, stream_id: UUID | None = None) -> int:
    """Append one event to a new stream, or ``stream_id``, as the log does it; return its position."""
    envelope = context().envelope(stream_id or uuid4(), 1, not_before=None)
    event = MetadataMerged(**envelope, metadata={})
    log, rows = LogRecorder(database), [EventMapper({}).to_stored_event(event)]
    links = Chain(log.select_links).links_for(rows)
    (position,) = log.insert_events(rows, links=links, connection=connection)
    return position


@contextmanager
def hold_transaction(conninfo: str) -> Iterator[Connection]:
    """Yield a connection with an open transaction; it is rolled back at the end, unless the test ends it."""
    with connect(conninfo) as connection:
        connection.execute("BEGIN")
        yield connection


def committed_positions(database: Database) -> list[int]:
    """Return the positions of all committed events."""
    rows = database.fetch("SELECT notification_id FROM stored_events ORDER BY notification_id")
    return [position for (position,) in rows]
