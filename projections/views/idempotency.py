"""The requests view: the events that each request with an idempotency key recorded, to answer a repeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recountdb.eventlog.log.recorder import Write
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.eventlog.write.ports import RecordedRequest, StreamChange

SQL = Statements(__name__, "idempotency")
VERSION = 1
TABLES = {"requests": ("project", "key")}


def writes_for(changes: Sequence[StreamChange]) -> list[Write]:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for change in changes:
        for event in change.events:
            if event.idempotency is None:
                continue
            row = rows.setdefault(
                (event.project, event.idempotency.key),
                {
                    "project": event.project,
                    "key": event.idempotency.key,
                    "fingerprint": event.idempotency.fingerprint,
                    "kind": change.state.KIND,
                    "stream_id": event.originator_id,
                    "first_version": event.originator_version,
                },
            )
            row["last_version"] = event.originator_version
    return [Write("requests", SQL["insert_requests"], list(rows.values()))]


def find_request(database: Database, project: str, key: str) -> RecordedRequest | None:
    """Return what the request with this idempotency key recorded; None for a new key."""
    bound = {"project": project, "key": key}
    for row in database.fetch(SQL["find_request"], bound):
        return RecordedRequest(*row)
    return None
