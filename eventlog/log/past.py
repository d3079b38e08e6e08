"""Messages as they were at an earlier version of their stream, made from the changes since they were added.

Changes are read only for messages that are asked for, and only a batch of them at a time: however large the
changes of a conversation are, only the messages themselves are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from recountdb.domain.messages import MessageState, fold_messages
from recountdb.eventlog.log.recorder import BATCH_WEIGHT_MAX, Change

if TYPE_CHECKING:
    from recountdb.eventlog.application import Recount

Changes = Mapping[UUID, Sequence[Change]]
"""The changes of each message, by its id, oldest first."""


def messages_at(
    application: Recount, stream_id: UUID, version: int, today: Iterable[MessageState]
) -> dict[UUID, MessageState]:
    """Return, by id, the messages of ``today`` that were there at ``version``, as they were then.

    Nothing is read unless one of them was changed later.
    """
    messages = {message.id: message for message in today if message.version <= version}
    changed = [message for message in messages.values() if message.changed_version > version]
    for message in changed:
        added = application.log.select_events(stream_id, gt=message.version - 1, lte=message.version)
        fold_messages(messages, map(application.read, added))
    if changed:
        afresh = [messages[message.id] for message in changed]
        changes = changes_until(application, stream_id, version)
        for message in with_changes(application, stream_id, afresh, changes):
            messages[message.id] = message
    return messages


def changes_until(application: Recount, stream_id: UUID, version: int) -> Changes:
    """Return the changes of a stream's messages up to ``version``, without their payloads."""
    found: dict[UUID, list[Change]] = {}
    for change in application.log.find_changes(stream_id, lte=version):
        found.setdefault(change.message_id, []).append(change)
    return found


def with_changes(
    application: Recount, stream_id: UUID, added: Iterable[MessageState], changes: Changes
) -> Iterator[MessageState]:
    """Yield messages of a stream, given as they were added, with ``changes`` applied; in order."""
    for messages in _in_batches(added, changes):
        by_id = {message.id: message for message in messages}
        for batch in _in_versions([change for id in by_id for change in changes.get(id, ())]):
            stored = application.log.select_versions(stream_id, batch)
            fold_messages(by_id, map(application.read, stored))
        yield from by_id.values()


def _in_batches(messages: Iterable[MessageState], changes: Changes) -> Iterator[list[MessageState]]:
    """Yield ``messages`` in batches whose changes are within the limit of weight, or of one message."""
    batch: list[MessageState] = []
    weight = 0
    for message in messages:
        more = sum(change.weight for change in changes.get(message.id, ()))
        if batch and weight + more > BATCH_WEIGHT_MAX:
            yield batch
            batch, weight = [], 0
        batch.append(message)
        weight += more
    if batch:
        yield batch


def _in_versions(changes: Sequence[Change]) -> Iterator[list[int]]:
    """Yield the versions of ``changes`` in order, in batches within the limit of weight or of one change."""
    batch: list[int] = []
    weight = 0
    for change in sorted(changes, key=lambda change: change.version):
        if batch and weight + change.weight > BATCH_WEIGHT_MAX:
            yield batch
            batch, weight = [], 0
        batch.append(change.version)
        weight += change.weight
    if batch:
        yield batch
