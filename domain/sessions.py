"""A session: a conversation under any name the caller likes, perhaps with one user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from recountdb.domain import aggregate, messages
from recountdb.domain.aggregate import Draft, Started
from recountdb.domain.conversation import Conversation, ConversationFamily
from recountdb.domain.events import Event


class Origin(BaseModel):
    """Origin of a fork: the stream of another session, up to ``version``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream_id: UUID
    version: int


class SessionStarted(Started):
    """A session began, by a call of its own, by the first message, or as a fork of its ``origin``."""

    TOPIC: ClassVar[str] = "session.started"
    user_id: str | None = None
    origin: Origin | None = None


class MessageAdded(messages.MessageAdded):
    TOPIC: ClassVar[str] = "session.message-added"


class MessageEdited(messages.MessageEdited):
    TOPIC: ClassVar[str] = "session.message-edited"


class MessageMetadataMerged(messages.MessageMetadataMerged):
    TOPIC: ClassVar[str] = "session.message-metadata-merged"


class MessageDeleted(messages.MessageDeleted):
    TOPIC: ClassVar[str] = "session.message-deleted"


class MetadataMerged(aggregate.MetadataMerged):
    TOPIC: ClassVar[str] = "session.metadata-merged"


class MetadataReplaced(aggregate.MetadataReplaced):
    TOPIC: ClassVar[str] = "session.metadata-replaced"


class SessionRenamed(Event):
    """The session's name is ``name`` from here on; the old name is free."""

    TOPIC: ClassVar[str] = "session.renamed"
    name: str


class SessionDeleted(aggregate.Deleted):
    TOPIC: ClassVar[str] = "session.deleted"


class SessionUndeleted(aggregate.Undeleted):
    TOPIC: ClassVar[str] = "session.undeleted"


class HoldPlaced(aggregate.HoldPlaced):
    TOPIC: ClassVar[str] = "session.hold-placed"


class HoldReleased(aggregate.HoldReleased):
    TOPIC: ClassVar[str] = "session.hold-released"


class SessionPurged(aggregate.Purged):
    TOPIC: ClassVar[str] = "session.purged"


class MessagesErased(messages.MessagesErased):
    TOPIC: ClassVar[str] = "session.messages-erased"


@dataclass(frozen=True, kw_only=True)
class Session(Conversation):
    """A session. ``user_id`` and ``origin`` are set when it starts and never change.

    ``user_id``: None when the session has no user. ``origin``: None unless the session is a fork.
    """

    KIND: ClassVar[str] = "session"
    EVENTS: ClassVar[ConversationFamily] = ConversationFamily(
        started=SessionStarted,
        metadata_merged=MetadataMerged,
        metadata_replaced=MetadataReplaced,
        deleted=SessionDeleted,
        undeleted=SessionUndeleted,
        hold_placed=HoldPlaced,
        hold_released=HoldReleased,
        purged=SessionPurged,
        message_added=MessageAdded,
        message_edited=MessageEdited,
        message_metadata_merged=MessageMetadataMerged,
        message_deleted=MessageDeleted,
        messages_erased=MessagesErased,
    )

    user_id: str | None = None
    origin: Origin | None = None

    @classmethod
    def from_started(cls, event: Started, **more: Any) -> Self:
        assert isinstance(event, SessionStarted)
        return super().from_started(event, user_id=event.user_id, origin=event.origin, **more)

    def evolve(self, event: Event) -> Self:
        match event:
            case SessionRenamed():
                return self.then(event, name=event.name)
            case _:
                return super().evolve(event)


def rename(draft: Draft[Session], name: str) -> None:
    """Give a live session another name. The caller must check that it is free."""
    if draft.live().name != name:
        draft.record(SessionRenamed, name=name)
