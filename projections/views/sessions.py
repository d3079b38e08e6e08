"""The sessions view: each session as it is now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from recountdb.domain.errors import NotFound
from recountdb.domain.sessions import Origin, Session
from recountdb.eventlog.log.recorder import Write
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.eventlog.write.ports import StreamChange
from recountdb.projections.lists.paging import Filter, Numbered, Page, Window
from recountdb.projections.views.rows import list_rows, upsert_conversations

SQL = Statements(__name__, "sessions")
VERSION = 1
TABLES = {"sessions": ("stream_id",)}


def writes_for(changes: Sequence[StreamChange]) -> list[Write]:
    return upsert_conversations(changes, Session, SQL, "sessions")


def _session_from(origin: dict[str, Any] | None, **columns: Any) -> Session:
    return Session(origin=None if origin is None else Origin.model_validate(origin), **columns)


def get_session(
    database: Database, project: str, name: str, *, scope: str = "", deleted: bool = False
) -> Session:
    """Return the session if it is live, or with ``deleted`` in either state. Raises NotFound."""
    key = {"project": project, "scope": scope, "name": name}
    for session in database.fetch_as(_session_from, SQL["get_session"], key):
        if deleted or not session.is_deleted:
            return session
    raise NotFound(Session.KIND)


def list_sessions(
    database: Database, project: str, window: Window, criteria: Filter | None = None
) -> Page[Session]:
    """Return a page of sessions, in the order in which they began."""
    sql = SQL[f"list_sessions_{window.order}_first"]
    bound = (criteria or Filter()).parameters()
    return list_rows(database, _session_from, sql, bound | {"project": project}, window)


def list_sessions_by_last_message(
    database: Database, project: str, page: Numbered, criteria: Filter | None = None
) -> list[Session]:
    """Return a page of sessions by when their last message was recorded, the earliest first.

    A session without messages counts from when it began. Sessions of the same moment are sorted by name.
    """
    bound = (criteria or Filter()).parameters() | page.parameters() | {"project": project}
    sql = SQL["list_sessions_last_spoken_in"]
    return database.fetch_as(_session_from, sql, bound, prepare=False)


def count_forks(database: Database, project: str) -> int:
    """Return how many sessions of the project were forked from another one, live or deleted."""
    ((count,),) = database.fetch(SQL["count_forks"], {"project": project})
    return int(count)


def find_session_names(database: Database, project: str, ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of the existing sessions among ``ids``, live or deleted, by stream id."""
    if not ids:
        return {}
    return dict(database.fetch(SQL["session_names"], {"project": project, "ids": list(ids)}))
