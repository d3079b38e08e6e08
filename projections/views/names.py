"""The names view: the names of streams, and the counters of their dense numbers."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from recountdb.domain.aggregate import Aggregate, Started
from recountdb.domain.commands.base import Name
from recountdb.domain.events import Erased
from recountdb.domain.sessions import SessionRenamed
from recountdb.eventlog.log.recorder import Write
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.eventlog.write.ports import StreamChange
from recountdb.projections.views.rows import purged_streams

SQL = Statements(__name__, "names")
VERSION = 1
TABLES = {"counters": ("project", "kind"), "names": ("stream_id",)}


def writes_for(changes: Sequence[StreamChange]) -> list[Write]:
    started, renamed = [], []
    numbers: dict[tuple[str, str], int] = {}
    for state, events in ((change.state, change.events) for change in changes):
        if isinstance(events[0], Started | Erased):
            key = (state.project, state.KIND)
            numbers[key] = max(numbers.get(key, 0), state.number)
        if state.is_purged:
            continue
        if isinstance(events[0], Started):
            name = {"project": state.project, "kind": state.KIND, "scope": state.scope}
            started.append({**name, "name": state.name, "stream_id": state.id})
        elif any(isinstance(event, SessionRenamed) for event in events):
            renamed.append({"stream_id": state.id, "name": state.name})
    counters = [{"project": project, "kind": kind, "last": last} for (project, kind), last in numbers.items()]
    return [
        Write("names", SQL["insert_names"], started),
        Write("names", SQL["rename_streams"], renamed),
        Write("names", SQL["delete_names"], purged_streams(changes, Aggregate)),
        Write("counters", SQL["advance_counters"], counters),
    ]


def find_stream(database: Database, name: Name) -> UUID | None:
    """Return the stream that has this name now, live or deleted; None when the name is free."""
    for (stream_id,) in database.fetch(SQL["find_stream"], name._asdict()):
        assert isinstance(stream_id, UUID)
        return stream_id
    return None


def stream_exists(database: Database, stream_id: UUID) -> bool:
    """Return whether a stream has a name, live or deleted."""
    ((found,),) = database.fetch(SQL["stream_exists"], [stream_id])
    return bool(found)


def last_number(connection: Connection, project: str, kind: str) -> int:
    """Return the last number drawn, and lock the counter until the connection's transaction ends."""
    key = {"project": project, "kind": kind}
    ((last,),) = connection.execute(SQL["lock_counter"], key).fetchall()
    return int(last)
