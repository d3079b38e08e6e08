"""The lines of an exported log's file.

The file is gzipped text, each line a JSON object without spaces, its members in this order:

    {"format","exported_at","settled_position","events",        "recount-log/1", once, first
     "epochs"}
    {"position","stream","version","project","topic",           each event, by position
     "recorded_at","state","salt","link"}
    {"checkpoint","events","root","digest","epoch","taken_at"}  each checkpoint, by position
    {"events","checkpoints","sha256"}                           once, last

Each epoch is an object with the members "number", "id", "shared_through", "begins_after" and "began_at" (see
eventlog/log/epoch.py). Times are microseconds since 1970-01-01 UTC, bytes are lower-case hexadecimal.
``state`` is the payload's stored text, byte for byte, as a string: it is hashed, and an object would be
spelled differently. ``salt`` is null when the payload was erased, and ``state`` then holds its commitment.
The last line counts the lines above it, and has the SHA-256 of all of them, newlines included.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from recountdb.domain.errors import RecountError
from recountdb.eventlog.integrity.chain import EPOCH, MICROSECOND
from recountdb.eventlog.integrity.verify import StoredLink
from recountdb.eventlog.log.epoch import Epoch

FORMAT: Literal["recount-log/1"] = "recount-log/1"

EPOCHS_MAX = 10_000

HEADER, EVENT, CHECKPOINT, CLOSING = range(4)
KINDS = {b"format": HEADER, b"position": EVENT, b"checkpoint": CHECKPOINT, b"events": CLOSING}
"""The kind of a line, by its first member."""

Numbered = tuple[int, int, bytes]
"""A line's number, its kind and the line itself."""


class ArchiveRefused(RecountError):
    """The file is not a whole and true log, or this store cannot take it. Nothing of it was kept."""


Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""An integer of 8 bytes, as the database and the hashes take it."""


class ArchiveLine(BaseModel):
    """Base of all lines: they are read as strictly as they are written."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, ser_json_bytes="hex", val_json_bytes="hex"
    )

    def encoded(self) -> bytes:
        return self.__pydantic_serializer__.to_json(self) + b"\n"


class EpochMember(ArchiveLine):
    number: Annotated[int, Field(ge=1, lt=2**31)]
    id: UUID
    shared_through: Number
    begins_after: Number
    began_at: Number

    @classmethod
    def of(cls, epoch: Epoch) -> EpochMember:
        return cls(
            number=epoch.number,
            id=epoch.id,
            shared_through=epoch.shared_through,
            begins_after=epoch.begins_after,
            began_at=microseconds(epoch.began_at),
        )


class Header(ArchiveLine):
    """The first line. ``events`` counts those up to ``settled_position``. ``epochs``: the oldest first."""

    format: Literal["recount-log/1"]
    exported_at: Number
    settled_position: Number
    events: Number
    epochs: Annotated[list[EpochMember], Field(min_length=1, max_length=EPOCHS_MAX)]


class EventLine(ArchiveLine):
    position: Number
    stream: UUID
    version: Number
    project: str
    topic: Annotated[str, Field(max_length=1000)]
    recorded_at: Number
    state: str
    salt: bytes | None
    link: bytes

    @classmethod
    def of(cls, row: StoredLink) -> EventLine:
        return cls.model_construct(
            position=row.notification_id,
            stream=row.originator_id,
            version=row.originator_version,
            project=row.project,
            topic=row.topic,
            recorded_at=microseconds(row.recorded_at),
            state=row.state,
            salt=row.salt,
            link=row.link,
        )

    def row(self) -> StoredLink:
        """Return the row of the log. Raises OverflowError when the time is out of range."""
        return StoredLink(
            notification_id=self.position,
            originator_id=self.stream,
            originator_version=self.version,
            project=self.project,
            topic=self.topic,
            recorded_at=to_moment(self.recorded_at),
            state=self.state,
            salt=self.salt,
            link=self.link,
        )


class CheckpointLine(ArchiveLine):
    checkpoint: Number
    events: Number
    root: bytes
    digest: bytes
    epoch: UUID
    taken_at: Number


class Closing(ArchiveLine):
    events: int
    checkpoints: int
    sha256: bytes


@dataclass(frozen=True)
class Archive:
    """A whole log in a file. ``digest`` covers all its lines but the last; it identifies the file."""

    header: Header
    checkpoints: int
    digest: bytes

    @property
    def exported_at(self) -> datetime:
        return to_moment(self.header.exported_at)


def microseconds(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def to_moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
