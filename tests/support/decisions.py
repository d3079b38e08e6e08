"""Decisions as sentences: ``given(started(), deleted()).when(Undelete).then(undeleted(...))``.

Events are named by what they say alone; where they stand in their stream, who recorded them and
when is filled in here, and held to be right in whatever is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest

from recountdb.domain.aggregate import Draft
from recountdb.domain.catalog import KINDS
from recountdb.domain.commands.base import Command
from recountdb.domain.events import Context, Event
from recountdb.domain.memory_functions import Definition, DefinitionReplaced
from recountdb.domain.messages import Message, MessageState, fold_messages
from recountdb.domain.sessions import SessionRenamed
from recountdb.domain.threads import StateSet
from recountdb.domain.users import ProfileReplaced
from recountdb.domain.values import is_same

STREAM = UUID("01890a5d-0000-7000-8000-000000000001")
BEGINNING = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NEXT_NUMBER = 7
NAME = "talk"

OWN_EVENTS: dict[str, type[Event]] = {
    "renamed": SessionRenamed,
    "definition_replaced": DefinitionReplaced,
    "profile_replaced": ProfileReplaced,
}
"""The events that only one kind of aggregate has."""

FACTS = Definition(type="user_semantic_memory", name="facts")
BEGINNINGS: dict[str, dict[str, Any]] = {"function": {"definition": FACTS}}
"""What an aggregate of a kind cannot begin without."""


@dataclass(frozen=True)
class Told:
    """An event before it has a place: its role in the family of its kind, and what it says."""

    role: str
    payload: dict[str, Any]

    def event_class(self, kind: str) -> type[Event]:
        own = OWN_EVENTS.get(self.role)
        if own is not None:
            return own
        if self.role == "state_set":
            set_by: type[Event] = getattr(KINDS[kind], "STATE_SET", StateSet)
            return set_by
        family_member: type[Event] = getattr(KINDS[kind].EVENTS, self.role)
        return family_member

    def at(self, kind: str, version: int) -> Event:
        envelope = context(BEGINNING + timedelta(minutes=version)).envelope(STREAM, version, not_before=None)
        beginning = BEGINNINGS.get(kind, {}) if self.role == "started" else {}
        return self.event_class(kind)(**envelope, **{**beginning, **self.payload})


def telling(role: str) -> Callable[..., Told]:
    return lambda **payload: Told(role, payload)


metadata_merged = telling("metadata_merged")
metadata_replaced = telling("metadata_replaced")
definition_replaced = telling("definition_replaced")
deleted = telling("deleted")
undeleted = telling("undeleted")
renamed = telling("renamed")
hold_placed = telling("hold_placed")
hold_released = telling("hold_released")
purged = telling("purged")
messages_erased = telling("messages_erased")
state_set = telling("state_set")
profile_replaced = telling("profile_replaced")


def started(**payload: Any) -> Told:
    return Told("started", {"name": NAME, "number": NEXT_NUMBER, **payload})


def added(message: Message) -> Told:
    return Told("message_added", {"message": message})


def edited(message: Message, **changes: Any) -> Told:
    return Told("message_edited", {"message_id": message.id, "changes": changes})


def message_merged(message: Message, metadata: dict[str, Any]) -> Told:
    return Told("message_metadata_merged", {"message_id": message.id, "metadata": metadata})


def message_deleted(message: Message) -> Told:
    return Told("message_deleted", {"message_id": message.id})


def say(content: Any, *, id: UUID | None = None, **members: Any) -> Message:
    """A message that says ``content``; the same words have the same id unless one is given."""
    return Message(id=id or uuid5(STREAM, repr(content)), **{"role": "user", "content": content, **members})


def context(at: datetime) -> Context:
    return Context(project="default", actor="test", at=at, request_id="request", causation_id="cause/1")


@dataclass(frozen=True)
class GivenFacts:
    """Answers what a decision asks from the events given (see domain.commands.base.Facts)."""

    events: Sequence[Event]
    taken: Collection[str] = ()
    user_holds: Mapping[str, str] = field(default_factory=dict)
    others: Sequence[Source] = ()
    known: Collection[str] = ()

    def next_number(self) -> int:
        return NEXT_NUMBER

    def is_taken(self, name: str) -> bool:
        return name in self.taken

    def hold_on_user(self, user_id: str) -> str | None:
        return self.user_holds.get(user_id)

    def is_known(self, user_id: str) -> bool:
        return user_id in self.known

    def count_forks(self) -> int:
        return 0

    def is_purged(self, stream_id: UUID) -> bool:
        return False

    def messages(self, ids: Collection[UUID] = (), instants: Collection[datetime] = ()) -> list[MessageState]:
        known = fold_messages({}, self.events).values()
        return [message for message in known if message.id in ids or message.timestamp in instants]

    def other(self, name: str) -> tuple[Draft[Any], GivenFacts]:
        (source,) = (source for source in self.others if source.draft.existing().name == name)
        return source.draft, GivenFacts(source.events)


@dataclass(frozen=True)
class Source:
    """Another session than that of the test; ``draft`` has what is decided about it."""

    state: Any
    draft: Draft[Any]
    events: Sequence[Event]


def source(*told: Told) -> Source:
    """The session that these events led to, as a stream of its own."""
    stream_id = uuid5(STREAM, "another")
    events = [
        one.at("session", version).model_copy(update={"originator_id": stream_id})
        for version, one in enumerate(told, start=1)
    ]
    kind = KINDS["session"]
    state = kind.project_all(None, events)
    draft = Draft(kind, state, context(BEGINNING + timedelta(days=1)), stream_id)
    return Source(state, draft, events)


@dataclass(frozen=True)
class Decided:
    """What a command led to, or the error it met."""

    kind: str
    events: Sequence[Event] = ()
    message_ids: Sequence[UUID] = ()
    error: Exception | None = None
    versions_before: int = 0

    def then(self, *expected: Told) -> Decided:
        """Just these events, no others, rightly placed."""
        if self.error is not None:
            raise self.error
        first = self.versions_before + 1
        decided = [[event.TOPIC, payload_of(event)] for event in self.events]
        wanted = [[event.TOPIC, payload_of(event)] for event in (told.at(self.kind, 1) for told in expected)]
        assert decided == wanted
        assert is_same(decided, wanted)  # Python would take 1 for True
        assert [event.originator_version for event in self.events] == [*range(first, first + len(expected))]
        for event in self.events:
            assert (event.originator_id, event.project, event.actor) == (STREAM, "default", "test")
            assert (event.request_id, event.causation_id) == ("request", "cause/1")
        return self

    def then_nothing(self) -> Decided:
        return self.then()

    def then_refuses(self, error: type[Exception]) -> None:
        assert self.error is not None, f"decided {self.events}"
        with pytest.raises(error):
            raise self.error

    def about(self, *messages: Message) -> None:
        """The answer names these messages, in this order."""
        assert list(self.message_ids) == [message.id for message in messages]


def payload_of(event: Event) -> dict[str, Any]:
    return event.model_dump(exclude=set(Event.model_fields))


@dataclass(frozen=True)
class Given:
    """Events that happened to an aggregate of ``kind``, for a command to decide upon."""

    kind: str
    told: Sequence[Told] = ()
    taken: Collection[str] = ()
    at: datetime = field(default=BEGINNING + timedelta(days=1))
    others: Sequence[Source] = ()

    def __call__(
        self,
        *told: Told,
        taken: Collection[str] = (),
        at: datetime = BEGINNING + timedelta(days=1),
        others: Sequence[Source] = (),
    ) -> Given:
        """``taken``: names that other streams have. ``at``: when the command comes."""
        return Given(self.kind, told, taken, at, others)

    @property
    def events(self) -> list[Event]:
        return [told.at(self.kind, version) for version, told in enumerate(self.told, start=1)]

    @property
    def state(self) -> Any:
        """The state that the events lead to; None without events."""
        return KINDS[self.kind].project_all(None, self.events)

    def messages(self) -> list[MessageState]:
        return list(fold_messages({}, self.events).values())

    def when(
        self,
        command_class: type[Command],
        *,
        user_holds: Mapping[str, str] | None = None,
        known: Collection[str] = (),
        **members: Any,
    ) -> Decided:
        command = command_class(**{"kind": self.kind, "name": NAME, **members})
        draft = Draft(KINDS[self.kind], self.state, context(self.at), STREAM)
        try:
            facts = GivenFacts(self.events, self.taken, user_holds or {}, self.others, known)
            ids = command.decide(draft, facts)
        except Exception as error:  # whatever it was, then_refuses says what it should have been
            return Decided(self.kind, error=error)
        return Decided(self.kind, draft.events, ids, versions_before=len(self.told))
