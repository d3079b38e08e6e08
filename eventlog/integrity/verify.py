"""Verification of the log: finds where it is not as it was recorded.

Every stored event is hashed again and compared with its link, stream by stream; then every
checkpoint is compared with the links it covers. A report names a place, never what was said there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from pydantic_core import from_json

from recountdb.eventlog.integrity.chain import GENESIS, commitment_to, link_after
from recountdb.eventlog.integrity.checkpoints import BEGINNING, checkpoint_after, checkpoints, leaves_between
from recountdb.eventlog.log.epoch import load_epochs
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "verify")

FETCHED = 5000  # rows of the log in memory at a time

Progress = Callable[[int], object]
"""Callback that is called now and then with the number of events looked at since the last call."""


@dataclass(frozen=True)
class Flaw:
    """A place that is not as it was recorded. ``stream_id`` is None when no stream can be named."""

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
    """A row of the log with the columns that the chain needs."""

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
    """Yield all flaws of the log, each with its place.

    Only the first flaw of a stream is reported, because everything after a broken link depends on it.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield from chain_flaws(connection, progress)
        yield from checkpoint_flaws(connection)


def chain_flaws(connection: Connection, progress: Progress) -> Iterator[Flaw]:
    """Yield the first flaw of each stream."""
    for _, rows in groupby(_stored_links(connection, progress), key=attrgetter("originator_id")):
        flaw = _first_flaw(rows)
        if flaw is not None:
            yield flaw


def _first_flaw(rows: Iterable[StoredLink]) -> Flaw | None:
    """Return the first flaw of one stream's ``rows``, which are in order of version; None without one."""
    version, link = 0, GENESIS
    erased: dict[int, StoredLink] = {}
    for row in rows:
        flaw = flaw_of(row, version, link)
        if flaw is not None:
            return flaw
        version, link = row.originator_version, row.link
        if row.salt is None:
            erased[version] = row
        else:
            for explained in _erasures_of(row, erased):
                erased.pop(explained, None)
    for row in erased.values():
        reason = "the event was erased, though its stream does not say so"
        return Flaw(reason, row.originator_id, row.originator_version, row.notification_id)
    return None


def _erasures_of(row: StoredLink, erased: Collection[int]) -> list[int]:
    """Return the versions that an event says are erased; for a purge, all of ``erased``."""
    match row.topic.partition(".")[2]:
        case "purged":
            return list(erased)
        case "messages-erased":
            versions: list[int] = from_json(row.state)["versions"]
            return versions
        case _:
            return []


def _stored_links(connection: Connection, progress: Progress) -> Iterator[StoredLink]:
    """Yield the whole log by stream and version. Needs an open transaction."""
    with connection.cursor("recount_log") as cursor:
        cursor.execute(SQL["select_log"])
        while rows := cursor.fetchmany(FETCHED):
            for row in rows:
                yield StoredLink(*row)
            progress(len(rows))


def flaw_of(row: StoredLink, version: int, link: bytes) -> Flaw | None:
    """Return the flaw of ``row``, which follows ``version`` with ``link`` in its stream; None without one."""
    if row.originator_version != version + 1:
        return Flaw("the event is missing", row.originator_id, version + 1)
    commitment = commitment_of(row)
    if commitment is None:
        reason = "the event has no salt, and is not as erased ones are"
    elif link_after(link, row, commitment) != row.link:
        reason = "the event is not what was recorded"
    else:
        return None
    return Flaw(reason, row.originator_id, row.originator_version, row.notification_id)


def commitment_of(row: StoredLink) -> bytes | None:
    """Return the commitment to an event: the kept one when it was erased, else computed with the salt.

    None when an event without a salt is not as erased ones are.
    """
    if row.salt is not None:
        return commitment_to(row.salt, row.state.encode())
    try:
        commitment = from_json(row.state)["erased"]["commitment"]
        return bytes.fromhex(commitment) if row.state == _erased_state(row, commitment) else None
    except (ValueError, TypeError, KeyError):
        return None


def _erased_state(row: StoredLink, commitment: str) -> str:
    """Return the state of an erased event exactly as SQL erase_payloads writes it.

    Its members are those of the columns, and the commitment. It is compared to the letter because no hash
    covers it, and reading would hide a member that stands there twice.
    """
    recorded_at = row.recorded_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return (
        f'{{"erased" : {{"commitment" : "{commitment}"}}, '
        f'"recorded_at" : "{recorded_at}", "project" : "{row.project}"}}'
    )


def checkpoint_flaws(connection: Connection) -> Iterator[Flaw]:
    """Yield the first checkpoint that does not fit the links it covers, or the checkpoint before it."""
    position, digest = BEGINNING, GENESIS
    known = [epoch.id for epoch in load_epochs(connection).all]
    number = 0
    for checkpoint in checkpoints(connection):
        leaves = leaves_between(connection, position, checkpoint.position, limit=checkpoint.events + 1)
        between = f"between the positions {max(position, 0)} and {checkpoint.position}"
        if len(leaves) != checkpoint.events:
            yield Flaw(f"{checkpoint.events} events were recorded {between}, now it is not as many")
            return
        if checkpoint_after(digest, checkpoint.epoch, leaves) != checkpoint:
            yield Flaw(f"the events {between} are not those that were recorded there")
            return
        if checkpoint.epoch not in known[number:]:
            yield Flaw(f"the epoch of the checkpoint at position {checkpoint.position} is another")
            return
        number = known.index(checkpoint.epoch)
        position, digest = checkpoint.position, checkpoint.digest
