"""The threads view: each thread as it is now."""

from __future__ import annotations

from collections.abc import Sequence

from domain.errors import NotFound
from domain.threads import Thread
from eventlog.changes import StreamChange
from eventlog.database import Database
from eventlog.recorder import Write
from eventlog.statements import Statements
from projections.conversations import puts_for
from projections.listing import list_rows
from projections.paging import Filter, Page, Window

SQL = Statements("projections", "threads")
VERSION = 1
TABLES = {"threads": ("stream_id",)}


def writes_for(changes: Sequence[StreamChange]) -> list[Write]:
    return puts_for(changes, Thread, SQL, "threads")


def get_thread(database: Database, project: str, name: str, *, deleted: bool = False) -> Thread:
    """The thread, live, or with ``deleted`` in either state. Raises NotFound."""
    key = {"project": project, "scope": "", "name": name}
    for thread in database.fetch_as(Thread, SQL["get_thread"], key):
        if deleted or not thread.is_deleted:
            return thread
    raise NotFound(Thread.KIND)


def list_threads(
    database: Database, project: str, window: Window, criteria: Filter | None = None
) -> Page[Thread]:
    """Threads by the order they began in."""
    sql = SQL[f"list_threads_{window.order}_first"]
    bound = (criteria or Filter()).parameters()
    return list_rows(database, Thread, sql, bound | {"project": project}, window)
