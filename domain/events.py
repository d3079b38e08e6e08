"""The envelope every event carries, and the context a command is decided in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Idempotency(BaseModel):
    """The caller's retry key, and a hash of the request it first came with."""

    model_config = ConfigDict(frozen=True)

    key: str
    fingerprint: str


class Event(BaseModel):
    """Something that happened to one stream, immutable.

    ``TOPIC`` is stored for ever, so it is never a Python path. ``class_version`` counts the
    shapes of the payload; a class at version N has ``upcast_v1_v2`` … up to N, each of which
    turns a payload (a dict) one step newer in place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    TOPIC: ClassVar[str]
    class_version: ClassVar[int] = 1

    originator_id: UUID
    originator_version: int
    recorded_at: datetime  # UTC; never earlier than the event before it in the stream
    project: str
    actor: str  # "key:<id>" of an API key, "local" without keys, "cli:<user>" …
    request_id: str | None = None
    causation_id: str | None = None  # "<stream>/<version>" of the event that led here
    idempotency: Idempotency | None = None


class Erased(Event):
    """An event whose payload was erased: only its place, its time and its ``topic`` are left.

    It is read in place of the stored event, and never recorded itself.
    """

    actor: str = ""
    topic: str


@dataclass(frozen=True, slots=True)
class Context:
    """Context of a command: the caller, the time, and on whose behalf. All events of the command share it."""

    project: str
    actor: str
    at: datetime
    request_id: str | None = None
    causation_id: str | None = None
    idempotency: Idempotency | None = None

    def envelope(self, stream_id: UUID, version: int, *, not_before: datetime | None) -> dict[str, Any]:
        """Return the envelope fields of the event at ``version``; time never runs backwards in a stream."""
        return {
            "originator_id": stream_id,
            "originator_version": version,
            "recorded_at": self.at if not_before is None else max(self.at, not_before),
            "project": self.project,
            "actor": self.actor,
            "request_id": self.request_id,
            "causation_id": self.causation_id,
            "idempotency": self.idempotency,
        }
