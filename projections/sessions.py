"""The sessions view: each session as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from domain.errors import NotFound
from domain.sessions import Session
from eventlog.changes import StreamChange
from eventlog.database import Database
from eventlog.recorder import Write
from eventlog.statements import Statements
from projections.conversations import puts_for
from projections.paging import Filter, Page, Window, page_of

SQL = Statements("projections", "sessions")


def writes_for(changes: Sequence[StreamChange]) -> list[Write]:
    return puts_for(changes, Session, SQL, "sessions")


def session_from(row: tuple[Any, ...]) -> Session:
    (
        stream_id,
        project,
        scope,
        name,
        number,
        user_id,
        metadata,
        message_count,
        hidden_through,
        version,
        created_at,
        updated_at,
        deleted_at,
        deleted_version,
    ) = row
    return Session(
        id=stream_id,
        project=project,
        scope=scope,
        name=name,
        number=number,
        user_id=user_id,
        metadata=metadata,
        message_count=message_count,
        hidden_through=hidden_through,
        version=version,
        created_at=created_at,
        updated_at=updated_at,
        deleted_at=deleted_at,
        deleted_version=deleted_version,
    )


def get_session(
    database: Database, project: str, name: str, *, scope: str = "", deleted: bool = False
) -> Session:
    """The session, live, or with ``deleted`` in either state. Raises NotFound."""
    key = {"project": project, "scope": scope, "name": name}
    for row in database.fetch(SQL["get_session"], key):
        session = session_from(row)
        if deleted or not session.is_deleted:
            return session
    raise NotFound(Session.KIND)


def list_sessions(
    database: Database, project: str, window: Window, criteria: Filter | None = None
) -> Page[Session]:
    """Sessions by the order they began in."""
    sql = SQL[f"list_sessions_{window.order}_first"]
    bound = (criteria or Filter()).parameters()
    bound |= {"project": project, "after": window.after(), "limit": window.limit + 1}
    rows = database.fetch(sql, bound, prepare=False)
    return page_of([session_from(row) for row in rows], window, lambda session: session.number)
