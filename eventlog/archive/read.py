"""The lines of a file, each in its order and shape; a line that is not valid is refused by its number."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from pydantic import ValidationError

from recountdb.eventlog.archive.lines import (
    CHECKPOINT,
    CLOSING,
    EVENT,
    HEADER,
    KINDS,
    ArchiveLine,
    ArchiveRefused,
    CheckpointLine,
    Closing,
    EventLine,
    Header,
    Numbered,
    to_moment,
)
from recountdb.eventlog.integrity.checkpoints import BEGINNING
from recountdb.eventlog.integrity.verify import StoredLink

FAMILY = b'{"format":"recount-log/'
GZIP = b"\x1f\x8b"
HEADER_BYTES_MAX = 2_000_000

Source = Callable[[], AbstractContextManager[BinaryIO]]
"""Function that opens the lines of an archive, unpacked, from the start; it can be called repeatedly."""

L = TypeVar("L", bound=ArchiveLine)


class ChecksumWrong(ArchiveRefused):
    """Something in the file is not as it was written."""

    def __init__(self) -> None:
        super().__init__("the file is damaged: its checksum is not that of its lines. Use another copy of it")


@contextmanager
def open_archive(path: Path) -> Iterator[BinaryIO]:
    """Open the lines of a file, unpacked if it is gzipped. Raises ArchiveRefused when that is impossible."""
    if path.exists() and not path.is_file():
        raise ArchiveRefused("the log is read twice, so it must be in a file, not in a pipe or device")
    with path.open("rb") as file, translate_damage():
        is_packed = file.peek(2)[:2] == GZIP
        yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_packed else file


@contextmanager
def translate_damage() -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise _make_truncated() from None
    except (gzip.BadGzipFile, zlib.error):
        raise ArchiveRefused("the file is damaged: it cannot be unpacked. Use another copy of it") from None


def _make_truncated() -> ArchiveRefused:
    return ArchiveRefused("the file is cut off: its last line is missing. Use a whole copy of it")


def walk(stream: Iterable[bytes]) -> Iterator[Numbered]:
    """Yield all lines. The last one is checked before it is yielded.

    Raises ArchiveRefused for a line that is invalid or out of its order, and at the end for a file that
    is not whole; raises ChecksumWrong for one in which anything else was changed.
    """
    digest, counts, before = sha256(), [0, 0, 0, 0], HEADER
    for number, line in enumerate(stream, start=1):
        kind = KINDS.get(line[2 : line.find(b'"', 2)])
        if before == CLOSING or kind is None or kind < before or (kind == HEADER) != (number == 1):
            raise ArchiveRefused(f"line {number} is none that can be there. Use another copy of the file")
        if kind == CLOSING and line != _closing_of(counts, digest.digest()):
            raise ChecksumWrong
        before = kind
        digest.update(line)
        counts[kind] += 1
        yield number, kind, line
    if before != CLOSING:
        raise _make_truncated()


def _closing_of(counts: Sequence[int], digest: bytes) -> bytes:
    return Closing(events=counts[EVENT], checkpoints=counts[CHECKPOINT], sha256=digest).encoded()


def read_header(source: Source) -> Header:
    """Return the content of the first line. Raises ArchiveRefused when it is not that of a log."""
    with source() as stream:
        line = stream.readline(HEADER_BYTES_MAX)
    try:
        header = Header.model_validate_json(line)
        to_moment(header.exported_at)
        for epoch in header.epochs:
            to_moment(epoch.began_at)
    except (ValidationError, OverflowError):
        if line.startswith(FAMILY) and not line.startswith(FAMILY + b'1"'):
            reason = "was written by a newer Recount: use that version, or a newer one"
        else:
            reason = "is not a log that 'recount log export' wrote"
        raise ArchiveRefused(f"the file {reason}") from None
    return header


@dataclass(frozen=True)
class NumberedEvent:
    """An event, the number of its line, and the line's size in bytes."""

    number: int
    size: int
    row: StoredLink

    def refused(self, reason: str) -> ArchiveRefused:
        return ArchiveRefused(f"line {self.number} (position {self.row.notification_id}): {reason}")


def events_in(lines: Iterable[Numbered]) -> Iterator[NumberedEvent]:
    """Yield the events. Raises ArchiveRefused unless each has a greater position than the one before it."""
    last = BEGINNING
    for number, _, line in lines:
        event = _parse_archive_line(EventLine, number, line)
        try:
            row = event.row()
        except OverflowError:
            raise _not_readable(number) from None
        numbered = NumberedEvent(number, len(line), row)
        if row.notification_id <= last:
            raise numbered.refused("the event is not in its place")
        last = row.notification_id
        yield numbered


def checkpoints_in(lines: Iterable[Numbered]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the checkpoints. Raises ArchiveRefused for a line that cannot be read."""
    for number, _, line in lines:
        found = _parse_archive_line(CheckpointLine, number, line)
        try:
            taken_at = to_moment(found.taken_at)
            yield found.checkpoint, found.events, found.root, found.digest, found.epoch, taken_at
        except OverflowError:
            raise _not_readable(number) from None


def _parse_archive_line(kind: type[L], number: int, line: bytes) -> L:
    try:
        return kind.model_validate_json(line)
    except ValidationError:  # suppressed because it quotes what was said
        raise _not_readable(number) from None


def _not_readable(number: int) -> ArchiveRefused:
    return ArchiveRefused(f"line {number} is not as 'recount log export' writes it")
