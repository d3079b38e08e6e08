"""What goes between the application and the views: changes out, facts in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from recountdb.domain.aggregate import Aggregate
from recountdb.domain.commands import Name
from recountdb.domain.events import Event
from recountdb.domain.messages import MessageState
from recountdb.eventlog.log.recorder import Write
from recountdb.eventlog.postgres.database import Connection


@dataclass(frozen=True)
class RecordedRequest:
    """What a request with an idempotency key recorded: versions ``first`` to ``last`` of a stream."""

    fingerprint: str
    kind: str
    stream_id: UUID
    first_version: int
    last_version: int


@dataclass(frozen=True)
class StreamChange:
    """What one transaction did to one stream.

    ``messages``: the state of each message that was added or touched, by id.
    """

    state: Aggregate
    events: list[Event] = field(default_factory=list)
    messages: dict[UUID, MessageState] = field(default_factory=dict)


class Views(Protocol):
    """What the application needs of the views: their rows for a change, and facts to decide upon."""

    def writes_for(self, changes: Sequence[StreamChange]) -> list[Write]:
        """The statements that bring the views up to date with ``changes``."""

    def find_stream(self, name: Name) -> UUID | None: ...

    def find_request(self, project: str, key: str) -> RecordedRequest | None: ...

    def find_messages(
        self, stream_id: UUID, ids: Collection[UUID], instants: Collection[datetime]
    ) -> list[MessageState]: ...

    def find_hold(self, project: str, user_id: str) -> str | None:
        """The legal hold on a user; None where there is none, or no such user."""

    def is_known(self, project: str, user_id: str) -> bool:
        """Whether there is a session of a user, or anything that they said, live or deleted."""

    def is_there(self, stream_id: UUID) -> bool:
        """Whether a stream has a name, live or deleted."""

    def count_forks(self, project: str) -> int:
        """Return how many sessions of a project were forked from another one, live or deleted."""

    def last_number(self, connection: Connection, project: str, kind: str) -> int:
        """The last number drawn; from here to the end of the transaction nobody else draws one."""


@dataclass(frozen=True)
class Outcome:
    """What a command led to.

    ``events`` may be empty (it was so already). ``message_ids``: the messages it was about, in the
    caller's order. ``position``: of the last event; None where there is none.
    """

    state: Aggregate
    events: Sequence[Event]
    message_ids: Sequence[UUID] = ()
    is_repeat: bool = False
    position: int | None = None
