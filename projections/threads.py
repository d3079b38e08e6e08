"""The threads view: each thread as it is now, and its state documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from domain.errors import NotFound
from domain.threads import StateSet, Thread
from eventlog.changes import StreamChange
from eventlog.database import Database
from eventlog.recorder import Write
from eventlog.statements import Statements
from projections.conversations import puts_for
from projections.paging import Filter, Page, Window, page_of

SQL = Statements("projections", "threads")
VERSION = 1
TABLES = {"threads": ("stream_id",), "thread_states": ("stream_id", "key")}


def writes_for(changes: Sequence[StreamChange]) -> list[Write]:
    documents = {
        (event.originator_id, event.key): {
            "stream_id": event.originator_id,
            "key": event.key,
            "state": event.state,
            "version": event.originator_version,
            "updated_at": event.recorded_at,
        }
        for change in changes
        for event in change.events
        if isinstance(event, StateSet)
    }
    return [
        *puts_for(changes, Thread, SQL, "threads"),
        Write("thread_states", SQL["put_thread_states"], list(documents.values())),
    ]


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
    bound |= {"project": project, "after": window.after(), "limit": window.limit + 1}
    rows = database.fetch_as(Thread, sql, bound, prepare=False)
    return page_of(rows, window, lambda thread: thread.number)


def get_thread_state(database: Database, project: str, name: str, key: str | None) -> Any:
    """The document under ``key``; None where none was set, the thread is new, or it is deleted."""
    bound = {"project": project, "name": name, "key": key}
    for state, _version, _updated_at in database.fetch(SQL["get_thread_state"], bound):
        return state
    return None
