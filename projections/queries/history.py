"""Reads of the past: a conversation as it was at an earlier version or time, made from its events."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from recountdb.domain.aggregate import Aggregate
from recountdb.domain.catalog import KINDS
from recountdb.domain.commands.base import Name
from recountdb.domain.conversation import Conversation
from recountdb.domain.errors import InvalidInput, NotFound
from recountdb.domain.messages import MessageAdded, MessageState, message_from
from recountdb.eventlog.application import Recount
from recountdb.eventlog.log.past_messages import apply_changes, load_changes, restore_messages
from recountdb.projections.lists.paging import Filter, Window, encode_cursor, is_full, measure_json
from recountdb.projections.views.messages import MessagePage


@dataclass(frozen=True)
class AsOf:
    """A moment in a stream: a version, or a time (the events recorded up to it); with neither, now."""

    version: int | None = None
    moment: datetime | None = None


def find_named_stream(application: Recount, name: Name) -> UUID:
    """Return the stream that has this name today, live or deleted. Raises NotFound."""
    stream_id = application.views.find_stream(name)
    if stream_id is None:
        raise NotFound(name.kind)
    return stream_id


def load_state_as_of(application: Recount, name: Name, as_of: AsOf) -> Aggregate:
    """Return the state at that moment of the stream that has this name today.

    Raises NotFound for a moment before it began, and InvalidInput for a version that is not recorded yet.
    """
    stream_id = find_named_stream(application, name)
    return load_state_at(application, name.kind, stream_id, find_version_as_of(application, stream_id, as_of))


def find_version_as_of(application: Recount, stream_id: UUID, as_of: AsOf, *, field: str = "as_of") -> int:
    """Return the version that a stream had at that moment; 0 before it began.

    Raises InvalidInput, which names ``field``, for a version that is not recorded yet.
    """
    if as_of.moment is not None:
        return application.log.version_at(stream_id, as_of.moment)
    last = application.log.last_version(stream_id)
    if as_of.version is not None and as_of.version > last:
        raise InvalidInput(field, "this version is not recorded yet")
    return last if as_of.version is None else as_of.version


def load_state_at(application: Recount, kind: str, stream_id: UUID, version: int) -> Aggregate:
    """Return the state of a stream at ``version``. Raises NotFound before it began."""
    state = application.state_of(KINDS[kind], stream_id, version) if version else None
    if state is None:
        raise NotFound(kind)
    return state


def page_as_of(
    application: Recount, name: Name, as_of: AsOf, window: Window, criteria: Filter
) -> MessagePage:
    """Return a page of messages as they were at that moment. Raises NotFound, InvalidInput.

    The cost grows with the page and with the changes up to that moment.
    """
    conversation = load_state_as_of(application, name, as_of)
    assert isinstance(conversation, Conversation)
    if conversation.is_deleted and criteria.deleted is False:
        raise NotFound(name.kind)
    found: list[MessageState] = []
    size = 0
    for message in read_messages_as_of(application, conversation, window):
        if not _meets_criteria(message, conversation, criteria):
            continue
        if len(found) == window.limit or is_full(window, size):
            cursor = encode_cursor(found[-1].version, window.order)
            return MessagePage(found, cursor, version=conversation.version)
        found.append(message)
        size += measure_json(message)
    return MessagePage(found, version=conversation.version)


def load_message_as_of(
    application: Recount, name: Name, message_id: UUID, as_of: AsOf | None
) -> MessageState:
    """Return a message as it was at that moment. Raises NotFound when it did not exist or was hidden."""
    conversation = load_state_as_of(application, name, as_of or AsOf())
    assert isinstance(conversation, Conversation)
    message = load_messages_at(application, conversation, [message_id]).get(message_id)
    if message is None or conversation.hides(message):
        raise NotFound("message")
    return message


def read_messages_as_of(
    application: Recount, conversation: Conversation, window: Window
) -> Iterator[MessageState]:
    """Yield all messages up to the conversation's version, from the window's cursor on, in its order."""
    changes = load_changes(application.events, conversation.id, conversation.version)
    for added in _added_until(application, conversation, window):
        yield from apply_changes(application.events, conversation.id, added, changes)


def load_messages_at(
    application: Recount, conversation: Conversation, ids: Collection[UUID]
) -> dict[UUID, MessageState]:
    """Return the messages with these ids as they were at the conversation's version, by id."""
    today = application.views.find_messages(conversation.id, ids, ())
    return restore_messages(application.events, conversation.id, conversation.version, today)


def _added_until(
    application: Recount, conversation: Conversation, window: Window
) -> Iterator[list[MessageState]]:
    """Yield lists of messages as they were added, each about as long as a page."""
    low, high = 0, conversation.version + 1
    after = window.after()
    is_newest_first = window.order == "newest"
    if after is not None:
        low, high = (low, min(high, after)) if is_newest_first else (after, high)
    while True:
        entries = application.log.select_stream(
            conversation.id, gt=low, lt=high, limit=window.limit + 1, desc=is_newest_first
        )
        events = map(application.events.to_event, entries)
        yield [message_from(event) for event in events if isinstance(event, MessageAdded)]
        if len(entries) <= window.limit and not entries.is_cut:
            return
        last = entries[-1].originator_version
        low, high = (low, last) if is_newest_first else (last, high)


def _meets_criteria(message: MessageState, conversation: Conversation, criteria: Filter) -> bool:
    """Return whether a past state of a message meets the criteria, as the SQL of the messages view does."""
    said = message.timestamp or message.recorded_at
    return (
        criteria.deleted in (None, conversation.hides(message))
        and criteria.role in (None, message.role)
        and criteria.user_id in (None, message.user_id)
        and (criteria.since is None or said >= criteria.since)
        and (criteria.until is None or said < criteria.until)
        and (criteria.metadata is None or _contains_document(message.metadata, criteria.metadata))
    )


def _contains_document(document: Any, part: Any) -> bool:
    """Return what PostgreSQL's jsonb ``document @> part`` does, for parts that are objects."""
    if isinstance(part, dict):
        return isinstance(document, dict) and all(
            key in document and _contains_document(document[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(document, list) and all(
            any(_contains_document(member, wanted) for member in document) for wanted in part
        )
    return (type(document) is type(part) and bool(document == part)) or _is_same_number(document, part)


def _is_same_number(document: Any, part: Any) -> bool:
    numbers = (int, float)
    if isinstance(document, bool) or isinstance(part, bool):
        return False
    return isinstance(document, numbers) and isinstance(part, numbers) and document == part
