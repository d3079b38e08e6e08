"""What of many sessions is here already, asked in one go: for an import that goes on where it stopped."""

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
class Presence:
    """A session that is here. ``message_count`` counts hidden ones, too."""

    stream_id: UUID
    is_deleted: bool
    message_count: int


def find_sessions(
    database: Database, project: str, keys: Collection[tuple[str, str]]
) -> dict[tuple[str, str], Presence]:
    """Those of the sessions named by ``keys`` (scope, name) that are here, live or deleted."""
    scopes, names = zip(*keys, strict=True) if keys else ((), ())
    bound = {"project": project, "scopes": list(scopes), "names": list(names)}
    rows = database.fetch(SQL["find_sessions"], bound, prepare=False)
    return {(scope, name): Presence(*presence) for scope, name, *presence in rows}


def find_message_ids(
    database: Database, wanted: Mapping[UUID, Collection[UUID]]
) -> defaultdict[UUID, set[UUID]]:
    """By stream: those of its ``wanted`` message ids that are here, hidden ones too."""
    pairs = [(stream_id, message_id) for stream_id, ids in wanted.items() for message_id in ids]
    bound = {"streams": [stream for stream, _ in pairs], "messages": [message for _, message in pairs]}
    found: defaultdict[UUID, set[UUID]] = defaultdict(set)
    for stream_id, message_id in database.fetch(SQL["find_message_ids"], bound, prepare=False):
        found[stream_id].add(message_id)
    return found


@dataclass(frozen=True)
class Known:
    """A message that is here. ``source``: what its metadata say under ``member``; None: nothing."""

    id: UUID
    source: Any


def find_sources(
    database: Database, streams: Collection[UUID], member: str
) -> defaultdict[UUID, list[Known]]:
    """By stream: all its messages, hidden ones too, in order, with where they were imported from."""
    found: defaultdict[UUID, list[Known]] = defaultdict(list)
    bound = {"streams": list(streams), "member": member}
    for stream_id, message_id, source in database.fetch(SQL["find_sources"], bound, prepare=False):
        found[stream_id].append(Known(message_id, source))
    return found
