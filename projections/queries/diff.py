"""Differences between two moments of a conversation: its state, and the messages that are not the same.

Messages that did not change in between are not read, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from uuid import UUID

from recountdb.domain.commands.base import Name
from recountdb.domain.conversation import Conversation
from recountdb.domain.errors import InvalidInput
from recountdb.domain.events import Event
from recountdb.domain.messages import MessageEvent, MessageState, fold_messages
from recountdb.eventlog.application import Recount
from recountdb.projections.lists.paging import LIMIT_MAX, Window, encode_cursor, measure_json
from recountdb.projections.queries.history import (
    AsOf,
    find_named_stream,
    find_version_as_of,
    load_messages_at,
    load_state_at,
    read_messages_as_of,
)

EVENTS_MAX = 10_000
"""The limit for events between two moments, and for messages that a deletion between them hid or restored."""

EVENTS_BYTES_MAX = 64 * 2**20
"""The limit for the bytes of those events, and of those messages."""


@dataclass(frozen=True)
class Point:
    """A conversation at one of two moments.

    ``messages``: the messages visible then that were not the same at the other moment, in order.
    """

    conversation: Conversation
    messages: list[MessageState]


def compare_moments(application: Recount, name: Name, old: AsOf, new: AsOf) -> tuple[Point, Point]:
    """Return the conversation at ``old`` and at ``new``, either of which may be the earlier one.

    Raises NotFound for a moment before it began, and InvalidInput for a version that is not recorded yet, or
    when more than EVENTS_MAX events or messages lie in between.
    """
    stream_id = find_named_stream(application, name)
    from_version = find_version_as_of(application, stream_id, old, field="from")
    to_version = find_version_as_of(application, stream_id, new, field="to")
    earlier, later = (
        _conversation_at(application, name.kind, stream_id, version)
        for version in sorted((from_version, to_version))
    )
    before, after = _points(application, earlier, later)
    return (before, after) if from_version <= to_version else (after, before)


def _conversation_at(application: Recount, kind: str, stream_id: UUID, version: int) -> Conversation:
    conversation = load_state_at(application, kind, stream_id, version)
    assert isinstance(conversation, Conversation)
    return conversation


def _points(application: Recount, earlier: Conversation, later: Conversation) -> tuple[Point, Point]:
    _refuse_too_many(later.version - earlier.version)
    events = list(_events_between(application, earlier, later))
    changed = {event.message_id for event in events if isinstance(event, MessageEvent)}
    before = load_messages_at(application, earlier, changed) if changed else {}
    before |= {message.id: message for message in _hidden_between(application, earlier, later)}
    after = fold_messages(dict(before), events)
    return (
        Point(earlier, _select_visible(earlier, before.values())),
        Point(later, _select_visible(later, after.values())),
    )


def _events_between(application: Recount, earlier: Conversation, later: Conversation) -> Iterator[Event]:
    """Yield the events between two moments. Raises InvalidInput when they are too large."""
    after, size = earlier.version, 0
    while after < later.version:
        entries = application.log.select_stream(later.id, gt=after, lt=later.version + 1, limit=LIMIT_MAX)
        size += sum(len(entry.state) for entry in entries)
        _refuse_too_large(size)
        yield from map(application.events.to_event, entries)
        after = entries[-1].originator_version


def _hidden_between(application: Recount, earlier: Conversation, later: Conversation) -> list[MessageState]:
    """Return messages of ``earlier``, as they were, that only one of both moments hides as a whole."""
    one, other = (_shown_after(conversation, earlier.version) for conversation in (earlier, later))
    low, high = min(one, other), max(one, other)
    if low == high:
        return []
    window = Window(min(high - low, LIMIT_MAX), "oldest", encode_cursor(low, "oldest"))
    messages = read_messages_as_of(application, earlier, window)
    found, size = [], 0
    for message in takewhile(lambda message: message.version <= high, messages):
        found.append(message)
        size += measure_json(message)
        _refuse_too_many(len(found))
        _refuse_too_large(size)
    return found


def _shown_after(conversation: Conversation, end: int) -> int:
    """Return the version after which messages, of those up to ``end``, are not deleted as a whole."""
    return end if conversation.is_deleted else min(conversation.hidden_through, end)


def _select_visible(conversation: Conversation, messages: Iterable[MessageState]) -> list[MessageState]:
    visible = (message for message in messages if not conversation.hides(message))
    return sorted(visible, key=lambda message: message.version)


def _refuse_too_many(count: int) -> None:
    if count > EVENTS_MAX:
        raise InvalidInput(
            "from", f"more than {EVENTS_MAX:,} events or messages lie in between: name two nearer moments"
        )


def _refuse_too_large(size: int) -> None:
    if size > EVENTS_BYTES_MAX:
        raise InvalidInput(
            "from", f"more than {EVENTS_BYTES_MAX // 2**20} MiB lie in between: name two nearer moments"
        )
