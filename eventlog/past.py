"""Messages as they were at an earlier version of their stream, made from what changed since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from domain.messages import MessageEvent, MessageState, fold_messages

if TYPE_CHECKING:
    from eventlog.application import Recount


def messages_at(
    application: Recount, stream_id: UUID, version: int, today: Iterable[MessageState]
) -> dict[UUID, MessageState]:
    """Those of ``today``'s messages of a stream that were there at ``version``, as they were, by id.

    Reads nothing unless one of them was changed later.
    """
    messages = {message.id: message for message in today if message.version <= version}
    changed = [message for message in messages.values() if message.changed_version > version]
    for message in changed:
        added = application.log.select_events(stream_id, gt=message.version - 1, lte=message.version)
        fold_messages(messages, map(application.read, added))
    if changed:
        afresh = {message.id for message in changed}
        events = map(application.read, application.log.select_changes(stream_id, lte=version))
        about = (e for e in events if isinstance(e, MessageEvent) and e.message_id in afresh)
        fold_messages(messages, about)
    return messages
