"""Erasure of what was said: payloads and their salts are deleted, the events stay.

An erased event keeps its place in the log, its topic, its time and the commitment to what it said, so
the chain of its stream still holds (see eventlog.integrity.chain) and tells nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from recountdb.domain.aggregate import Started
from recountdb.domain.catalog import events_by_topic
from recountdb.domain.sessions import SessionRenamed
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "erase")

NAMING = [topic for topic, event in events_by_topic().items() if issubclass(event, Started | SessionRenamed)]
"""Topics of the events that name a stream."""


def unerased_versions(connection: Connection, stream_id: UUID, *, gt: int, lt: int, limit: int) -> list[int]:
    """Return versions between ``gt`` and ``lt`` whose payloads are not erased, ascending."""
    bounds = {"id": stream_id, "gt": gt, "lt": lt, "limit": limit}
    return [version for (version,) in connection.execute(SQL["select_unerased"], bounds)]


def erase_payloads(connection: Connection, stream_id: UUID, versions: Sequence[int]) -> None:
    """Erase the payloads of these events. An event that is erased already stays as it is."""
    connection.execute(SQL["erase_payloads"], {"id": stream_id, "versions": list(versions)})


def delete_snapshots(connection: Connection, stream_id: UUID) -> None:
    """Delete a stream's snapshots. Call it after erasing; nobody saves another (see SQL insert_snapshot)."""
    connection.execute(SQL["delete_snapshots"], [stream_id])


def names_of(connection: Connection, stream_id: UUID, *, lt: int) -> list[str]:
    """Return all names that a stream had before a version, unless they are erased."""
    bounds = {"id": stream_id, "lt": lt, "topics": NAMING}
    return [name for (name,) in connection.execute(SQL["select_names"], bounds)]
