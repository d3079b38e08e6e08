"""Import of the log of a file into an empty store.

Before the import, the whole file is read for its checksum, and nothing is touched when that is wrong. Then
every event is hashed and compared with its link before it is stored, many in one transaction, together with
the position that the import reached; so an interrupted import goes on there. Until it is finished nobody
else can append: a constraint of the table enforces that, and no crash lifts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import Any
from uuid import UUID

from psycopg import errors

from recountdb.domain.errors import Unavailable
from recountdb.eventlog.archive.check import BATCH_EVENTS, Heads, batches
from recountdb.eventlog.archive.lines import (
    CHECKPOINT,
    CLOSING,
    EVENT,
    Archive,
    ArchiveRefused,
    Closing,
    Header,
    Numbered,
    to_moment,
)
from recountdb.eventlog.archive.read import NumberedEvent, Source, checkpoints_in, events_in, walk
from recountdb.eventlog.integrity.checkpoints import BEGINNING
from recountdb.eventlog.integrity.verify import Progress, StoredLink, checkpoint_flaws
from recountdb.eventlog.log.recorder import SQL as LOG
from recountdb.eventlog.postgres.advisory_locks import CHECKPOINT_LOCK, IMPORT_LOCK
from recountdb.eventlog.postgres.database import UNFINISHED_IMPORT, Connection, translate_errors
from recountdb.eventlog.postgres.exclusive_locks import exclusive, store_lock
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "archive")

CHECKPOINT_SECONDS_MAX = 30.0  # the longest that taking one may last

columns = attrgetter(*(field.name for field in fields(StoredLink)))


class ImportUnfinished(Unavailable):
    """The store holds a part of a log."""

    def __init__(self) -> None:
        super().__init__(UNFINISHED_IMPORT)


@contextmanager
def hold_import_locks(connection: Connection) -> Iterator[None]:
    """Hold the locks of imports and of checkpoints for the block. Raises Unavailable when one is taken."""
    imports = store_lock(connection, IMPORT_LOCK)
    checkpoints = store_lock(connection, CHECKPOINT_LOCK)
    refusal = Unavailable("another import of a log is under way: wait until it is done")
    busy = Unavailable("a checkpoint is just being taken: try again when that is done")
    with (
        exclusive(connection, imports, refusal=refusal),
        exclusive(connection, checkpoints, refusal=busy, patience_seconds=CHECKPOINT_SECONDS_MAX),
    ):
        yield


def refuse_unfinished(connection: Connection) -> None:
    """Raise ImportUnfinished when the store holds a part of a log."""
    if connection.execute(SQL["select_unfinished"]).fetchall():
        raise ImportUnfinished


def is_imported(connection: Connection, archive: Archive) -> bool:
    """Return whether this very log was imported here before, to its end."""
    ((is_there,),) = connection.execute(SQL["is_finished"], [archive.digest]).fetchall()
    return bool(is_there)


def import_log(connection: Connection, source: Source, archive: Archive, progress: Progress) -> None:
    """Store the events and checkpoints of a checked archive, or those that are missing.

    Afterwards the log is still closed to all others until ``finish_import``; build its views before that.
    Raises ArchiveRefused when the store has other events, or when the archive does not hold; then nothing
    of it is kept. Call this within ``hold_import_locks``.
    """
    with translate_errors():
        reached = _begin(connection, archive)
        try:
            _store(connection, source, archive, reached, progress)
        except ArchiveRefused:
            _take_back(connection)
            raise


def _begin(connection: Connection, archive: Archive) -> int:
    """Close the log to others, or find it closed by this import; return the position that it reached."""
    with connection.transaction():
        for digest, exported_at, reached in connection.execute(SQL["select_unfinished"]):
            if digest != archive.digest:
                raise ArchiveRefused(
                    "an import of another log was interrupted here: go on with the file that was exported"
                    f" at {exported_at:%Y-%m-%d %H:%M:%S} UTC, or import this one into a new database"
                )
            return int(reached)
        connection.execute(SQL["close_log"])  # waits for appends under way
        if connection.execute(SQL["has_events"]).fetchone() == (True,):
            raise ArchiveRefused(
                "the store has events already: import a log into a new database or data directory"
            )
        connection.execute(SQL["begin_import"], [archive.digest, archive.exported_at, BEGINNING])
    return BEGINNING


def _store(
    connection: Connection, source: Source, archive: Archive, reached: int, progress: Progress
) -> None:
    heads = Heads(partial(_find_links, connection))
    with connection.transaction():
        connection.execute(SQL["delete_checkpoints"])  # a server may have taken some between two attempts
    with source() as stream:
        for kind, lines in groupby(walk(stream), key=itemgetter(1)):
            if kind == EVENT:
                for batch in batches(events_in(lines)):
                    _store_missing(connection, batch, reached, heads)
                    progress(len(batch))
            elif kind == CHECKPOINT:
                with refuse_impossible_rows("the lines of checkpoints"):
                    store_rows(connection, "insert_checkpoints", checkpoints_in(lines))
            elif kind == CLOSING:
                _refuse_other(archive, *lines)
    _store_epochs(connection, archive.header)  # before the checkpoints are checked: their digests name epochs
    for flaw in checkpoint_flaws(connection):
        raise ArchiveRefused(f"a checkpoint does not hold: {flaw}")
    connection.execute(SQL["set_sequence"], {"settled": archive.header.settled_position})
    connection.execute(SQL["analyze"])


def _store_epochs(connection: Connection, header: Header) -> None:
    """Take over the epochs of the log that was exported, and begin another."""
    settled = {"settled": header.settled_position}
    rows = [
        (one.number, one.id, one.shared_through, one.begins_after, to_moment(one.began_at))
        for one in header.epochs
    ]
    with refuse_impossible_rows("the epochs of the first line"), connection.transaction():
        connection.execute(SQL["delete_epochs"])
        store_rows(connection, "insert_epochs", rows)
        connection.execute(SQL["begin_after_import"], settled)
        connection.execute(SQL["note_settled"], settled)


def _refuse_other(archive: Archive, closing: Numbered) -> None:
    if Closing.model_validate_json(closing[2]).sha256 != archive.digest:
        raise ArchiveRefused("the file was changed while it was read: import it again")


def _find_links(connection: Connection, versions: Mapping[UUID, int]) -> dict[UUID, bytes]:
    bounds = {"ids": list(versions), "versions": list(versions.values())}
    return dict(connection.execute(LOG["select_links"], bounds).fetchall())


def _store_missing(
    connection: Connection, batch: Sequence[NumberedEvent], reached: int, heads: Heads
) -> None:
    """Append the events after ``reached``, and note the new position, in one transaction."""
    events = [event for event in batch if event.row.notification_id > reached]
    if not events:
        return
    heads.check(events)
    with refuse_impossible_rows(f"lines {events[0].number} to {events[-1].number}"), connection.transaction():
        connection.execute(SQL["allow_here"])
        store_rows(connection, "insert_events", (columns(event.row) for event in events))
        connection.execute(SQL["note_reached"], [events[-1].row.notification_id])


@contextmanager
def refuse_impossible_rows(what: str) -> Iterator[None]:
    """Turn PostgreSQL's errors about rows that no log can hold into ArchiveRefused."""
    try:
        yield
    except (errors.DataError, errors.IntegrityError) as error:
        raise ArchiveRefused(f"{what} hold what no log can hold ({error.sqlstate})") from None


def store_rows(connection: Connection, statement: str, rows: Iterable[Sequence[Any]]) -> None:
    """Store all rows or none; each statement takes the columns of many rows.

    COPY is not used because it has no time limit: within one, PostgreSQL waits for ever for a process that
    stands still, and so would the next import.
    """
    remaining = iter(rows)
    with connection.transaction():
        while some := list(islice(remaining, BATCH_EVENTS)):
            connection.execute(SQL[statement], list(map(list, zip(*some, strict=True))))


def _take_back(connection: Connection) -> None:
    """Restore the log as it was before the import: empty, and open to all."""
    with connection.transaction():
        for statement in ("delete_events", "delete_checkpoints", "delete_epochs", "first_epoch"):
            connection.execute(SQL[statement])
        connection.execute(SQL["note_settled"], {"settled": 0})
        for statement in ("delete_import", "open_log"):
            connection.execute(SQL[statement])


def finish_import(connection: Connection) -> None:
    """Open the log to all."""
    with translate_errors(), connection.transaction():
        connection.execute(SQL["finish_import"])
        connection.execute(SQL["open_log"])
