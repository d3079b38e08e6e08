"""Lookups of many existing sessions and messages at once, for an import that continues where it stopped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "existing_sessions")


@dataclass(frozen=True)
class ExistingSession:
    """An existing session. ``message_count`` counts hidden messages, too."""

    stream_id: UUID
    is_deleted: bool
    message_count: int


def find_existing_sessions(
    database: Database, project: str, keys: Collection[tuple[str, str]]
) -> dict[tuple[str, str], ExistingSession]:
    """Return the existing sessions among those named by ``keys`` (scope, name), live or deleted."""
    scopes, names = zip(*keys, strict=True) if keys else ((), ())
    bound = {"project": project, "scopes": list(scopes), "names": list(names)}
    rows = database.fetch(SQL["find_sessions"], bound, prepare=False)
    return {(scope, name): ExistingSession(*presence) for scope, name, *presence in rows}


def find_message_ids(
    database: Database, wanted: Mapping[UUID, Collection[UUID]]
) -> defaultdict[UUID, set[UUID]]:
    """Return, by stream, the ``wanted`` message ids that exist, those of hidden messages too."""
    pairs = [(stream_id, message_id) for stream_id, ids in wanted.items() for message_id in ids]
    bound = {"streams": [stream for stream, _ in pairs], "messages": [message for _, message in pairs]}
    found: defaultdict[UUID, set[UUID]] = defaultdict(set)
    for stream_id, message_id in database.fetch(SQL["find_message_ids"], bound, prepare=False):
        found[stream_id].add(message_id)
    return found


@dataclass(frozen=True)
class ExistingMessage:
    """An existing message. ``source``: the value of ``member`` in its metadata; None when there is none."""

    id: UUID
    source: Any


def find_existing_messages(
    database: Database, streams: Collection[UUID], member: str
) -> defaultdict[UUID, list[ExistingMessage]]:
    """Return, by stream, all messages in order, hidden ones too, with the source that ``member`` names."""
    found: defaultdict[UUID, list[ExistingMessage]] = defaultdict(list)
    bound = {"streams": list(streams), "member": member}
    for stream_id, message_id, source in database.fetch(SQL["find_sources"], bound, prepare=False):
        found[stream_id].append(ExistingMessage(message_id, source))
    return found
