"""The log as a file, and back: events, ids and hashes unchanged, whatever PostgreSQL is at either end.

The file is gzipped text, each line a JSON object without spaces, its members in this order:

    {"format","exported_at","settled_position","events"}        "recount-log/1", once, first
    {"position","stream","version","project","topic",           each event, by position
     "recorded_at","state","salt","link"}
    {"checkpoint","events","root","digest","taken_at"}          each checkpoint, by position
    {"events","checkpoints","sha256"}                           once, last

Times are microseconds since 1970-01-01 UTC, bytes are lower-case hexadecimal. ``state`` is the payload's
stored text, byte for byte, as a string: it is hashed, and an object would come back spelled otherwise.
``salt`` is null where the payload was erased, and ``state`` then holds its commitment. The last line
counts what is above it, and has the SHA-256 of all lines above it, newlines included.

An import first reads the whole file for that sum, and touches nothing where it is wrong. Then every event
is hashed and compared with its link before it is stored, many in one transaction, together with how far
the import got; so one that was interrupted goes on there. Until it is finished nobody else can append:
a constraint of the table sees to that, which no crash lifts.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, TypeVar, cast
from uuid import UUID

from psycopg import errors
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import RecountError, Unavailable
from eventlog.advisory import CHECKPOINT_LOCK, IMPORT_LOCK
from eventlog.chain import EPOCH, GENESIS, HEADS_MAX, MICROSECOND, Head
from eventlog.checkpoints import BEGINNING
from eventlog.database import UNFINISHED_IMPORT, Connection, told
from eventlog.order import settled_position
from eventlog.statements import Statements
from eventlog.verification import Progress, StoredLink, checkpoint_flaws, flaw_of

SQL = Statements("eventlog", "archive")
LOG = Statements("eventlog", "log")

FORMAT: Literal["recount-log/1"] = "recount-log/1"
FAMILY = b'{"format":"recount-log/'
GZIP = b"\x1f\x8b"
COMPRESSION = 6

FETCHED = 2000  # rows of the log in memory at a time
BATCH_EVENTS = 2000
BATCH_BYTES = 8_000_000
"""An import commits after so many events, or so many bytes of them, whichever comes first."""

HEADER, EVENT, CHECKPOINT, CLOSING = range(4)
KINDS = {b"format": HEADER, b"position": EVENT, b"checkpoint": CHECKPOINT, b"events": CLOSING}
"""What a line is, by its first member."""

Numbered = tuple[int, int, bytes]
"""A line with its number before it, and what it is."""

columns = attrgetter(*(field.name for field in fields(StoredLink)))

FindLinks = Callable[[Mapping[UUID, int]], Mapping[UUID, bytes]]

Source = Callable[[], AbstractContextManager[BinaryIO]]
"""Opens the lines of an archive, unpacked, at their beginning; more than once."""


class ArchiveRefused(RecountError):
    """The file is not a whole and true log, or this store cannot take it. Nothing of it was kept."""


class ChecksumWrong(ArchiveRefused):
    """Something in the file is not as it was written."""

    def __init__(self) -> None:
        super().__init__("the file is damaged: its checksum is not that of its lines. Use another copy of it")


class ImportUnfinished(Unavailable):
    """The store holds a part of a log."""

    def __init__(self) -> None:
        super().__init__(UNFINISHED_IMPORT)


Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""What the database and the hashes can take."""


class Line(BaseModel):
    """What all lines have in common: they are read as strictly as they are written."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, ser_json_bytes="hex", val_json_bytes="hex"
    )

    def encoded(self) -> bytes:
        return self.__pydantic_serializer__.to_json(self) + b"\n"


class Header(Line):
    """``events``: how many there are, all up to ``settled_position``."""

    format: Literal["recount-log/1"]
    exported_at: Number
    settled_position: Number
    events: Number


class EventLine(Line):
    position: Number
    stream: UUID
    version: Number
    project: str
    topic: Annotated[str, Field(max_length=1000)]
    recorded_at: Number
    state: str
    salt: bytes | None
    link: bytes


class CheckpointLine(Line):
    checkpoint: Number
    events: Number
    root: bytes
    digest: bytes
    taken_at: Number


class Closing(Line):
    events: int
    checkpoints: int
    sha256: bytes


L = TypeVar("L", bound=Line)


@dataclass(frozen=True)
class Archive:
    """A whole log in a file. ``digest``: over all its lines but the last; it names the file."""

    header: Header
    checkpoints: int
    digest: bytes

    @property
    def exported_at(self) -> datetime:
        return moment(self.header.exported_at)


def microseconds(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


# Out


def export_log(connection: Connection, write: Callable[[bytes], object], progress: Progress) -> Archive:
    """Hand all lines of the settled log to ``write``, as they are at one moment; others may go on writing."""
    settled = settled_position(connection)
    digest, checkpoints = sha256(), 0

    def put(line: bytes) -> None:
        digest.update(line)
        write(line)

    with told(), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        ((events,),) = connection.execute(SQL["count_events"], [settled]).fetchall()
        now = microseconds(datetime.now(UTC))
        header = Header(format=FORMAT, exported_at=now, settled_position=settled, events=events)
        put(header.encoded())
        for number, row in enumerate(fetched(connection, "select_events", settled), start=1):
            put(event_line(StoredLink(*row)))
            if number % FETCHED == 0:
                progress(FETCHED)
        for row in fetched(connection, "select_checkpoints", settled):
            put(checkpoint_line(*row))
            checkpoints += 1
    write(Closing(events=events, checkpoints=checkpoints, sha256=digest.digest()).encoded())
    return Archive(header, checkpoints, digest.digest())


def fetched(connection: Connection, statement: str, settled: int) -> Iterator[tuple[Any, ...]]:
    with connection.cursor("recount_export") as cursor:
        cursor.itersize = FETCHED
        yield from cursor.execute(SQL[statement], [settled])


def event_line(row: StoredLink) -> bytes:
    return EventLine.model_construct(
        position=row.notification_id,
        stream=row.originator_id,
        version=row.originator_version,
        project=row.project,
        topic=row.topic,
        recorded_at=microseconds(row.recorded_at),
        state=row.state,
        salt=row.salt,
        link=row.link,
    ).encoded()


def checkpoint_line(position: int, events: int, root: bytes, digest: bytes, taken_at: datetime) -> bytes:
    return CheckpointLine(
        checkpoint=position, events=events, root=root, digest=digest, taken_at=microseconds(taken_at)
    ).encoded()


@contextmanager
def written(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Takes the lines of a file. It appears when it is whole and on the disk, never before."""
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
    """Takes lines and writes them gzipped to ``file``; the same lines always make the same file."""
    with gzip.GzipFile(filename="", mode="wb", compresslevel=COMPRESSION, fileobj=file, mtime=0) as zipped:
        yield zipped.write


# What a file holds


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The lines of a file, unpacked if it is gzipped. Raises ArchiveRefused where that cannot be done."""
    if path.exists() and not path.is_file():
        raise ArchiveRefused("the log is read twice, so it must be in a file, not in a pipe or device")
    with path.open("rb") as file, damage_told():
        is_packed = file.peek(2)[:2] == GZIP
        yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_packed else file


@contextmanager
def damage_told() -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise cut_off() from None
    except (gzip.BadGzipFile, zlib.error):
        raise ArchiveRefused("the file is damaged: it cannot be unpacked. Use another copy of it") from None


def cut_off() -> ArchiveRefused:
    return ArchiveRefused("the file is cut off: its last line is missing. Use a whole copy of it")


def walk(stream: Iterable[bytes]) -> Iterator[Numbered]:
    """All lines. The last is checked before it comes.

    Raises ArchiveRefused for a line that is none or out of its order, and at the end for a file that
    is not whole; ChecksumWrong for one in which anything else was changed.
    """
    digest, counts, before = sha256(), [0, 0, 0, 0], HEADER
    for number, line in enumerate(stream, start=1):
        kind = KINDS.get(line[2 : line.find(b'"', 2)])
        if before == CLOSING or kind is None or kind < before or (kind == HEADER) != (number == 1):
            raise ArchiveRefused(f"line {number} is none that can be there. Use another copy of the file")
        if kind == CLOSING and line != closing_of(counts, digest.digest()):
            raise ChecksumWrong
        before = kind
        digest.update(line)
        counts[kind] += 1
        yield number, kind, line
    if before != CLOSING:
        raise cut_off()


def closing_of(counts: Sequence[int], digest: bytes) -> bytes:
    return Closing(events=counts[EVENT], checkpoints=counts[CHECKPOINT], sha256=digest).encoded()


def header_of(source: Source) -> Header:
    """What the first line says. Raises ArchiveRefused where it is not that of a log."""
    with source() as stream:
        line = stream.readline(1000)
    try:
        header = Header.model_validate_json(line)
        moment(header.exported_at)
    except (ValidationError, OverflowError):
        if line.startswith(FAMILY) and not line.startswith(FAMILY + b'1"'):
            reason = "was written by a newer Recount: use that version, or a newer one"
        else:
            reason = "is not a log that 'recount log export' wrote"
        raise ArchiveRefused(f"the file {reason}") from None
    return header


def check(source: Source, progress: Progress) -> Archive:
    """Read everything once, for its checksum. Raises ArchiveRefused, which names the line if it can."""
    header, last = header_of(source), b""
    try:
        with source() as stream:
            for number, _, line in walk(stream):
                last = line
                if number % FETCHED == 0:
                    progress(FETCHED)
    except ChecksumWrong:
        tell_where(source)
        raise
    closing = Closing.model_validate_json(last)
    if closing.events != header.events:
        raise ArchiveRefused(f"the file should hold {header.events} events, but it has {closing.events}")
    return Archive(header, closing.checkpoints, closing.sha256)


def tell_where(source: Source) -> None:
    """Raises ArchiveRefused for the first event that is not what was recorded, if it is an event."""
    heads = Heads()
    with source() as stream, suppress(ChecksumWrong):
        for kind, lines in groupby(walk(stream), key=itemgetter(1)):
            if kind == EVENT:
                for batch in batches(events_in(lines)):
                    heads.check(batch)


# Whether it holds


@dataclass(frozen=True)
class NumberedEvent:
    """An event and the line it is on, with how many bytes that has."""

    number: int
    size: int
    row: StoredLink

    def refused(self, reason: str) -> ArchiveRefused:
        return ArchiveRefused(f"line {self.number} (position {self.row.notification_id}): {reason}")


def events_in(lines: Iterable[Numbered]) -> Iterator[NumberedEvent]:
    """The events, each at a position behind the one before it. Raises ArchiveRefused."""
    last = BEGINNING
    for number, _, line in lines:
        event = parsed(EventLine, number, line)
        try:
            row = StoredLink(
                notification_id=event.position,
                originator_id=event.stream,
                originator_version=event.version,
                project=event.project,
                topic=event.topic,
                recorded_at=moment(event.recorded_at),
                state=event.state,
                salt=event.salt,
                link=event.link,
            )
        except OverflowError:
            raise not_readable(number) from None
        numbered = NumberedEvent(number, len(line), row)
        if row.notification_id <= last:
            raise numbered.refused("the event is not in its place")
        last = row.notification_id
        yield numbered


def checkpoints_in(lines: Iterable[Numbered]) -> Iterator[tuple[Any, ...]]:
    """The rows of the checkpoints. Raises ArchiveRefused."""
    for number, _, line in lines:
        found = parsed(CheckpointLine, number, line)
        try:
            yield found.checkpoint, found.events, found.root, found.digest, moment(found.taken_at)
        except OverflowError:
            raise not_readable(number) from None


def parsed(kind: type[L], number: int, line: bytes) -> L:
    try:
        return kind.model_validate_json(line)
    except ValidationError:  # which quotes what was said
        raise not_readable(number) from None


def not_readable(number: int) -> ArchiveRefused:
    return ArchiveRefused(f"line {number} is not as 'recount log export' writes it")


def batches(events: Iterable[NumberedEvent]) -> Iterator[list[NumberedEvent]]:
    """As many at a time as go into one transaction."""
    batch: list[NumberedEvent] = []
    size = 0
    for event in events:
        batch.append(event)
        size += event.size
        if len(batch) >= BATCH_EVENTS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Heads:
    """The last links of the streams read so far.

    ``find_links``: the links of events by stream and version, for streams not met lately; without it
    such a stream is believed to go on as it should.
    """

    def __init__(self, find_links: FindLinks | None = None) -> None:
        self._find_links = find_links
        self._heads: dict[UUID, Head | None] = {}

    def check(self, batch: Sequence[NumberedEvent]) -> None:
        """Raises ArchiveRefused for the first event that does not follow those before it in its stream."""
        if len(self._heads) > HEADS_MAX:
            self._heads.clear()
        self._look_up(batch)
        for event in batch:
            row = event.row
            head = self._heads.get(row.originator_id, Head(0, GENESIS))
            if head is not None and (flaw := flaw_of(row, head.version, head.link)):
                is_missing = flaw.position is None
                raise event.refused("one before it in its stream is missing" if is_missing else flaw.reason)
            self._heads[row.originator_id] = Head(row.originator_version, row.link)

    def _look_up(self, batch: Sequence[NumberedEvent]) -> None:
        """Know the heads of the streams that go on in ``batch``; None for one to be believed."""
        versions = {
            event.row.originator_id: event.row.originator_version - 1
            for event in reversed(batch)
            if event.row.originator_id not in self._heads
        }
        versions = {stream_id: version for stream_id, version in versions.items() if version > 0}
        if self._find_links is None:
            self._heads.update(dict.fromkeys(versions))
        elif versions:
            for stream_id, link in self._find_links(versions).items():
                self._heads[stream_id] = Head(versions[stream_id], link)


# In


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Be the only import, and the only one to take checkpoints. Raises Unavailable where another one is."""
    ((is_ours,),) = connection.execute(SQL["try_lock"], [IMPORT_LOCK]).fetchall()
    if not is_ours:
        raise Unavailable("another import of a log is under way: wait until it is done")
    connection.execute(SQL["lock"], [CHECKPOINT_LOCK])
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute(SQL["unlock"], [CHECKPOINT_LOCK])
            connection.execute(SQL["unlock"], [IMPORT_LOCK])


def refuse_unfinished(connection: Connection) -> None:
    """Raises ImportUnfinished where a part of a log is in the store."""
    if connection.execute(SQL["select_unfinished"]).fetchall():
        raise ImportUnfinished


def is_imported(connection: Connection, archive: Archive) -> bool:
    """Whether this very log was imported here before, to its end."""
    ((is_there,),) = connection.execute(SQL["is_finished"], [archive.digest]).fetchall()
    return bool(is_there)


def import_log(connection: Connection, source: Source, archive: Archive, progress: Progress) -> None:
    """Store the events and checkpoints of a checked archive, or what is missing of them.

    Afterwards the log is still closed to all others, until ``finish``: its views are to be made before.
    Raises ArchiveRefused where the store has other events, or the archive does not hold; then nothing
    of it is kept. Be ``alone``.
    """
    with told():
        reached = begin(connection, archive)
        try:
            store(connection, source, archive, reached, progress)
        except ArchiveRefused:
            take_back(connection)
            raise


def begin(connection: Connection, archive: Archive) -> int:
    """Close the log to others, or find it closed by this import; returns how far that got."""
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


def store(connection: Connection, source: Source, archive: Archive, reached: int, progress: Progress) -> None:
    heads = Heads(partial(find_links, connection))
    with connection.transaction():
        connection.execute(SQL["delete_checkpoints"])  # that a server took between two attempts
    with source() as stream:
        for kind, lines in groupby(walk(stream), key=itemgetter(1)):
            if kind == EVENT:
                for batch in batches(events_in(lines)):
                    store_missing(connection, batch, reached, heads)
                    progress(len(batch))
            elif kind == CHECKPOINT:
                with impossible_told("the lines of checkpoints"):
                    store_rows(connection, "copy_checkpoints", checkpoints_in(lines))
            elif kind == CLOSING:
                refuse_other(archive, *lines)
    for flaw in checkpoint_flaws(connection):
        raise ArchiveRefused(f"a checkpoint does not hold: {flaw}")
    connection.execute(SQL["set_sequence"], {"settled": archive.header.settled_position})
    connection.execute(SQL["analyze"])


def refuse_other(archive: Archive, closing: Numbered) -> None:
    if Closing.model_validate_json(closing[2]).sha256 != archive.digest:
        raise ArchiveRefused("the file was changed while it was read: import it again")


def find_links(connection: Connection, versions: Mapping[UUID, int]) -> dict[UUID, bytes]:
    bounds = {"ids": list(versions), "versions": list(versions.values())}
    return dict(connection.execute(LOG["select_links"], bounds).fetchall())


def store_missing(connection: Connection, batch: Sequence[NumberedEvent], reached: int, heads: Heads) -> None:
    """Append what is behind ``reached``, and note how far that is, together."""
    events = [event for event in batch if event.row.notification_id > reached]
    if not events:
        return
    heads.check(events)
    with impossible_told(f"lines {events[0].number} to {events[-1].number}"), connection.transaction():
        connection.execute(SQL["allow_here"])
        store_rows(connection, "copy_events", (columns(event.row) for event in events))
        connection.execute(SQL["note_reached"], [events[-1].row.notification_id])


@contextmanager
def impossible_told(what: str) -> Iterator[None]:
    """Turn what PostgreSQL says of rows it cannot take into ArchiveRefused: they are not from a log."""
    try:
        yield
    except (errors.DataError, errors.IntegrityError) as error:
        raise ArchiveRefused(f"{what} hold what no log can hold ({error.sqlstate})") from None


def store_rows(connection: Connection, statement: str, rows: Iterable[Sequence[Any]]) -> None:
    """All or none."""
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(SQL[statement]) as copy:
        for row in rows:
            copy.write_row(row)


def take_back(connection: Connection) -> None:
    """The log as it was before the import: empty, and open to all."""
    with connection.transaction():
        for statement in ("delete_events", "delete_checkpoints", "delete_import", "open_log"):
            connection.execute(SQL[statement])


def finish(connection: Connection) -> None:
    """Open the log to all."""
    with told(), connection.transaction():
        connection.execute(SQL["finish_import"])
        connection.execute(SQL["open_log"])
