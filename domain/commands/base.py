"""The parts of every command: its target, its decision, and the facts that the decision may ask for.

A command names its target and decides on a Draft; the application loads the state, looks up
the facts that the decision asks for, and records what was decided (see eventlog.application).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, Protocol
from uuid import UUID

from recountdb.domain.aggregate import Draft
from recountdb.domain.errors import RecountError
from recountdb.domain.events import Event
from recountdb.domain.messages import MessageState


class Name(NamedTuple):
    """The name a caller gives a stream: unique within (project, kind, scope)."""

    project: str
    kind: str
    scope: str
    name: str


class Facts(Protocol):
    """Questions that a decision may ask of the store, answered as of its own transaction."""

    def next_number(self) -> int:
        """Return the number the stream gets if it starts now: dense within project and kind."""

    def is_taken(self, name: str) -> bool:
        """Return whether another stream of the same project, kind and scope has ``name``."""

    def hold_on_user(self, user_id: str) -> str | None:
        """Return why what this user owns and said may not be purged; None when it may."""

    def is_known(self, user_id: str) -> bool:
        """Return whether there is a session of this user, or anything that they said, live or deleted."""

    def count_forks(self) -> int:
        """Return how many forks the project has; nobody adds one until the transaction ends.

        Call this after ``next_number``, which makes others wait.
        """

    def is_purged(self, stream_id: UUID) -> bool:
        """Return whether a session, thread, user or function that once existed was purged."""

    def messages(self, ids: Collection[UUID] = (), instants: Collection[datetime] = ()) -> list[MessageState]:
        """Return the stream's messages with one of ``ids`` or said at one of ``instants``, hidden too."""

    def other(self, name: str) -> tuple[Draft[Any], Facts]:
        """Return the draft and facts of another stream of the same project, kind and scope.

        The decision is then made on both streams together.
        """


@dataclass(frozen=True, kw_only=True)
class Command:
    """A request to change one stream.

    ``expected_version``: refuse unless the stream is at exactly this version; None accepts any version.
    """

    kind: str
    name: str
    scope: str = ""
    expected_version: int | None = None

    STANDS_ALONE: ClassVar[bool] = False
    """True when commands before it must be committed before it runs, and it before those after it."""

    def looks_up_messages(self) -> bool:
        """Return whether ``decide`` asks for recorded messages."""
        return False

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        """Record events on ``draft`` or raise; return the ids of the messages that the command was about."""
        raise NotImplementedError

    def along(self, events: Sequence[Event] | None = None) -> Sequence[Command]:
        """Return commands on other streams, for the transaction in which this one led to ``events``.

        Called with None beforehand, it returns every command that could follow. These commands never refuse,
        and look up no messages.
        """
        return ()

    def recorded_ids(self, draft: Draft[Any], facts: Facts, events: Sequence[Event]) -> list[UUID]:
        """Return the ids that ``decide`` returned when it led to ``events``, for answering a repeat.

        ``draft`` and ``facts`` are as they were then.
        """
        return []


@dataclass(frozen=True, kw_only=True)
class Refuse(Command):
    """Raise ``error``: the request could not be made into a command.

    It is sent all the same, because a repeat of an earlier request is answered before it is decided.
    """

    error: RecountError

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        raise self.error


def start_stream(command: Command, draft: Draft[Any], facts: Facts, **payload: Any) -> None:
    """Start the command's target under its name, with the next number."""
    started = draft.kind.EVENTS.started
    number = facts.next_number()
    draft.record(started, name=command.name, scope=command.scope, number=number, **payload)
