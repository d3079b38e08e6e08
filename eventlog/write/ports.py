"""The interface between the application and the views: changes go out, facts come in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from recountdb.domain.aggregate import Aggregate
from recountdb.domain.commands.base import Name
from recountdb.domain.events import Event
from recountdb.domain.messages import MessageState
from recountdb.eventlog.log.recorder import Write
from recountdb.eventlog.postgres.database import Connection


@dataclass(frozen=True)
class RecordedRequest:
    """The events that a request with an idempotency key recorded in one stream: its first to last version."""

    fingerprint: str
    kind: str
    stream_id: UUID
    first_version: int
    last_version: int


@dataclass(frozen=True)
class StreamChange:
    """The change that one transaction made to one stream.

    ``messages``: the state of each message that was added or changed, by id.
    """

    state: Aggregate
    events: list[Event] = field(default_factory=list)
    messages: dict[UUID, MessageState] = field(default_factory=dict)


class Views(Protocol):
    """The views as the application needs them: their rows for a change, and facts to decide on."""

    def writes_for(self, changes: Sequence[StreamChange]) -> list[Write]:
        """Return the statements that bring the views up to date with ``changes``."""

    def find_stream(self, name: Name) -> UUID | None: ...

    def find_request(self, project: str, key: str) -> RecordedRequest | None: ...

    def find_messages(
        self, stream_id: UUID, ids: Collection[UUID], instants: Collection[datetime]
    ) -> list[MessageState]: ...

    def find_hold(self, project: str, user_id: str) -> str | None:
        """Return the legal hold on a user; None when there is none, or no such user."""

    def user_exists(self, project: str, user_id: str) -> bool:
        """Return whether there is a session of a user, or anything that they said, live or deleted."""

    def stream_exists(self, stream_id: UUID) -> bool:
        """Return whether a stream has a name, live or deleted."""

    def count_forks(self, project: str) -> int:
        """Return how many sessions of a project were forked from another one, live or deleted."""

    def last_number(self, connection: Connection, project: str, kind: str) -> int:
        """Return the last number drawn; nobody else draws one until the transaction ends."""


@dataclass(frozen=True)
class Outcome:
    """The result of a command.

    ``events`` is empty when nothing had to change. ``message_ids``: the messages the command was about, in
    the caller's order. ``position``: that of the last event; None when there is none.
    """

    state: Aggregate
    events: Sequence[Event]
    message_ids: Sequence[UUID] = ()
    is_repeat: bool = False
    position: int | None = None
