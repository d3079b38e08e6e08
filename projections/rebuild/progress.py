"""Records of rebuilds, the progress of the running one, and the views that are to be rebuilt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.errors import UndefinedTable

from recountdb.domain.errors import InvalidInput, RecountError
from recountdb.eventlog.postgres.advisory_locks import REBUILD_LOCK
from recountdb.eventlog.postgres.database import Connection, Database, translate_errors
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.queries import counts
from recountdb.projections.views.registry import BY_NAME
from recountdb.projections.views.tables import LIVE, load_versions

SQL = Statements(__name__, "progress")

State = Literal["running", "stopped", "done", "failed"]


@dataclass(frozen=True)
class View:
    """View and the state of its rows.

    ``rows``: see Count. ``rebuilt_at``: None for a view that was only ever written by appends.
    ``is_outdated``: its rows were made by another version of the view than this program's.
    """

    name: str
    version: int
    is_outdated: bool
    rows: int
    rebuilt_at: datetime | None


@dataclass(frozen=True)
class Rebuild:
    """Rebuild of views, running or ended.

    The state ``stopped`` means that it was killed; the next rebuild of the same views continues where it
    was. ``events``: how many the whole log has; ``events_done``: how many are folded, including those of a
    stopped rebuild that this one continues. ``per_second`` and ``seconds_left`` are known while it runs, once
    some events are folded. ``locked_seconds``: how long writers waited while the tables were swapped.
    """

    number: int
    views: Sequence[str]
    is_rehearsal: bool
    state: State
    started_at: datetime
    ended_at: datetime | None
    events: int
    events_done: int
    per_second: float | None
    seconds_left: float | None
    differences: int | None
    locked_seconds: float | None
    error: str | None


@dataclass
class Findings:
    """Findings of a rebuild so far."""

    differences: int | None = None
    locked_seconds: float | None = None


def check_view_names(names: Sequence[str]) -> list[str]:
    """Return the named views in their order, or all views when none is named. Raises InvalidInput."""
    for name in names:
        if name not in BY_NAME:
            raise InvalidInput("views", f"there is no view of this name; there are {', '.join(BY_NAME)}")
    return [name for name in BY_NAME if not names or name in names]


def list_views(database: Database) -> list[View]:
    """Return all views of this program."""
    found = {name: rest for name, *rest in database.fetch(SQL["list_views"])}
    views = []
    for name, view in BY_NAME.items():
        version, rebuilt_at = found.get(name, (0, None))
        rows = counts.count_rows(database, name).rows
        views.append(View(name, version, version != view.VERSION, rows, rebuilt_at))
    return views


def find_outdated_views(connection: Connection) -> list[str]:
    """Return the views whose rows were made by another version of the view than this program's."""
    found = load_versions(connection, LIVE)
    return [name for name, view in BY_NAME.items() if found.get(name) != view.VERSION]


def is_served(database: Database) -> bool:
    """Return whether a server, or another command that takes locks of the store, uses it now."""
    ((is_served,),) = database.fetch(SQL["is_served"])
    return bool(is_served)


def record_start(connection: Connection, names: Sequence[str], *, is_rehearsal: bool) -> int:
    """Record that a rebuild begins, and return its number."""
    ((number,),) = connection.execute(SQL["begin"], [list(names), is_rehearsal]).fetchall()
    return int(number)


@contextmanager
def record_outcome(connection: Connection, number: int) -> Iterator[Findings]:
    """Record the outcome of a rebuild at the end of the block."""
    findings = Findings()
    try:
        with translate_errors():
            yield findings
    except RecountError as refusal:
        record_end(connection, number, findings, str(refusal))
        raise
    except Exception:
        record_end(connection, number, findings, "an error of Recount itself")
        raise
    record_end(connection, number, findings, None)  # a rebuild stopped by hand has no end, as if killed


def record_end(connection: Connection, number: int, findings: Findings, error: str | None) -> None:
    if not connection.closed:
        connection.execute(SQL["end"], {"number": number, "error": error, **vars(findings)})


def load_last_rebuild(database: Database) -> Rebuild | None:
    """Return the running rebuild, or else the last one; None when there was none."""
    return database.read(_find_last)


def _find_last(connection: Connection) -> Rebuild | None:
    # The order matters: a rebuild records its end before it releases the lock.
    holders = [pid for (pid,) in connection.execute(SQL["lock_holders"], [REBUILD_LOCK])]
    row = connection.execute(SQL["last_rebuild"]).fetchone()
    if row is None:
        return None
    number, process_id, views, is_rehearsal, seconds, started_at, ended_at, events, *found = row
    differences, locked_seconds, error = found
    state = state_of(is_under_way=process_id in holders, has_ended=ended_at is not None, error=error)
    done, before = (events, 0) if state == "done" else _units_done(connection, started_at)
    per_second = (done - before) / seconds if state == "running" and done > before else None
    return Rebuild(
        number=number,
        views=views,
        is_rehearsal=is_rehearsal,
        state=state,
        started_at=started_at,
        ended_at=ended_at,
        events=events,
        events_done=done,
        per_second=per_second,
        seconds_left=None if per_second is None else max(0.0, (events - done) / per_second),
        differences=differences,
        locked_seconds=locked_seconds,
        error=error,
    )


def state_of(*, is_under_way: bool, has_ended: bool, error: str | None) -> State:
    """Return the state. A rebuild that has ended still counts as running while no other may begin."""
    if is_under_way:
        return "running"
    if not has_ended:
        return "stopped"
    return "done" if error is None else "failed"


def _units_done(connection: Connection, started_at: datetime) -> tuple[int, int]:
    """Return how many events were folded, and how many of them before ``started_at``."""
    try:
        ((done, before),) = connection.execute(SQL["units_done"], [started_at]).fetchall()
    except UndefinedTable:  # there are no units before the first rebuild and after the swap
        return 0, 0
    return int(done), int(before)
