"""The erasure follower, which erases from the store what the log says is to be erased.

Once such an event (Purged or MessagesErased) is recorded, reads find nothing. This follower erases the
payloads in the log, and all rows that were made from them, in batches, so that nobody waits long. Every
step is idempotent, so the follower can be killed at any time: the checkpoint ``erasure`` moves only when an
event has been carried out, and the next run finishes what is left of it.

Unlike other followers it erases outside of the transaction that moves its checkpoint. That transaction first
checks every table for leftovers. If there are any, the checkpoint stays, and receipts report them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import sql
from psycopg.sql import Identifier
from pydantic_core import from_json

from recountdb.domain.aggregate import Purged
from recountdb.domain.catalog import events_by_topic
from recountdb.domain.errors import Unavailable
from recountdb.domain.messages import MessagesErased
from recountdb.eventlog.log import erase as log
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.log.reader import BATCH_WEIGHT_MAX
from recountdb.eventlog.log.recorder import SQL as LOG
from recountdb.eventlog.log.rows import Entries, LogEntry
from recountdb.eventlog.postgres.advisory_locks import SHADOW_LOCK
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.followers.follower import SQL as FOLLOW
from recountdb.projections.followers.leader import Lease
from recountdb.projections.queries.leftovers import describe_leftovers, find_leftovers
from recountdb.projections.views.tables import (
    TABLES,
    find_existing_tables,
    replace_table,
    select_stream_tables,
)

SQL = Statements(__name__, "eraser")

NAME = "erasure"
TOPICS = [topic for topic, event in events_by_topic().items() if issubclass(event, Purged | MessagesErased)]
BATCH = 1000  # events or rows in one transaction
POLL_SECONDS = 0.5  # a purge erases what it purged itself, so this finds only what others left
RETRY_SECONDS = 30.0  # between attempts, when something cannot be erased

OF_MESSAGES = {
    "delete_erased_messages": "messages",
    "delete_erased_requests": "requests",
    "narrow_requests": "requests",
}
"""The statements that remove the rows of single messages: statement → the table it works on."""

logger = logging.getLogger(__name__)


class NotErased(Unavailable):
    """Error that says that rows are left of what was purged. It names tables, and no content."""

    def __init__(self, position: int, left: Mapping[str, int]) -> None:
        super().__init__(
            f"what was purged at position {position} is not all erased,"
            f" rows are left in {describe_leftovers(left)}:"
            " look for what writes there, or for missing rights; the next purge tries again"
        )


@dataclass(frozen=True)
class ErasedStream:
    """A stream that is being erased, with all names it had."""

    kind: str
    project: str
    stream_id: UUID
    names: Sequence[str]
    purged_at: datetime


Forget = Callable[[Connection, ErasedStream], object]
"""Removes a stream that is being erased from other rows. May be called again for the same stream."""


def follow_erasures(lead: Lease, forget: Forget) -> None:
    """Erase what the log says is to be erased, until the lead is over."""
    connection = lead.connection
    reached = -1
    while not lead.is_over:
        settled = settled_position(connection)
        pause_seconds = POLL_SECONDS
        if settled > reached:
            try:
                erase_until(connection, settled, forget, lambda: lead.is_over)
                reached = settled
            except NotErased as error:
                logger.error("%s", error)
                pause_seconds = RETRY_SECONDS
        lead.wait(pause_seconds)


def erase_until(
    connection: Connection, settled: int, forget: Forget, is_over: Callable[[], bool] = lambda: False
) -> None:
    """Carry out the erasures recorded up to ``settled``. Several processes may do so at a time.

    Raises Unavailable while the views are being rebuilt, and NotErased when rows are left.
    """
    connection.execute(FOLLOW["begin_follower"], [NAME, 0])
    for entry in find_erasures(connection, settled):
        for _ in erase_in_steps(connection, entry, forget):
            if is_over():
                return
        _complete_erasure(connection, entry)
    connection.execute(FOLLOW["move_checkpoint"], {"name": NAME, "position": settled})


def _complete_erasure(connection: Connection, entry: LogEntry) -> None:
    """Move the checkpoint past an event that has been carried out. Raises NotErased when rows are left."""
    with _undisturbed(connection):
        left = find_leftovers(connection, entry)
        if left:
            raise NotErased(entry.id, left)
        connection.execute(FOLLOW["move_checkpoint"], {"name": NAME, "position": entry.id})


def find_erasures(connection: Connection, settled: int) -> Iterator[LogEntry]:
    """Yield the events after the checkpoint that say that something is to be erased, by position."""
    ((position,),) = connection.execute(FOLLOW["select_checkpoint"], [NAME]).fetchall()
    while True:
        bounds = {"gt": position, "lte": settled, "limit": BATCH, "topics": TOPICS}
        bounds["weight_max"] = BATCH_WEIGHT_MAX
        entries = Entries(connection.execute(LOG["select_notifications"], bounds))
        yield from entries
        if len(entries) < BATCH and not entries.is_cut:
            return
        position = entries[-1].id


def erase_in_steps(connection: Connection, entry: LogEntry, forget: Forget) -> Iterator[None]:
    """Carry out one event, with one transaction per step."""
    kind, _, what = entry.topic.partition(".")
    stream_id = entry.originator_id
    if what == "purged":
        with _undisturbed(connection):
            # This comes before the names are erased: a later run could not find them.
            names = log.names_of(connection, stream_id, lt=entry.originator_version)
            forget(connection, ErasedStream(kind, entry.project, stream_id, names, entry.recorded_at))
        yield from _erase_views(connection, stream_id)
        yield from _erase_stream(connection, stream_id, entry.originator_version)
    else:
        versions: list[int] = from_json(entry.state)["versions"]
        yield from _erase_versions(connection, stream_id, versions)


@contextmanager
def _undisturbed(connection: Connection) -> Iterator[None]:
    """Open a transaction during which no rebuild can run. Raises Unavailable when one is running."""
    with connection.transaction():
        ((is_ours,),) = connection.execute(SQL["try_share"], [SHADOW_LOCK]).fetchall()
        if not is_ours:
            raise Unavailable("the views are being rebuilt or checked: what was purged is erased after that")
        yield


def _erase_views(connection: Connection, stream_id: UUID) -> Iterator[None]:
    """Delete all rows of a purged stream, also from the tables of a rebuild and from previous ones."""
    is_done = False
    while not is_done:
        with _undisturbed(connection):
            tables = find_existing_tables(connection, select_stream_tables(TABLES))
            is_done = all(_delete_some(connection, table, stream_id) < BATCH for table in tables)
        yield


def _delete_some(connection: Connection, table: str, stream_id: UUID) -> int:
    """Delete at most BATCH rows of a stream from a table, and return how many were deleted."""
    statement = sql.SQL(
        "DELETE FROM {0} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {0} WHERE stream_id = %s LIMIT %s))"
    ).format(Identifier(table))
    return connection.execute(statement, [stream_id, BATCH]).rowcount


def _erase_stream(connection: Connection, stream_id: UUID, end: int) -> Iterator[None]:
    """Erase the payloads of a stream before version ``end``, and its snapshots."""
    last = 0
    while versions := log.unerased_versions(connection, stream_id, gt=last, lt=end, limit=BATCH):
        with _undisturbed(connection):
            log.erase_payloads(connection, stream_id, versions)
        last = versions[-1]
        yield
    log.delete_snapshots(connection, stream_id)


def _erase_versions(connection: Connection, stream_id: UUID, versions: Sequence[int]) -> Iterator[None]:
    """Erase these events of a stream that goes on, and the rows made from them."""
    for start in range(0, len(versions), BATCH):
        batch = versions[start : start + BATCH]
        some = {"id": stream_id, "versions": list(batch)}
        with _undisturbed(connection):
            log.erase_payloads(connection, stream_id, batch)
            for statement, table in OF_MESSAGES.items():
                for name in find_existing_tables(connection, [table]):
                    connection.execute(replace_table(SQL[statement], table, name), some)
        yield
