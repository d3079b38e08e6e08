"""Whether the log is what was recorded: looks for the first thing that is not.

Every stored event is hashed anew and compared with its link, stream by stream; then every
checkpoint with the links it covers. What is reported names a place, never what was said there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic_core import from_json

from eventlog.chain import GENESIS, commitment_to, link_after
from eventlog.checkpoints import BEGINNING, checkpoint_after, checkpoints, leaves_between
from eventlog.database import Connection
from eventlog.statements import Statements

SQL = Statements("eventlog", "verification")

FETCHED = 5000  # rows of the log in memory at a time

Progress = Callable[[int], object]
"""Called now and then with how many events were looked at since."""


@dataclass(frozen=True)
class Flaw:
    """Something is not as it was recorded. ``stream_id`` is None where no stream can be named."""

    reason: str
    stream_id: UUID | None = None
    version: int | None = None
    position: int | None = None

    def __str__(self) -> str:
        places = {"stream": self.stream_id, "version": self.version, "position": self.position}
        named = ", ".join(f"{name} {value}" for name, value in places.items() if value is not None)
        return f"{named}: {self.reason}" if named else self.reason


@dataclass(frozen=True)
class StoredLink:
    """A row of the log with what the chain needs of it."""

    notification_id: int
    originator_id: UUID
    originator_version: int
    project: str
    topic: str
    recorded_at: datetime
    state: str
    salt: bytes | None
    link: bytes


def log_flaws(connection: Connection, progress: Progress = lambda count: None) -> Iterator[Flaw]:
    """All flaws of the log, each with its place; none where it is as it was recorded.

    Within a stream only the first is told: what follows a broken link hangs on it.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield from chain_flaws(connection, progress)
        yield from checkpoint_flaws(connection)


def chain_flaws(connection: Connection, progress: Progress) -> Iterator[Flaw]:
    """The first flaw of each stream."""
    stream_id, version, link, is_broken = None, 0, GENESIS, False
    for row in stored_links(connection, progress):
        if row.originator_id != stream_id:
            stream_id, version, link, is_broken = row.originator_id, 0, GENESIS, False
        if is_broken:
            continue
        flaw = flaw_of(row, version, link)
        if flaw is not None:
            is_broken = True
            yield flaw
        version, link = row.originator_version, row.link


def stored_links(connection: Connection, progress: Progress) -> Iterator[StoredLink]:
    """The whole log by stream and version. Needs an open transaction."""
    with connection.cursor("recount_log") as cursor:
        cursor.execute(SQL["select_log"])
        while rows := cursor.fetchmany(FETCHED):
            for row in rows:
                yield StoredLink(*row)
            progress(len(rows))


def flaw_of(row: StoredLink, version: int, link: bytes) -> Flaw | None:
    """What is wrong with ``row``, which follows ``version`` with ``link`` in its stream."""
    if row.originator_version != version + 1:
        return Flaw("the event is missing", row.originator_id, version + 1)
    commitment = commitment_of(row)
    if commitment is None:
        reason = "the event has no salt, though it was not erased"
    elif link_after(link, row, commitment) != row.link:
        reason = "the event is not what was recorded"
    else:
        return None
    return Flaw(reason, row.originator_id, row.originator_version, row.notification_id)


def commitment_of(row: StoredLink) -> bytes | None:
    """Of an erased event, what it kept; else worked out anew, which takes the salt."""
    if row.salt is not None:
        return commitment_to(row.salt, row.state.encode())
    try:
        return bytes.fromhex(from_json(row.state)["erased"]["commitment"])
    except (ValueError, TypeError, KeyError):
        return None


def checkpoint_flaws(connection: Connection) -> Iterator[Flaw]:
    """The first checkpoint that does not fit the links it covers, or the one before it."""
    position, digest = BEGINNING, GENESIS
    for checkpoint in checkpoints(connection):
        leaves = leaves_between(connection, position, checkpoint.position, limit=checkpoint.events + 1)
        between = f"between the positions {max(position, 0)} and {checkpoint.position}"
        if len(leaves) != checkpoint.events:
            yield Flaw(f"{checkpoint.events} events were recorded {between}, now it is not as many")
            return
        if checkpoint_after(digest, leaves) != checkpoint:
            yield Flaw(f"the events {between} are not those that were recorded there")
            return
        position, digest = checkpoint.position, checkpoint.digest
