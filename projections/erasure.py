"""The erasure follower: carries out what the log says is to be erased.

An event says so (a Purged one, or MessagesErased) and from then on reads find nothing; the payloads in
the log, and all rows that were made of them, go here, in batches, so that nobody waits long. Every step
may be done again, so it can be killed at any time: the checkpoint ``erasure`` is moved when an event is
carried out, and whoever goes on finds what is left of it.

Unlike other followers it erases outside of the transaction that moves its checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import sql
from psycopg.sql import Identifier
from pydantic_core import from_json

from domain.aggregate import Purged
from domain.catalog import events_by_topic
from domain.errors import Unavailable
from domain.messages import MessagesErased
from eventlog import erasure as log
from eventlog.advisory import SHADOW_LOCK
from eventlog.database import Connection
from eventlog.order import settled_position
from eventlog.recorder import LogEntry, entry_from
from eventlog.statements import Statements
from projections.follow import LOG
from projections.follow import SQL as FOLLOW
from projections.leading import Lead
from projections.shadow import DROPPED, LIVE, PREVIOUS, SHADOW, TABLES, by_stream

SQL = Statements("projections", "erasure")

NAME = "erasure"
TOPICS = [topic for topic, event in events_by_topic().items() if issubclass(event, Purged | MessagesErased)]
BATCH = 1000  # events or rows in one transaction
POLL_SECONDS = 0.5  # who purges also erases, so this finds what others left
OLDER_SECONDS_MAX = 60.0  # that scrubbing waits for transactions from before
SCHEMAS = [LIVE, PREVIOUS, SHADOW, DROPPED]
"""Where there may be rows: views in use, put aside, of a rebuild that was stopped, or about to go."""


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
        if settled > reached:
            erase_until(connection, settled, forget, lambda: lead.is_over)
            reached = settled
        lead.wait(POLL_SECONDS)


def erase_until(
    connection: Connection, settled: int, forget: Forget, is_over: Callable[[], bool] = lambda: False
) -> None:
    """Carry out what was said up to ``settled``; several may do so at a time.

    Raises Unavailable while the views are being made again.
    """
    connection.execute(FOLLOW["begin_follower"], [NAME, 0])
    for entry in erasures_until(connection, settled):
        for _ in steps(connection, entry, forget):
            if is_over():
                return
        connection.execute(FOLLOW["move_checkpoint"], {"name": NAME, "position": entry.id})
    connection.execute(FOLLOW["move_checkpoint"], {"name": NAME, "position": settled})


def erasures_until(connection: Connection, settled: int) -> Iterator[LogEntry]:
    """The events behind the checkpoint that say that something is to be erased, by position."""
    ((position,),) = connection.execute(FOLLOW["select_checkpoint"], [NAME]).fetchall()
    while True:
        bounds = {"gt": position, "lte": settled, "limit": BATCH, "topics": TOPICS}
        entries = [entry_from(row) for row in connection.execute(LOG["select_notifications"], bounds)]
        yield from entries
        if len(entries) < BATCH:
            return
        position = entries[-1].id


def steps(connection: Connection, entry: LogEntry, forget: Forget) -> Iterator[None]:
    """Carry out one event, a transaction at each step."""
    kind, _, what = entry.topic.partition(".")
    stream_id = entry.originator_id
    if what == "purged":
        with undisturbed(connection):
            # Before the names are erased, too: who comes later could not find them.
            names = log.names_of(connection, stream_id, lt=entry.originator_version)
            forget(connection, Subject(kind, entry.project, stream_id, names, entry.recorded_at))
        yield from erase_views(connection, stream_id)
        yield from erase_stream(connection, stream_id, entry.originator_version)
    else:
        versions: list[int] = from_json(entry.state)["versions"]
        yield from erase_versions(connection, stream_id, versions)


@contextmanager
def undisturbed(connection: Connection) -> Iterator[None]:
    """A transaction in which the views are not being made again. Raises Unavailable where they are."""
    with connection.transaction():
        ((is_ours,),) = connection.execute(SQL["try_share"], [SHADOW_LOCK]).fetchall()
        if not is_ours:
            raise Unavailable("the views are being rebuilt or checked: what was purged is erased after that")
        yield


def erase_views(connection: Connection, stream_id: UUID) -> Iterator[None]:
    """Delete all rows of a purged stream, also of views put aside."""
    tables = {"schemas": SCHEMAS, "tables": by_stream(TABLES)}
    for schema, table in connection.execute(SQL["existing_tables"], tables).fetchall():
        statement = sql.SQL(
            "DELETE FROM {0} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {0} WHERE stream_id = %s LIMIT %s))"
        ).format(Identifier(schema, table))
        deleted = BATCH
        while deleted == BATCH:
            with undisturbed(connection):
                deleted = connection.execute(statement, [stream_id, BATCH]).rowcount
            yield


def erase_stream(connection: Connection, stream_id: UUID, end: int) -> Iterator[None]:
    """Erase the payloads of a stream before version ``end``, and its snapshots."""
    last = 0
    while versions := log.unerased_versions(connection, stream_id, gt=last, lt=end, limit=BATCH):
        with undisturbed(connection):
            log.erase_payloads(connection, stream_id, versions)
        last = versions[-1]
        yield
    log.delete_snapshots(connection, stream_id)


def erase_versions(connection: Connection, stream_id: UUID, versions: Sequence[int]) -> Iterator[None]:
    """Erase these events of a stream that goes on, and what rows there are of them."""
    for start in range(0, len(versions), BATCH):
        batch = versions[start : start + BATCH]
        some = {"id": stream_id, "versions": list(batch)}
        with undisturbed(connection):
            log.erase_payloads(connection, stream_id, batch)
            for schema in SCHEMAS:
                connection.execute(SQL["look_into"], [schema])
                connection.execute(SQL["delete_erased_messages"], some)
                connection.execute(SQL["delete_erased_requests"], some)
                connection.execute(SQL["narrow_requests"], some)
        yield


def scrub(connection: Connection) -> None:
    """Rewrite all tables and their indexes, so that nothing of what was erased is left on their pages.

    Whoever uses a table waits while it is rewritten. What the planner remembers of values is made again, too.
    Raises Unavailable where a transaction is open that can still see what was erased.
    """
    wait_for_older_transactions(connection)
    for schema, table in connection.execute(SQL["scrub_tables"]).fetchall():
        connection.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(Identifier(schema, table)))
    connection.execute("CHECKPOINT")  # the old files go with it


def wait_for_older_transactions(connection: Connection) -> None:
    """A table that is rewritten keeps all rows that an open transaction may still look at."""
    ((now,),) = connection.execute(SQL["next_transaction"]).fetchall()
    deadline = time.monotonic() + OLDER_SECONDS_MAX
    while connection.execute(SQL["older_transactions"], [now]).fetchone() != (0,):
        if time.monotonic() > deadline:
            raise Unavailable("a transaction from before the purge is still open: scrub when it has ended")
        time.sleep(0.1)
