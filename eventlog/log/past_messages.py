"""Messages as they were at an earlier version of their stream, made from the changes since they were added.

Changes are read only for messages that are asked for, and only a batch of them at a time: however large the
changes of a conversation are, only the messages themselves are held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TypeVar
from uuid import UUID

from recountdb.domain.messages import MessageState, fold_messages
from recountdb.eventlog.log.event_log import EventLog
from recountdb.eventlog.log.reader import BATCH_WEIGHT_MAX
from recountdb.eventlog.log.rows import MessageChange

Changes = Mapping[UUID, Sequence[MessageChange]]
"""The changes of each message, by its id, oldest first."""

T = TypeVar("T")


def restore_messages(
    log: EventLog, stream_id: UUID, version: int, today: Iterable[MessageState]
) -> dict[UUID, MessageState]:
    """Return, by id, the messages of ``today`` that were there at ``version``, as they were then.

    Nothing is read unless one of them was changed later.
    """
    messages = {message.id: message for message in today if message.version <= version}
    changed = [message for message in messages.values() if message.changed_version > version]
    for message in changed:
        fold_messages(messages, log.get_events(stream_id, gt=message.version - 1, lte=message.version))
    if changed:
        added = [messages[message.id] for message in changed]
        changes = load_changes(log, stream_id, version)
        messages.update((message.id, message) for message in apply_changes(log, stream_id, added, changes))
    return messages


def load_changes(log: EventLog, stream_id: UUID, version: int) -> Changes:
    """Return the changes of a stream's messages up to ``version``, without their payloads."""
    found: dict[UUID, list[MessageChange]] = {}
    for change in log.recorder.find_changes(stream_id, lte=version):
        found.setdefault(change.message_id, []).append(change)
    return found


def apply_changes(
    log: EventLog, stream_id: UUID, added: Iterable[MessageState], changes: Changes
) -> Iterator[MessageState]:
    """Yield messages of a stream, given as they were added, with ``changes`` applied; in order."""

    def weigh(message: MessageState) -> int:
        return sum(change.weight for change in changes.get(message.id, ()))

    for messages in _split_by_weight(added, weigh):
        by_id = {message.id: message for message in messages}
        found = sorted((change for id in by_id for change in changes.get(id, ())), key=attrgetter("version"))
        for some in _split_by_weight(found, attrgetter("weight")):
            fold_messages(by_id, log.get_versions(stream_id, [change.version for change in some]))
        yield from by_id.values()


def _split_by_weight(items: Iterable[T], weigh: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield ``items`` in order, in batches within the limit of weight, or of a single heavier item."""
    batch: list[T] = []
    weight = 0
    for item in items:
        added = weigh(item)
        if batch and weight + added > BATCH_WEIGHT_MAX:
            yield batch
            batch, weight = [], 0
        batch.append(item)
        weight += added
    if batch:
        yield batch
