"""Commands that change sessions and threads, and what was said in them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import JsonValue

from recountdb.domain import aggregate, conversation, sessions
from recountdb.domain.aggregate import Draft
from recountdb.domain.commands.base import Command, Facts, start_stream
from recountdb.domain.commands.users import MeetUser
from recountdb.domain.conversation import HiddenIds, KnownIds
from recountdb.domain.errors import AlreadyExists, ExpectationFailed, LimitReached, NotFound
from recountdb.domain.events import Event
from recountdb.domain.messages import Message, MessageAdded, MessageState
from recountdb.domain.sessions import Origin, Session
from recountdb.domain.threads import Thread
from recountdb.domain.values import merge


@dataclass(frozen=True, kw_only=True)
class AddMessages(Command):
    """Add messages, in order, all or none; start the conversation if there is none.

    ``given_ids``: ids that the caller chose, so their messages may have been sent before. ``known_ids`` and
    ``hidden_ids`` say what becomes of those messages then; see domain.conversation.
    ``user_id`` and ``metadata`` are for a conversation that this command starts. ``existing_metadata``: how
    ``metadata``, unless None, change those of an existing conversation. ``renewal``: metadata merged before
    them when this brings back a deleted conversation, so that what was known of its past can be forgotten.
    ``meets_users``: every user who said something new is created, if missing, in the same transaction.
    """

    messages: Sequence[Message]
    given_ids: frozenset[UUID] = field(default_factory=frozenset)
    known_ids: KnownIds = "repeat"
    hidden_ids: HiddenIds = "refuse"
    user_id: str | None = None
    metadata: dict[str, JsonValue] | None = None
    existing_metadata: Literal["keep", "merge", "replace"] = "keep"
    renewal: dict[str, JsonValue] | None = None
    meets_users: bool = False

    def instants(self) -> set[datetime]:
        if self.kind != Thread.KIND:
            return set()
        return {message.timestamp for message in self.messages if message.timestamp is not None}

    def looks_up_messages(self) -> bool:
        return bool(self.given_ids) or bool(self.instants())

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        messages, known = self.messages, list[MessageState]()
        if draft.state is None:
            owner = {"user_id": self.user_id} if self.user_id and self.kind == Session.KIND else {}
            start_stream(self, draft, facts, metadata=self.metadata, **owner)
        else:
            if self.looks_up_messages():
                known = facts.messages(self.given_ids, self.instants())
            if self.hidden_ids == "renew":
                messages, known = conversation.renew_hidden(draft.state, messages, known, facts.messages)
            if self.renewal is not None and draft.state.is_deleted:
                aggregate.merge_metadata(draft, self.renewal)
            if self.metadata is not None and self.existing_metadata == "merge":
                aggregate.merge_metadata(draft, self.metadata)
            if self.metadata is not None and self.existing_metadata == "replace":
                aggregate.replace_metadata(draft, self.metadata)
        by_instant = self.kind == Thread.KIND
        return conversation.add_messages(
            draft,
            messages,
            known,
            by_instant=by_instant,
            known_ids=self.known_ids,
            hidden_ids=self.hidden_ids,
        )

    def along(self, events: Sequence[Event] | None = None) -> Sequence[Command]:
        if not self.meets_users:
            return ()
        said = self.messages if events is None else messages_added(events)
        names: dict[str, str | None] = {}
        for message in said:
            if message.user_id is not None:
                names[message.user_id] = names.get(message.user_id) or message.name
        return [MeetUser(name=user_id, display_name=name) for user_id, name in names.items()]

    def recorded_ids(self, draft: Draft[Any], facts: Facts, events: Sequence[Event]) -> list[UUID]:
        # Deciding again adds the same messages, but those without an id from the caller get another.
        ids = self.decide(draft, facts)
        added, recorded_then = _ids_added(draft.events), _ids_added(events)
        if len(added) != len(recorded_then):
            return recorded_then  # the others were erased since
        recorded = dict(zip(added, recorded_then, strict=True))
        return [recorded.get(message_id, message_id) for message_id in ids]


@dataclass(frozen=True, kw_only=True)
class Clear(Command):
    """Hide all that was said in a conversation, which goes on without it, and merge metadata."""

    metadata: dict[str, JsonValue] | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        conversation.clear(draft)
        if self.metadata is not None:
            aggregate.merge_metadata(draft, self.metadata)
        return []


@dataclass(frozen=True, kw_only=True)
class Fork(Command):
    """Begin a session with what another one held at a moment. Raises AlreadyExists, LimitReached.

    ``source``: the other session as it was then. ``messages``: those visible then, in order, under ids of
    their own. ``metadata`` are merged into the source's. ``forks_max``: how many forks the project may
    have; None means no limit.
    """

    kind: str = Session.KIND
    source: Session
    messages: Sequence[Message]
    metadata: dict[str, JsonValue] | None = None
    forks_max: int | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is not None:
            raise AlreadyExists(self.kind, is_deleted=draft.state.is_deleted)
        if facts.is_purged(self.source.id):  # after its messages were read
            raise NotFound(self.kind)
        metadata: JsonValue = self.source.metadata
        if self.metadata is not None:
            metadata = merge(metadata or {}, self.metadata)
        origin = Origin(stream_id=self.source.id, version=self.source.version)
        start_stream(self, draft, facts, metadata=metadata, user_id=self.source.user_id, origin=origin)
        if self.forks_max is not None and facts.count_forks() >= self.forks_max:
            raise LimitReached("forks", self.forks_max, remedy="purge some")
        return conversation.add_messages(draft, self.messages, (), by_instant=False)


@dataclass(frozen=True, kw_only=True)
class RenameSession(Command):
    STANDS_ALONE: ClassVar[bool] = True

    kind: str = Session.KIND
    new_name: str

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.live().name != self.new_name and facts.is_taken(self.new_name):
            raise AlreadyExists(self.kind)
        sessions.rename(draft, self.new_name)
        return []


@dataclass(frozen=True, kw_only=True)
class MoveMessages(Command):
    """Move messages of another session into this one, which starts if there is none.

    ``source``: the other session as it was when its ``messages`` were read, in order. Either both sessions
    change or neither. A message keeps its id, unless this session has deleted a message of that id or has
    other words under it. Raises NotFound, and ExpectationFailed when the source has gone on.
    """

    STANDS_ALONE: ClassVar[bool] = True

    kind: str = Session.KIND
    source: Session
    messages: Sequence[Message]

    def looks_up_messages(self) -> bool:
        return True

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is not None and draft.state.id == self.source.id:
            return []
        source, facts_of_source = facts.other(self.source.name)
        current = source.live()
        if (current.id, current.version) != (self.source.id, self.source.version):
            raise ExpectationFailed(self.source.version, current.version)
        if draft.state is None:
            start_stream(self, draft, facts)
        known = facts.messages([message.id for message in self.messages])
        joining = conversation.joining(
            draft.existing(), self.messages, known, salt=f"{current.id}/{current.version}"
        )
        ids = conversation.add_messages(draft, joining, known, by_instant=False)
        source.because_of(draft.existing())
        self.leave(source, facts_of_source)
        return ids

    def leave(self, source: Draft[Any], facts: Facts) -> None:
        """Decide what happens to the session that the messages left."""
        for message in facts.messages([message.id for message in self.messages]):
            conversation.delete_message(source, message)


@dataclass(frozen=True, kw_only=True)
class MergeSessions(MoveMessages):
    """Move all messages of another session into this one, and delete the other one for ``reason``."""

    reason: str | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        draft.existing()
        return super().decide(draft, facts)

    def leave(self, source: Draft[Any], facts: Facts) -> None:
        aggregate.delete(source, reason=self.reason)


@dataclass(frozen=True, kw_only=True)
class MessageCommand(Command):
    """A command about one message of a conversation."""

    message_id: UUID

    def looks_up_messages(self) -> bool:
        return True

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        draft.live()
        found = facts.messages([self.message_id])
        self.decide_on(draft, found[0] if found else None)
        return [self.message_id]

    def recorded_ids(self, draft: Draft[Any], facts: Facts, events: Sequence[Event]) -> list[UUID]:
        return [self.message_id]

    def decide_on(self, draft: Draft[Any], message: MessageState | None) -> None:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ChangeMessage(MessageCommand):
    """Edit a message, merge its metadata, or both.

    ``changes``: members of domain.messages.EDITABLE and their new values.
    """

    changes: dict[str, JsonValue] = field(default_factory=dict)
    metadata: dict[str, JsonValue] | None = None

    def decide_on(self, draft: Draft[Any], message: MessageState | None) -> None:
        conversation.edit_message(draft, message, self.changes)
        if self.metadata is not None:
            conversation.merge_message_metadata(draft, message, self.metadata)


@dataclass(frozen=True, kw_only=True)
class DeleteMessage(MessageCommand):
    def decide_on(self, draft: Draft[Any], message: MessageState | None) -> None:
        conversation.delete_message(draft, message)


@dataclass(frozen=True, kw_only=True)
class DeleteMessages(Command):
    """Delete those of some messages that exist; the others are passed over."""

    message_ids: Collection[UUID]

    def looks_up_messages(self) -> bool:
        return True

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        there = draft.live()
        found = [message for message in facts.messages(self.message_ids) if not there.hides(message)]
        for message in sorted(found, key=lambda message: message.version):
            conversation.delete_message(draft, message)
        return [message.id for message in found]


def messages_added(events: Sequence[Event]) -> list[Message]:
    return [event.message for event in events if isinstance(event, MessageAdded)]


def _ids_added(events: Sequence[Event]) -> list[UUID]:
    return [message.id for message in messages_added(events)]
