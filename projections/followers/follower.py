"""Followers, which read the log in order, each event once, and keep a checkpoint of their position.

A follower handles a batch of events in the transaction that moves its checkpoint, so everything it writes
to this database is written exactly once. An effect elsewhere is written down as a row, which another
component then carries out at least once (see projections.followers.webhooks).

An event that a follower cannot handle parks its stream: the stream's later events wait, in order, until
somebody resumes it; all other streams go on. Nothing is copied for that: the events are in the log, and
the parked stream's row says from which version on they wait.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from recountdb.domain.errors import NotFound
from recountdb.eventlog.log.notifier import EVENTS_CHANNEL
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.log.reader import BATCH_WEIGHT_MAX
from recountdb.eventlog.log.recorder import SQL as LOG
from recountdb.eventlog.log.rows import Entries, LogEntry
from recountdb.eventlog.postgres.channels import listen
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.eventlog.postgres.failures import OUTAGES
from recountdb.eventlog.postgres.statements import Statements
from recountdb.eventlog.tracing import span
from recountdb.projections.followers.leader import Lease

SQL = Statements(__name__, "follower")

BATCH_MAX = 500
ATTEMPTS_MAX = 3  # to handle a single event, before its stream is parked
RETRY_SECONDS = 0.1
POLL_SECONDS = 0.5  # notifications can be lost, so none is relied on
LOOK_SECONDS = 0.01  # minimum pause between reads of the log: a busy log is read in larger pieces

logger = logging.getLogger(__name__)


class Follower(Protocol):
    """Component that follows the log.

    ``name``: must be stable, because the checkpoint is kept under it. ``topics``: the events that it wants;
    None means all. ``begins_now``: a new follower begins with the events recorded from then on, instead of
    with the first event of the log.
    """

    @property
    def name(self) -> str: ...
    @property
    def topics(self) -> Sequence[str] | None: ...
    @property
    def begins_now(self) -> bool: ...

    def handle(self, connection: Connection, entries: Sequence[LogEntry]) -> None:
        """Write what follows from ``entries`` (one or more, by position) through ``connection``.

        A transaction is open on the connection; neither commit nor roll it back. Raise Unavailable to be
        called again later; any other exception says that one of the entries cannot be handled.
        """


@dataclass(frozen=True)
class ParkedStream:
    """Stream that a follower has parked.

    ``version``: the version of the event that could not be handled. ``error``: the class of the exception.
    """

    follower: str
    stream_id: UUID
    version: int
    error: str
    since: datetime


@dataclass(frozen=True)
class Lag:
    """Distance between a follower and the end of the log.

    ``events``: the newest position minus the follower's, an upper bound of the events it has not handled.
    ``seconds``: time since the first event that it has not handled was recorded; 0 when there is none.
    """

    follower: str
    position: int
    events: int
    seconds: float
    parked_streams: int


def follow_log(lead: Lease, follower: Follower) -> None:
    """Keep ``follower`` up with the log until the lead is over."""
    connection = lead.connection
    create_checkpoint(connection, follower)
    listen(connection, EVENTS_CHANNEL)
    reached = -1  # so that an idle log costs no transactions
    while not lead.is_over:
        settled = settled_position(connection)
        while settled > reached and not lead.is_over:
            if not advance(connection, follower, settled):
                reached = settled
        time.sleep(LOOK_SECONDS)
        lead.wait(POLL_SECONDS)


def create_checkpoint(connection: Connection, follower: Follower) -> None:
    """Create the follower's checkpoint if it has none."""
    start = settled_position(connection) if follower.begins_now else 0
    connection.execute(SQL["begin_follower"], [follower.name, start])


def lock_checkpoint(connection: Connection, name: str) -> int:
    """Lock and return the follower's position until the transaction ends. Raises NotFound."""
    for (position,) in connection.execute(SQL["lock_checkpoint"], [name]):
        return int(position)
    raise NotFound("follower")


def advance(
    connection: Connection, follower: Follower, settled: int, *, limit: int = BATCH_MAX, attempt: int = 1
) -> bool:
    """Handle one batch of events up to ``settled``, and return whether more may be left."""
    entries: Sequence[LogEntry] = ()
    try:
        with connection.transaction():
            position = lock_checkpoint(connection, follower.name)
            entries, end = _batch_after(connection, follower, position, settled, limit)
            _handle_batch(connection, follower, entries, end)
            return end < settled
    except OUTAGES:  # the same batch is retried later, by the process that gets the lead then
        raise
    except Exception as error:
        if not entries:
            raise
        # The transaction was rolled back, so nothing of the batch was handled.
        if len(entries) > 1:  # ever smaller batches find the one that fails
            return advance(connection, follower, settled, limit=len(entries) // 2)
        if attempt == ATTEMPTS_MAX:
            _park(connection, follower, entries[0], error)
            return True
    time.sleep(RETRY_SECONDS)
    return advance(connection, follower, settled, limit=1, attempt=attempt + 1)


def _batch_after(
    connection: Connection, follower: Follower, position: int, settled: int, limit: int
) -> tuple[Sequence[LogEntry], int]:
    """Return the next events that the follower wants, and its position after them."""
    if position >= settled:
        return (), position
    bounds = {"gt": position, "lte": settled, "limit": limit, "topics": _topics_of(follower)}
    bounds["weight_max"] = BATCH_WEIGHT_MAX
    entries = Entries(connection.execute(LOG["select_notifications"], bounds))
    # Otherwise nothing more is left for it up to the settled position.
    has_more = entries.is_cut or len(entries) == limit
    return entries, entries[-1].id if has_more else settled


def _handle_batch(connection: Connection, follower: Follower, entries: Sequence[LogEntry], end: int) -> None:
    """Handle ``entries``, except those of parked streams, and move the checkpoint to ``end``."""
    if entries:
        streams = list({entry.originator_id for entry in entries})
        found = connection.execute(SQL["select_parked_among"], [follower.name, streams])
        parked = {stream for (stream,) in found}
        wanted = [entry for entry in entries if entry.originator_id not in parked]
        if wanted:
            with span("follow", follower=follower.name, events=len(wanted)):
                follower.handle(connection, wanted)
    connection.execute(SQL["move_checkpoint"], {"name": follower.name, "position": end})


def _park(connection: Connection, follower: Follower, entry: LogEntry, error: Exception) -> None:
    """Park the stream from ``entry`` on, and move the checkpoint past it."""
    with connection.transaction():
        row = {
            "follower": follower.name,
            "stream_id": entry.originator_id,
            "version": entry.originator_version,
            "error": _class_of(error),
        }
        connection.execute(SQL["park_stream"], row)
        connection.execute(SQL["move_checkpoint"], {"name": follower.name, "position": entry.id})
    logger.error(
        "%s cannot handle version %s of stream %s (%s): the stream is parked, others go on",
        *(follower.name, entry.originator_version, entry.originator_id, _class_of(error)),
    )


def _class_of(error: Exception) -> str:
    """Return the name of the error's class. Its text is left out because it may quote messages."""
    return type(error).__qualname__


def _topics_of(follower: Follower) -> list[str] | None:
    return None if follower.topics is None else list(follower.topics)


def resume_streams(
    database: Database, follower: Follower, stream_id: UUID | None = None
) -> list[ParkedStream]:
    """Handle the waiting events of one parked stream, or of all, and return the streams still parked.

    May run beside a server that follows. Raises NotFound when ``stream_id`` is not parked.
    """
    parked = [
        one for one in list_parked_streams(database, follower.name) if stream_id in (None, one.stream_id)
    ]
    if not parked and stream_id is not None:
        raise NotFound("parked stream")
    with database.connection() as connection:
        for one in parked:
            while _resume_batch(connection, follower, one.stream_id, BATCH_MAX):
                pass
    resumed = {one.stream_id for one in parked}
    return [one for one in list_parked_streams(database, follower.name) if one.stream_id in resumed]


def _resume_batch(connection: Connection, follower: Follower, stream_id: UUID, limit: int) -> bool:
    """Handle the next waiting events of a parked stream, up to the checkpoint.

    Returns whether to call it again. An event that still cannot be handled stays parked, with all after it.
    """
    entries: Sequence[LogEntry] = ()
    try:
        with connection.transaction():
            # While this lock is held, no events are added to those that wait.
            position = lock_checkpoint(connection, follower.name)
            key = {"follower": follower.name, "stream_id": stream_id}
            bounds = {"position": position, "topics": _topics_of(follower), "limit": limit}
            bounds["weight_max"] = BATCH_WEIGHT_MAX
            entries = Entries(connection.execute(SQL["select_parked_entries"], key | bounds))
            if entries:
                follower.handle(connection, entries)
            if len(entries) < limit and not entries.is_cut:
                connection.execute(SQL["unpark_stream"], key)
                return False
            connection.execute(SQL["move_parked"], key | {"version": entries[-1].originator_version + 1})
            return True
    except OUTAGES:
        raise
    except Exception as error:
        if not entries:
            raise
        if limit > 1:  # events before the failing one are handled one by one
            return all(_resume_batch(connection, follower, stream_id, 1) for _ in entries)
        first = entries[0]
        row = {"version": first.originator_version, "error": _class_of(error)}
        connection.execute(SQL["park_stream"], {"follower": follower.name, "stream_id": stream_id, **row})
        return False


def list_parked_streams(database: Database, follower: str | None = None) -> list[ParkedStream]:
    """Return the parked streams of one follower, or of all (None), the longest parked first."""
    return [ParkedStream(*row) for row in database.fetch(SQL["select_parked"], {"follower": follower})]


def measure_lags(database: Database) -> list[Lag]:
    """Return the lag of each follower, by name."""
    return [Lag(*row) for row in database.fetch(SQL["select_lags"])]
