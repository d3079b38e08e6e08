"""Export of the log into a file."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from recountdb.eventlog.archive.lines import (
    FORMAT,
    Archive,
    CheckpointLine,
    Closing,
    EpochMember,
    EventLine,
    Header,
    microseconds,
)
from recountdb.eventlog.integrity.verify import Progress, StoredLink
from recountdb.eventlog.log.epoch import read_settled
from recountdb.eventlog.postgres.database import Connection, translate_errors
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "archive")

FETCHED = 2000  # rows of the log in memory at a time
COMPRESSION = 6


def export_log(connection: Connection, write: Callable[[bytes], object], progress: Progress) -> Archive:
    """Pass all lines of the settled log, as of one moment, to ``write``; others may go on writing."""
    settled, epochs = read_settled(connection)
    digest, checkpoints = sha256(), 0

    def put(line: bytes) -> None:
        digest.update(line)
        write(line)

    with translate_errors(), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        ((events,),) = connection.execute(SQL["count_events"], [settled]).fetchall()
        ((now,),) = connection.execute("SELECT clock_timestamp()").fetchall()
        header = Header(
            format=FORMAT,
            exported_at=microseconds(now),
            settled_position=settled,
            events=events,
            epochs=[EpochMember.of(epoch) for epoch in epochs.all],
        )
        put(header.encoded())
        for number, row in enumerate(_fetched(connection, "select_events", settled), start=1):
            put(EventLine.of(StoredLink(*row)).encoded())
            if number % FETCHED == 0:
                progress(FETCHED)
        for row in _fetched(connection, "select_checkpoints", settled):
            put(_checkpoint_line(*row))
            checkpoints += 1
    write(Closing(events=events, checkpoints=checkpoints, sha256=digest.digest()).encoded())
    return Archive(header, checkpoints, digest.digest())


def _fetched(connection: Connection, statement: str, settled: int) -> Iterator[tuple[Any, ...]]:
    with connection.cursor("recount_export") as cursor:
        cursor.itersize = FETCHED
        yield from cursor.execute(SQL[statement], [settled])


def _checkpoint_line(
    position: int, events: int, root: bytes, digest: bytes, epoch: UUID, taken_at: datetime
) -> bytes:
    return CheckpointLine(
        checkpoint=position,
        events=events,
        root=root,
        digest=digest,
        epoch=epoch,
        taken_at=microseconds(taken_at),
    ).encoded()


@contextmanager
def written(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Open a file for lines. The file appears only once it is whole and on the disk."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            with packed(file) as write:
                yield write
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def packed(file: BinaryIO) -> Iterator[Callable[[bytes], object]]:
    """Yield a function that writes lines gzipped to ``file``; the same lines always make the same file."""
    with gzip.GzipFile(filename="", mode="wb", compresslevel=COMPRESSION, fileobj=file, mtime=0) as zipped:
        yield zipped.write
