"""The threads view: each thread as it is now."""

from __future__ import annotations

from collections.abc import Sequence

from recountdb.domain.errors import NotFound
from recountdb.domain.threads import Thread
from recountdb.eventlog.log.recorder import Write
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.eventlog.write.ports import StreamChange
from recountdb.projections.lists.paging import Filter, Page, Window
from recountdb.projections.views.rows import list_rows, upsert_conversations

SQL = Statements(__name__, "threads")
VERSION = 1
TABLES = {"threads": ("stream_id",)}


def writes_for(changes: Sequence[StreamChange]) -> list[Write]:
    return upsert_conversations(changes, Thread, SQL, "threads")


def get_thread(database: Database, project: str, name: str, *, deleted: bool = False) -> Thread:
    """Return the thread if it is live, or with ``deleted`` in either state. Raises NotFound."""
    key = {"project": project, "scope": "", "name": name}
    for thread in database.fetch_as(Thread, SQL["get_thread"], key):
        if deleted or not thread.is_deleted:
            return thread
    raise NotFound(Thread.KIND)


def list_threads(
    database: Database, project: str, window: Window, criteria: Filter | None = None
) -> Page[Thread]:
    """Return a page of threads, in the order in which they began."""
    sql = SQL[f"list_threads_{window.order}_first"]
    bound = (criteria or Filter()).parameters()
    return list_rows(database, Thread, sql, bound | {"project": project}, window)
