"""A message: the words of a caller, and its state after edits and deletion."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from recountdb.domain.events import Event
from recountdb.domain.values import Content, Document, Metadata, Moment, Text, UserId, merge


class Message(BaseModel):
    """A message as its caller gave it; it comes back equal.

    ``timestamp``: when it was said, as told by the caller; None when nobody said, and none is
    invented. ``content``: a text, a list of parts kept verbatim, or None (a message that only
    calls tools).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: UUID
    role: Text
    content: Content = None
    name: Text | None = None
    user_id: UserId | None = None
    timestamp: Moment | None = None
    tool_calls: Annotated[list[Document], Field()] | None = None
    tool_call_id: Text | None = None
    metadata: Metadata | None = None
    token_count: Annotated[int, Field(ge=0, le=2**53)] | None = None


class MessageAdded(Event):
    """A message joined the conversation."""

    message: Message


class MessageEvent(Event):
    """Something happened to a message that had joined before."""

    message_id: UUID


class MessageEdited(MessageEvent):
    """The members named in ``changes`` have new values, all others stay."""

    changes: dict[str, JsonValue]


class MessageMetadataMerged(MessageEvent):
    """``metadata`` was merged, deeply, into the message's."""

    metadata: dict[str, JsonValue]


class MessageDeleted(MessageEvent):
    """The message disappeared from reads."""


class MessagesErased(Event):
    """Some messages are gone for good, and all that was recorded of them is erased.

    ``versions``: those of the events that added and changed the messages, ascending. ``messages``: how many
    messages were erased; ``message_count``: how many of these were live.
    """

    versions: list[int]
    messages: int
    message_count: int
    reason: str | None = None


class MessageState(NamedTuple):
    """A message as it is now. A tuple, because there are many and it is made in a third of the time.

    ``version`` is that of the event that added it, and its place in the order of the conversation;
    ``changed_version`` is that of the last event that changed it. ``deleted_version`` is None unless this
    very message was deleted; a message of a deleted conversation is hidden without it (see
    Conversation.hides).
    """

    stream_id: UUID
    project: str
    version: int
    changed_version: int
    id: UUID
    role: str
    content: str | list[JsonValue] | None
    name: str | None
    user_id: str | None
    timestamp: datetime | None
    tool_calls: list[JsonValue] | None
    tool_call_id: str | None
    metadata: dict[str, JsonValue] | None
    token_count: int | None
    recorded_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    deleted_version: int | None = None

    def evolve(self, event: Event) -> MessageState:
        """Apply one event about this message; any other event changes nothing."""
        changes: dict[str, Any]
        match event:
            case MessageEdited():
                changes = dict(event.changes)
            case MessageMetadataMerged():
                changes = {"metadata": merge(self.metadata or {}, event.metadata)}
            case MessageDeleted():
                changes = {
                    "deleted_at": event.recorded_at,
                    "deleted_version": event.originator_version,
                }
            case _:
                return self
        return self._replace(
            changed_version=event.originator_version,
            updated_at=event.recorded_at,
            **changes,
        )


SAID = ("role", "content", "name", "user_id", "timestamp", "tool_calls", "tool_call_id")
"""The members that make a message the same message said again."""

EDITABLE = frozenset({"role", "content", "name", "user_id", "tool_calls", "tool_call_id", "token_count"})
"""The members a MessageEdited may change; metadata is merged by its own event."""


def text_of(content: str | list[JsonValue] | None) -> str:
    """Return the readable text of a message's content: the text, or that of its parts, each on a line."""
    if isinstance(content, str):
        return content
    parts = [part.get("text") if isinstance(part, dict) else part for part in content or ()]
    return "\n".join(part for part in parts if isinstance(part, str))


def message_from(event: MessageAdded) -> MessageState:
    said = event.message
    return MessageState(  # positional arguments take half the time, and one is made per message
        event.originator_id,
        event.project,
        event.originator_version,
        event.originator_version,
        said.id,
        said.role,
        said.content,
        said.name,
        said.user_id,
        said.timestamp,
        said.tool_calls,
        said.tool_call_id,
        said.metadata,
        said.token_count,
        event.recorded_at,
        event.recorded_at,
    )


def fold_messages(messages: dict[UUID, MessageState], events: Iterable[Event]) -> dict[UUID, MessageState]:
    """Apply ``events`` to ``messages`` (by id, in order of joining) in place; return ``messages``.

    An event about a message that is not in ``messages`` is passed over.
    """
    for event in events:
        if isinstance(event, MessageAdded):
            messages[event.message.id] = message_from(event)
        elif isinstance(event, MessageEvent) and event.message_id in messages:
            messages[event.message_id] = messages[event.message_id].evolve(event)
        elif isinstance(event, MessagesErased):
            gone = set(event.versions)
            for id in [id for id, message in messages.items() if message.version in gone]:
                del messages[id]
    return messages
