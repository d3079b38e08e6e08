"""Newest messages of one session or of many, by the time when they were said instead of by the log.

A flow has many sessions, and its newest messages may be in any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json

from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.lists.paging import Filter
from recountdb.projections.lists.whole_lists import read_whole
from recountdb.projections.views.messages import SQL as MESSAGES
from recountdb.projections.views.messages import FoundMessage, to_found_message

SQL = Statements(__name__, "recent_messages", parts_of=MESSAGES)


@dataclass(frozen=True)
class Label:
    """Filter for messages that have one of ``values`` in their metadata at ``path``.

    A message without a value there must have one of ``roles``; None means any role.
    """

    path: Sequence[str]
    values: Sequence[str]
    roles: Sequence[str] | None = ()


@dataclass(frozen=True)
class Speaker:
    """Filter for messages by their name; a message without a name must have one of ``roles``."""

    name: str
    roles: Sequence[str] = ()


@dataclass(frozen=True)
class RecentFilter(Filter):
    """Filter for messages of live sessions; ``deleted`` has no effect here.

    ``scope``: None means all scopes. ``unless_scope``: a regular expression; sessions whose scope matches it
    are left out. ``session``: the name of a session, in one scope or in each. ``owner``: messages of this
    user and of no user. ``users``: messages of any of these users. ``without``: messages whose metadata do
    not contain this document.
    """

    unless_scope: str | None = None
    session: str | None = None
    message_id: UUID | None = None
    owner: str | None = None
    users: Sequence[str] | None = None
    label: Label | None = None
    speaker: Speaker | None = None
    without: dict[str, Any] | None = None

    def parameters(self) -> dict[str, Any]:
        label, speaker = self.label, self.speaker
        return super().parameters() | {
            "unless_scope": self.unless_scope,
            "session": self.session,
            "message_id": self.message_id,
            "owner": self.owner,
            "users": None if self.users is None else list(self.users),
            "label": None if label is None else list(label.values),
            "label_path": None if label is None else list(label.path),
            "label_roles": None if label is None or label.roles is None else list(label.roles),
            "speaker": None if speaker is None else speaker.name,
            "speaker_roles": None if speaker is None else list(speaker.roles),
            "without": None if self.without is None else to_json(self.without).decode(),
        }


class RecentSession(NamedTuple):
    """A session, and when its last message was said."""

    scope: str
    name: str
    said_at: datetime


def find_newest_messages(
    database: Database,
    project: str,
    said: RecentFilter,
    *,
    limit: int | None,
    offset: int = 0,
    bytes_max: int | None = None,
) -> list[FoundMessage]:
    """Return the newest ``limit`` messages (None: all) after the newest ``offset``, the newest first.

    Raises TooLarge when they have more than ``bytes_max`` bytes (None: no limit).
    """
    bound = said.parameters() | {"project": project, "limit": limit, "offset": offset}
    rows = read_whole(
        lambda weighing: database.fetch(SQL["newest_messages"], bound | weighing, prepare=False), bytes_max
    )
    return [to_found_message(None, row) for row in rows]


def find_recent_sessions(
    database: Database,
    project: str,
    said: RecentFilter,
    *,
    limit: int | None,
    offset: int = 0,
    unless_begins: str | None = None,
) -> list[RecentSession]:
    """Return sessions that have such a message, one of each name, the one last spoken in first.

    ``unless_begins``: leaves out names that begin with this text.
    """
    bound = said.parameters() | {"project": project, "limit": limit, "offset": offset}
    bound["unless_begins"] = unless_begins
    return [RecentSession(*row) for row in database.fetch(SQL["latest_sessions"], bound, prepare=False)]


def find_spoken_scopes(database: Database, project: str, name: str) -> list[str]:
    """Return the scopes in which a live session of this name has a message."""
    return [scope for (scope,) in database.fetch(SQL["scopes_spoken_in"], {"project": project, "name": name})]
