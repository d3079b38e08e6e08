"""The erasure follower: carries out what the log says is to be erased.

An event says so (a Purged one, or MessagesErased) and from then on reads find nothing; the payloads in
the log, and all rows that were made of them, go here, in batches, so that nobody waits long. Every step
may be done again, so it can be killed at any time: the checkpoint ``erasure`` is moved when an event is
carried out, and whoever goes on finds what is left of it.

Unlike other followers it erases outside of the transaction that moves its checkpoint. But that transaction
first looks whether anything is left, in whatever table there is. Where something is, the checkpoint stays,
and receipts say so.
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
from recountdb.eventlog.log.recorder import BATCH_WEIGHT_MAX, Entries, LogEntry
from recountdb.eventlog.log.recorder import SQL as LOG
from recountdb.eventlog.postgres.advisory_locks import SHADOW_LOCK
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.followers.follower import SQL as FOLLOW
from recountdb.projections.followers.leader import Lead
from recountdb.projections.queries.leftovers import describe, leftovers_of
from recountdb.projections.views.tables import TABLES, by_stream, existing, instead

SQL = Statements(__name__, "eraser")

NAME = "erasure"
TOPICS = [topic for topic, event in events_by_topic().items() if issubclass(event, Purged | MessagesErased)]
BATCH = 1000  # events or rows in one transaction
POLL_SECONDS = 0.5  # who purges also erases, so this finds what others left
RETRY_SECONDS = 30.0  # from one try to the next, where something cannot be erased

OF_MESSAGES = {
    "delete_erased_messages": "messages",
    "delete_erased_requests": "requests",
    "narrow_requests": "requests",
}
"""What takes the rows of single messages away: statement → the table it is about."""

logger = logging.getLogger(__name__)


class NotErased(Unavailable):
    """Something of what was purged is still there though it was erased. Names tables, no content."""

    def __init__(self, position: int, left: Mapping[str, int]) -> None:
        super().__init__(
            f"what was purged at position {position} is not all erased, rows are left in {describe(left)}:"
            " look for what writes there, or for missing rights; the next purge tries again"
        )


@dataclass(frozen=True)
class Subject:
    """A stream that is being erased, with all names it had."""

    kind: str
    project: str
    stream_id: UUID
    names: Sequence[str]
    purged_at: datetime


Forget = Callable[[Connection, Subject], object]
"""Has other rows forget a stream that is being erased. May be called again for the same one."""


def keep_erasing(lead: Lead, forget: Forget) -> None:
    """Erase whatever the log says is to be erased, until the lead is over."""
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
    """Carry out what was said up to ``settled``; several may do so at a time.

    Raises Unavailable while the views are being made again, and NotErased.
    """
    connection.execute(FOLLOW["begin_follower"], [NAME, 0])
    for entry in erasures_until(connection, settled):
        for _ in steps(connection, entry, forget):
            if is_over():
                return
        finish(connection, entry)
    connection.execute(FOLLOW["move_checkpoint"], {"name": NAME, "position": settled})


def finish(connection: Connection, entry: LogEntry) -> None:
    """Move the checkpoint behind an event that is carried out. Raises NotErased where it is not."""
    with _undisturbed(connection):
        left = leftovers_of(connection, entry)
        if left:
            raise NotErased(entry.id, left)
        connection.execute(FOLLOW["move_checkpoint"], {"name": NAME, "position": entry.id})


def erasures_until(connection: Connection, settled: int) -> Iterator[LogEntry]:
    """The events behind the checkpoint that say that something is to be erased, by position."""
    ((position,),) = connection.execute(FOLLOW["select_checkpoint"], [NAME]).fetchall()
    while True:
        bounds = {"gt": position, "lte": settled, "limit": BATCH, "topics": TOPICS}
        bounds["weight_max"] = BATCH_WEIGHT_MAX
        entries = Entries(connection.execute(LOG["select_notifications"], bounds))
        yield from entries
        if len(entries) < BATCH and not entries.is_cut:
            return
        position = entries[-1].id


def steps(connection: Connection, entry: LogEntry, forget: Forget) -> Iterator[None]:
    """Carry out one event, a transaction at each step."""
    kind, _, what = entry.topic.partition(".")
    stream_id = entry.originator_id
    if what == "purged":
        with _undisturbed(connection):
            # Before the names are erased, too: who comes later could not find them.
            names = log.names_of(connection, stream_id, lt=entry.originator_version)
            forget(connection, Subject(kind, entry.project, stream_id, names, entry.recorded_at))
        yield from _erase_views(connection, stream_id)
        yield from _erase_stream(connection, stream_id, entry.originator_version)
    else:
        versions: list[int] = from_json(entry.state)["versions"]
        yield from _erase_versions(connection, stream_id, versions)


@contextmanager
def _undisturbed(connection: Connection) -> Iterator[None]:
    """A transaction in which the views are not being made again. Raises Unavailable where they are."""
    with connection.transaction():
        ((is_ours,),) = connection.execute(SQL["try_share"], [SHADOW_LOCK]).fetchall()
        if not is_ours:
            raise Unavailable("the views are being rebuilt or checked: what was purged is erased after that")
        yield


def _erase_views(connection: Connection, stream_id: UUID) -> Iterator[None]:
    """Delete all rows of a purged stream, also of views put aside."""
    is_done = False
    while not is_done:
        with _undisturbed(connection):
            tables = existing(connection, by_stream(TABLES))
            is_done = all(_delete_some(connection, table, stream_id) < BATCH for table in tables)
        yield


def _delete_some(connection: Connection, table: str, stream_id: UUID) -> int:
    """Delete rows of a stream, so many at most; returns how many these were."""
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
    """Erase these events of a stream that goes on, and what rows there are of them."""
    for start in range(0, len(versions), BATCH):
        batch = versions[start : start + BATCH]
        some = {"id": stream_id, "versions": list(batch)}
        with _undisturbed(connection):
            log.erase_payloads(connection, stream_id, batch)
            for statement, table in OF_MESSAGES.items():
                for name in existing(connection, [table]):
                    connection.execute(instead(SQL[statement], table, name), some)
        yield
