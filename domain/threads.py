"""A thread: a conversation of several users under a UUID, with state documents beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from recountdb.domain import aggregate, messages
from recountdb.domain.aggregate import Started
from recountdb.domain.conversation import Conversation, ConversationFamily


class ThreadStarted(Started):
    """A thread began; its name is a UUID in lower-case canonical form."""

    TOPIC: ClassVar[str] = "thread.started"


class MessageAdded(messages.MessageAdded):
    TOPIC: ClassVar[str] = "thread.message-added"


class MessageEdited(messages.MessageEdited):
    TOPIC: ClassVar[str] = "thread.message-edited"


class MessageMetadataMerged(messages.MessageMetadataMerged):
    TOPIC: ClassVar[str] = "thread.message-metadata-merged"


class MessageDeleted(messages.MessageDeleted):
    TOPIC: ClassVar[str] = "thread.message-deleted"


class MetadataMerged(aggregate.MetadataMerged):
    TOPIC: ClassVar[str] = "thread.metadata-merged"


class MetadataReplaced(aggregate.MetadataReplaced):
    TOPIC: ClassVar[str] = "thread.metadata-replaced"


class StateSet(aggregate.StateSet):
    TOPIC: ClassVar[str] = "thread.state-set"


class ThreadDeleted(aggregate.Deleted):
    TOPIC: ClassVar[str] = "thread.deleted"


class ThreadUndeleted(aggregate.Undeleted):
    TOPIC: ClassVar[str] = "thread.undeleted"


class HoldPlaced(aggregate.HoldPlaced):
    TOPIC: ClassVar[str] = "thread.hold-placed"


class HoldReleased(aggregate.HoldReleased):
    TOPIC: ClassVar[str] = "thread.hold-released"


class ThreadPurged(aggregate.Purged):
    TOPIC: ClassVar[str] = "thread.purged"


class MessagesErased(messages.MessagesErased):
    TOPIC: ClassVar[str] = "thread.messages-erased"


@dataclass(frozen=True, kw_only=True)
class Thread(Conversation):
    KIND: ClassVar[str] = "thread"
    EVENTS: ClassVar[ConversationFamily] = ConversationFamily(
        started=ThreadStarted,
        metadata_merged=MetadataMerged,
        metadata_replaced=MetadataReplaced,
        deleted=ThreadDeleted,
        undeleted=ThreadUndeleted,
        hold_placed=HoldPlaced,
        hold_released=HoldReleased,
        purged=ThreadPurged,
        message_added=MessageAdded,
        message_edited=MessageEdited,
        message_metadata_merged=MessageMetadataMerged,
        message_deleted=MessageDeleted,
        messages_erased=MessagesErased,
    )
    STATE_SET: ClassVar[type[StateSet]] = StateSet
