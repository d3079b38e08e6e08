"""The registry of the core views, which are written in the transaction that appends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from recountdb.domain.commands.base import Name
from recountdb.domain.messages import MessageState
from recountdb.eventlog.log.recorder import Write
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.eventlog.write.ports import RecordedRequest, StreamChange
from recountdb.projections.views import (
    idempotency,
    memory_functions,
    messages,
    names,
    sessions,
    states,
    threads,
    users,
)

BY_NAME = {
    "names": names,
    "sessions": sessions,
    "threads": threads,
    "users": users,
    "functions": memory_functions,
    "states": states,
    "messages": messages,
    "requests": idempotency,
}
"""The views by their names in the table ``views``, in the order in which they are written."""

VIEWS = tuple(BY_NAME.values())
"""The modules of the views. ``VERSION`` of a view counts the ways in which its rows were made: a view whose
version changes must be rebuilt. ``TABLES`` are its tables, each with the columns that identify a row."""


class CoreViews:
    """Core views on one database, as the application needs them (see eventlog.application.Views)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def writes_for(self, changes: Sequence[StreamChange]) -> list[Write]:
        return [write for view in VIEWS for write in view.writes_for(changes) if write.rows]

    def find_stream(self, name: Name) -> UUID | None:
        return names.find_stream(self._database, name)

    def find_request(self, project: str, key: str) -> RecordedRequest | None:
        return idempotency.find_request(self._database, project, key)

    def find_messages(
        self, stream_id: UUID, ids: Collection[UUID], instants: Collection[datetime]
    ) -> list[MessageState]:
        return messages.find_messages(self._database, stream_id, ids, instants)

    def find_hold(self, project: str, user_id: str) -> str | None:
        return users.find_hold(self._database, project, user_id)

    def user_exists(self, project: str, user_id: str) -> bool:
        return users.user_exists(self._database, project, user_id)

    def stream_exists(self, stream_id: UUID) -> bool:
        return names.stream_exists(self._database, stream_id)

    def count_forks(self, project: str) -> int:
        return sessions.count_forks(self._database, project)

    def last_number(self, connection: Connection, project: str, kind: str) -> int:
        return names.last_number(connection, project, kind)
