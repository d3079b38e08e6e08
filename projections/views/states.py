"""The states view: the documents that applications keep beside threads and users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from recountdb.domain.aggregate import StateSet
from recountdb.eventlog.log.recorder import Write
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.eventlog.write.ports import StreamChange

SQL = Statements(__name__, "states")
VERSION = 1
TABLES = {"states": ("stream_id", "key")}

StatefulKind = Literal["thread", "user"]


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
    return [Write("states", SQL["upsert_states"], list(documents.values()))]


def get_state(database: Database, project: str, kind: StatefulKind, name: str, key: str | None) -> Any:
    """Return the document under ``key``.

    It is None when none was set, or when the thread or user does not exist or is deleted.
    """
    bound = {"project": project, "kind": kind, "name": name, "key": key}
    for (state,) in database.fetch(SQL["get_state"], bound):
        return state
    return None


def list_states(database: Database, project: str, kind: StatefulKind, name: str) -> dict[str, Any]:
    """Return all documents that have a key and are not None, by key, in the order in which they were set."""
    bound = {"project": project, "kind": kind, "name": name}
    return dict(database.fetch(SQL["list_states"], bound))
