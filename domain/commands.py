"""The commands: the requests that the store takes, each with the decision it leads to.

A command names its target and decides on a Draft; the application loads the state, looks up
the facts that the decision asks for, and records what was decided (see eventlog.application).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, NamedTuple, Protocol
from uuid import UUID

from pydantic import JsonValue

from recountdb.domain import aggregate, conversation, functions, sessions, users
from recountdb.domain.aggregate import Aggregate, Draft
from recountdb.domain.conversation import HiddenIds, KnownIds
from recountdb.domain.errors import AlreadyExists, ExpectationFailed, LimitReached, NotFound, RecountError
from recountdb.domain.events import Event
from recountdb.domain.functions import Definition, Function
from recountdb.domain.messages import Message, MessageAdded, MessageState
from recountdb.domain.sessions import Origin, Session
from recountdb.domain.threads import Thread
from recountdb.domain.users import Profile, User
from recountdb.domain.values import merge

KINDS: dict[str, type[Aggregate]] = {kind.KIND: kind for kind in (Session, Thread, User, Function)}


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
class Start(Command):
    """Begin a session, thread, user or function. Raises AlreadyExists when there is a live or deleted one."""

    metadata: dict[str, JsonValue] | None = None
    user_id: str | None = None  # sessions only
    profile: Profile | None = None  # users only
    definition: Definition | None = None  # functions only

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is not None:
            raise AlreadyExists(self.kind, is_deleted=draft.state.is_deleted)
        payload: dict[str, Any] = {"metadata": self.metadata}
        if self.kind == Session.KIND:
            payload["user_id"] = self.user_id
        if self.profile is not None:
            payload["profile"] = self.profile
        if self.definition is not None:
            payload["definition"] = self.definition
        begin(self, draft, facts, **payload)
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
        begin(self, draft, facts, metadata=metadata, user_id=self.source.user_id, origin=origin)
        if self.forks_max is not None and facts.count_forks() >= self.forks_max:
            raise LimitReached("forks", self.forks_max, remedy="purge some")
        return conversation.add_messages(draft, self.messages, (), by_instant=False)


@dataclass(frozen=True, kw_only=True)
class Refuse(Command):
    """Raise ``error``: the request could not be made into a command.

    It is sent all the same, because a repeat of an earlier request is answered before it is decided.
    """

    error: RecountError

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        raise self.error


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
            begin(self, draft, facts, metadata=self.metadata, **owner)
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
class MergeMetadata(Command):
    """Merge metadata deeply into the target's.

    ``leaves_trace``: record the merge, and so move ``updated_at``, even if it changes nothing.
    """

    metadata: dict[str, JsonValue]
    leaves_trace: bool = False

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        aggregate.merge_metadata(draft, self.metadata, leaves_trace=self.leaves_trace)
        return []


@dataclass(frozen=True, kw_only=True)
class Delete(Command):
    reason: str | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        aggregate.delete(draft, reason=self.reason)
        return []


@dataclass(frozen=True, kw_only=True)
class Clear(Command):
    """Hide all that was said in a conversation, which goes on without it, and merge metadata.

    ``is_over`` looks at the state; when it returns true, the conversation is deleted as it is instead.
    """

    metadata: dict[str, JsonValue] | None = None
    is_over: Callable[[Any], bool] | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if self.is_over is not None and self.is_over(draft.live()):
            aggregate.delete(draft)
            return []
        conversation.clear(draft)
        if self.metadata is not None:
            aggregate.merge_metadata(draft, self.metadata)
        return []


@dataclass(frozen=True, kw_only=True)
class Undelete(Command):
    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        aggregate.undelete(draft)
        return []


@dataclass(frozen=True, kw_only=True)
class PlaceHold(Command):
    """Keep a session, thread, user or function from being purged; a user's hold covers all that is theirs.

    A user who is known but has no profile gets one, to place the hold on.
    """

    STANDS_ALONE: ClassVar[bool] = True

    reason: str

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is None and self.kind == User.KIND and facts.is_known(self.name):
            begin(self, draft, facts)
        aggregate.place_hold(draft, reason=self.reason)
        return []


@dataclass(frozen=True, kw_only=True)
class ReleaseHold(Command):
    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        aggregate.release_hold(draft)
        return []


@dataclass(frozen=True, kw_only=True)
class Purge(Command):
    """End a session, thread, user or function and have all its payloads erased. Raises OnHold.

    ``messages``: how many it holds at ``expected_version``, hidden ones included.
    """

    STANDS_ALONE: ClassVar[bool] = True

    messages: int = 0
    reason: str | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        state = draft.existing()
        owner = state.name if self.kind == User.KIND else getattr(state, "user_id", None)
        if owner is not None:
            aggregate.refuse_hold(User.KIND, facts.hold_on_user(owner))
        aggregate.purge(draft, messages=self.messages, reason=self.reason)
        return []


@dataclass(frozen=True, kw_only=True)
class EraseMessages(Command):
    """Have some messages of a conversation, deleted or live, erased. Raises OnHold.

    ``versions``: those of all events about the messages, as of ``expected_version``.
    """

    STANDS_ALONE: ClassVar[bool] = True

    message_ids: Collection[UUID]
    versions: Sequence[int]
    reason: str | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        owner = getattr(draft.existing(), "user_id", None)
        found = facts.messages(self.message_ids)
        for user_id in {owner, *(message.user_id for message in found)}:
            if user_id is not None:
                aggregate.refuse_hold(User.KIND, facts.hold_on_user(user_id))
        if found:
            conversation.erase_messages(draft, found, self.versions, reason=self.reason)
        return []


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
            begin(self, draft, facts)
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


@dataclass(frozen=True, kw_only=True)
class SetState(Command):
    """Replace a thread's or user's document under ``key`` (None is its own slot); start a missing one."""

    key: str | None = None
    state: JsonValue

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is None:
            begin(self, draft, facts)
        aggregate.set_state(draft, key=self.key, state=self.state)
        return []


@dataclass(frozen=True, kw_only=True)
class ChangeUser(Command):
    """Give the named members of a user's profile new values, and merge metadata.

    ``changes``: see domain.users.Profile. ``replaces_metadata``: replace the metadata instead of merging.
    ``starts``: create a missing user.
    """

    kind: str = User.KIND
    changes: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, JsonValue] | None = None
    replaces_metadata: bool = False
    starts: bool = False

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is None and self.starts:
            profile = Profile.model_validate(self.changes)
            begin(self, draft, facts, metadata=self.metadata, profile=profile)
            return []
        users.change_profile(draft, self.changes)
        if self.metadata is not None:
            change = aggregate.replace_metadata if self.replaces_metadata else aggregate.merge_metadata
            change(draft, self.metadata)
        return []


@dataclass(frozen=True, kw_only=True)
class MeetUser(Command):
    """Create or undelete a user whom a message names, and name one without a name. Never refuses."""

    kind: str = User.KIND
    display_name: str | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is None:
            begin(self, draft, facts, profile=Profile(display_name=self.display_name))
        else:
            users.meet(draft, self.display_name)
        return []


@dataclass(frozen=True, kw_only=True)
class DefineFunction(Command):
    """Define a memory function, whether or not there is one of this name."""

    kind: str = Function.KIND
    definition: Definition

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is None:
            begin(self, draft, facts, definition=self.definition)
        else:
            functions.change_definition(draft, self.definition.model_dump())
        return []


@dataclass(frozen=True, kw_only=True)
class ChangeFunction(Command):
    """Give the named members of a function's definition new values (see domain.functions.Definition).

    ``unless_defined``: the definition to start from when nobody has defined the function yet.
    """

    kind: str = Function.KIND
    changes: dict[str, Any] = field(default_factory=dict)
    unless_defined: Definition | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is None and self.unless_defined is not None:
            begin(self, draft, facts, definition=self.unless_defined)
        draft.live()
        functions.change_definition(draft, self.changes)
        return []


def messages_added(events: Sequence[Event]) -> list[Message]:
    return [event.message for event in events if isinstance(event, MessageAdded)]


def _ids_added(events: Sequence[Event]) -> list[UUID]:
    return [message.id for message in messages_added(events)]


def begin(command: Command, draft: Draft[Any], facts: Facts, **payload: Any) -> None:
    """Start the command's target under its name, with the next number."""
    started = draft.kind.EVENTS.started
    number = facts.next_number()
    draft.record(started, name=command.name, scope=command.scope, number=number, **payload)
