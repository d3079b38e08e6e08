"""The base of sessions and threads: an ordered run of messages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, ClassVar, Literal, Self, TypeGuard
from uuid import UUID, uuid5

from pydantic import JsonValue

from recountdb.domain.aggregate import (
    Aggregate,
    Draft,
    Family,
    Snapshot,
    Undeleted,
    delete,
    refuse_hold,
    revive_for_writing,
)
from recountdb.domain.errors import MessageIdTaken, MessageIsDeleted, NotFound
from recountdb.domain.events import Erased, Event
from recountdb.domain.messages import (
    SAID,
    Message,
    MessageAdded,
    MessageDeleted,
    MessageEdited,
    MessageMetadataMerged,
    MessagesErased,
    MessageState,
)
from recountdb.domain.values import is_same, merge


@dataclass(frozen=True)
class ConversationFamily(Family):
    """The concrete event classes of one kind of conversation."""

    message_added: type[MessageAdded]
    message_edited: type[MessageEdited]
    message_metadata_merged: type[MessageMetadataMerged]
    message_deleted: type[MessageDeleted]
    messages_erased: type[MessagesErased]


@dataclass(frozen=True, kw_only=True)
class Conversation(Aggregate):
    """A session or a thread.

    ``message_count`` counts live messages (while deleted: those that an undelete would bring back).
    ``hidden_through``: messages up to this version were deleted with the conversation and stayed deleted
    when a write revived it, so a deletion costs the same however long the conversation is.
    """

    EVENTS: ClassVar[ConversationFamily]

    message_count: int = 0
    hidden_through: int = 0

    @classmethod
    def project_all(cls, state: Self | None, events: Iterable[Event | Snapshot]) -> Self | None:
        """Fold ``events`` in order, counting runs of added messages (most of a log) at once."""
        for is_added, run in groupby(events, key=_joins):
            if is_added and state is not None:
                added = list(filter(_joins, run))
                state = state.then(added[-1], message_count=state.message_count + len(added))
            else:
                state = super().project_all(state, run)
        return state

    def hides(self, message: MessageState) -> bool:
        """Return whether ``message`` is hidden: deleted itself, or with the conversation."""
        return (
            self.is_deleted or message.deleted_version is not None or message.version <= self.hidden_through
        )

    def evolve(self, event: Event) -> Self:
        match event:
            case MessageAdded():
                return self.then(event, message_count=self.message_count + 1)
            case MessageDeleted():
                return self.then(event, message_count=self.message_count - 1)
            case MessagesErased():
                return self.then(event, message_count=self.message_count - event.message_count)
            case Erased():
                return self.then(event, message_count=self.message_count + _counted(event))
            case Undeleted(restores_content=False) if self.deleted_version is not None:
                hidden = {"message_count": 0, "hidden_through": self.deleted_version}
                return self.then(event, deleted_at=None, deleted_version=None, **hidden)
            case _:
                return super().evolve(event)


def _joins(event: object) -> TypeGuard[MessageAdded]:
    return isinstance(event, MessageAdded)


def _counted(erased: Erased) -> int:
    """Return the change that an erased event, of which only its topic is left, made to the message count."""
    what = erased.topic.partition(".")[2]
    return {"message-added": 1, "message-deleted": -1}.get(what, 0)


KnownIds = Literal["repeat", "refuse", "pass_over"]
"""Treatment of a message that comes with an id which the conversation has.

``repeat``: it is the same again, and refused if it has other words. ``refuse``: it is refused, deleted or
not, also if its id comes twice at once. ``pass_over``: it is the same again, whatever its words.
"""

HiddenIds = Literal["refuse", "renew", "pass_over"]
"""Treatment of a message that comes with the id of one which a deletion hides.

``refuse``: it is refused, because nobody could read it. ``renew``: it is added under an id made from its
own, always the same one, so that it is known if it comes once more. ``pass_over``: it stays deleted.
"""


def add_messages(
    draft: Draft[Any],
    messages: Iterable[Message],
    known: Iterable[MessageState],
    *,
    by_instant: bool,
    known_ids: KnownIds = "repeat",
    hidden_ids: HiddenIds = "refuse",
) -> list[UUID]:
    """Add new messages, in order; return the id of each message, new or known.

    With ``by_instant``, a message with a timestamp is known when a visible message has the same instant,
    role, user and content. Raises MessageIdTaken, as ``known_ids`` and ``hidden_ids`` say.
    """
    revive_for_writing(draft)
    seen = KnownMessages(by_instant=by_instant, known_ids=known_ids, hidden_ids=hidden_ids)
    for recorded in known:
        seen.add(recorded, is_visible=not draft.existing().hides(recorded))
    ids = []
    for message in messages:
        same = seen.find(message)
        if same is None:
            draft.record(draft.kind.EVENTS.message_added, message=message)
            seen.add(message)
        ids.append(message.id if same is None else same)
    return ids


def joining(
    target: Conversation, messages: Iterable[Message], known: Iterable[MessageState], *, salt: str
) -> Iterator[Message]:
    """Yield ``messages`` of another conversation as they can join ``target``, which has the ``known`` ones.

    A message whose id belongs to a hidden message, or to other words, gets an id of its own: always the
    same id for the same ``salt``.
    """
    by_id = {message.id: message for message in known}
    for message in messages:
        same = by_id.get(message.id)
        if same is not None and (target.hides(same) or not _says_the_same(same, message)):
            message = message.model_copy(update={"id": uuid5(message.id, salt)})
        yield message


def renew_hidden(
    target: Conversation,
    messages: Sequence[Message],
    known: Collection[MessageState],
    find: Callable[[Collection[UUID]], Collection[MessageState]],
) -> tuple[list[Message], list[MessageState]]:
    """Give each of ``messages`` whose id a deletion hides the id of its successor.

    ``known``: messages that ``target`` has of these ids; ``find`` looks up others. Return the messages, and
    all that are known of their ids. A successor that was deleted as well has a successor of its own.
    """
    by_id = {message.id: message for message in known}
    successors: dict[UUID, UUID] = {}
    hidden = [message for message in known if target.hides(message)]
    while hidden:
        ids = {message.id: uuid5(message.id, str(message.version)) for message in hidden}
        found = {message.id: message for message in find(list(ids.values()))}
        successors |= ids
        by_id |= found
        hidden = [message for message in found.values() if target.hides(message)]

    def newest(message_id: UUID) -> UUID:
        while message_id in successors:
            message_id = successors[message_id]
        return message_id

    renewed = [message.model_copy(update={"id": newest(message.id)}) for message in messages]
    return renewed, list(by_id.values())


class KnownMessages:
    """Index that finds whether a message was recorded before, by its id or by what was said when."""

    def __init__(self, *, by_instant: bool, known_ids: KnownIds, hidden_ids: HiddenIds) -> None:
        self._by_id: dict[UUID, MessageState | Message] = {}
        self._by_instant: dict[datetime, list[MessageState | Message]] = {}
        self._hidden: set[UUID] = set()
        self._looks_at_instants = by_instant
        self._known_ids = known_ids
        self._hidden_ids = hidden_ids

    def add(self, message: MessageState | Message, *, is_visible: bool = True) -> None:
        """Remember ``message``. A hidden one is known by its id alone: the same words may be said again."""
        self._by_id[message.id] = message
        if not is_visible:
            self._hidden.add(message.id)
        if self._looks_at_instants and is_visible and message.timestamp is not None:
            self._by_instant.setdefault(message.timestamp, []).append(message)

    def find(self, message: Message) -> UUID | None:
        """Return the id under which ``message`` is recorded, or None. Raises MessageIdTaken."""
        same = self._by_id.get(message.id)
        if same is not None:
            self._refuse(message, same)
            return message.id
        if message.timestamp is None:
            return None
        for other in self._by_instant.get(message.timestamp, ()):
            if _have_the_same(UTTERANCE, other, message):
                return other.id
        return None

    def _refuse(self, message: Message, same: MessageState | Message) -> None:
        """Raise MessageIdTaken unless ``message`` may come again, with the id of ``same``."""
        if self._known_ids == "refuse":
            raise MessageIdTaken(message.id)
        if message.id in self._hidden:
            if self._hidden_ids != "pass_over":
                raise MessageIsDeleted(message.id)
        elif self._known_ids == "repeat" and not _says_the_same(same, message):
            raise MessageIdTaken(message.id)


UTTERANCE = ("role", "user_id", "content")
"""Members that, besides the instant, make two timestamped messages of a thread the same."""


def _says_the_same(known: MessageState | Message, message: Message) -> bool:
    """Return whether ``message`` repeats what ``known`` said first; a changed ``known`` always passes."""
    was_changed = isinstance(known, MessageState) and known.changed_version != known.version
    return was_changed or _have_the_same(SAID, known, message)


def _have_the_same(members: Iterable[str], one: MessageState | Message, other: Message) -> bool:
    return all(is_same(getattr(one, member), getattr(other, member)) for member in members)


def edit_message(draft: Draft[Any], message: MessageState | None, changes: dict[str, JsonValue]) -> None:
    """Give members new values. Raises NotFound when the message does not exist or is hidden."""
    found = _visible(draft, message)
    if not all(is_same(getattr(found, member), value) for member, value in changes.items()):
        draft.record(draft.kind.EVENTS.message_edited, message_id=found.id, changes=changes)


def merge_message_metadata(
    draft: Draft[Any], message: MessageState | None, patch: dict[str, JsonValue]
) -> None:
    """Merge ``patch`` deeply. Raises NotFound when the message does not exist or is hidden."""
    found = _visible(draft, message)
    metadata = found.metadata or {}
    if not is_same(merge(metadata, patch), metadata):
        draft.record(draft.kind.EVENTS.message_metadata_merged, message_id=found.id, metadata=patch)


def delete_message(draft: Draft[Any], message: MessageState | None) -> None:
    """Delete one message. Raises NotFound when it does not exist or is already hidden."""
    draft.record(draft.kind.EVENTS.message_deleted, message_id=_visible(draft, message).id)


def erase_messages(
    draft: Draft[Any], messages: Sequence[MessageState], versions: Sequence[int], *, reason: str | None
) -> None:
    """Record that ``messages`` are gone for good. Raises OnHold.

    ``versions``: those of all events about the messages.
    """
    state = draft.existing()
    refuse_hold(state.KIND, state.hold)
    live = [m for m in messages if m.deleted_version is None and m.version > state.hidden_through]
    draft.record(
        draft.kind.EVENTS.messages_erased,
        versions=sorted(versions),
        messages=len(messages),
        message_count=len(live),
        reason=reason,
    )


def clear(draft: Draft[Any]) -> None:
    """Hide all messages for good, like a deletion that a write ended. Raises NotFound when it is not live."""
    if draft.live().message_count:
        delete(draft)
        revive_for_writing(draft)


def _visible(draft: Draft[Any], message: MessageState | None) -> MessageState:
    if message is None or draft.existing().hides(message):
        raise NotFound("message")
    return message
