"""What was said last, in one session or in many: by the time it was said, where others go by the log.

A flow has many sessions, and who asks for the newest messages of it wants them from all.
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
from recountdb.projections.queries.paging import Filter
from recountdb.projections.queries.whole_lists import read_whole
from recountdb.projections.views.messages import FoundMessage, found_from

SQL = Statements(__name__, "recent_messages")


@dataclass(frozen=True)
class Label:
    """Messages by what stands in their metadata at ``path``: one of ``values``.

    One where nothing stands there goes by its role: one of ``roles``; None: any will do.
    """

    path: Sequence[str]
    values: Sequence[str]
    roles: Sequence[str] | None = ()


@dataclass(frozen=True)
class Speaker:
    """Messages by their name; one without a name goes by its role: one of ``roles``."""

    name: str
    roles: Sequence[str] = ()


@dataclass(frozen=True)
class Said(Filter):
    """What to see of sessions that are live; ``deleted`` says nothing here.

    ``scope``: None for all scopes. ``unless_scope``: a regular expression; sessions whose scope it finds
    something in are left out. ``session``: the name of one session, or of one in each scope.
    ``owner``: messages of this user and of nobody. ``users``: messages of any of these. ``without``:
    messages whose metadata do not contain this document.
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


class SpokenSession(NamedTuple):
    """A session and when something was last said in it."""

    scope: str
    name: str
    said_at: datetime


def newest_messages(
    database: Database,
    project: str,
    said: Said,
    *,
    limit: int | None,
    offset: int = 0,
    bytes_max: int | None = None,
) -> list[FoundMessage]:
    """The newest ``limit`` messages (None: all) after the newest ``offset``, the newest first.

    Raises TooLarge where they have more than ``bytes_max``.
    """
    bound = said.parameters() | {"project": project, "limit": limit, "offset": offset}
    rows = read_whole(
        lambda weighing: database.fetch(SQL["newest_messages"], bound | weighing, prepare=False), bytes_max
    )
    return [found_from(None, row) for row in rows]


def latest_sessions(
    database: Database,
    project: str,
    said: Said,
    *,
    limit: int | None,
    offset: int = 0,
    unless_begins: str | None = None,
) -> list[SpokenSession]:
    """Sessions in which such a message is, one of each name, the one that was last spoken in first.

    ``unless_begins``: leave out names that begin so.
    """
    bound = said.parameters() | {"project": project, "limit": limit, "offset": offset}
    bound["unless_begins"] = unless_begins
    return [SpokenSession(*row) for row in database.fetch(SQL["latest_sessions"], bound, prepare=False)]


def scopes_spoken_in(database: Database, project: str, name: str) -> list[str]:
    """The scopes in which a live session of this name has a message."""
    return [scope for (scope,) in database.fetch(SQL["scopes_spoken_in"], {"project": project, "name": name})]
