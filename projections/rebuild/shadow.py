"""The tables beside those in use: made, filled by a rebuild, compared, and put in their place."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import errors, sql
from psycopg.sql import Identifier

from recountdb.domain.errors import NotFound, RecordUnreadable, Unavailable
from recountdb.eventlog.postgres.advisory_locks import REBUILD_LOCK, SHADOW_LOCK
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.exclusive_locks import exclusive, holders_of, store_lock
from recountdb.eventlog.postgres.home import create_at_home
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.rebuild.copy import columns_of
from recountdb.projections.views.registry import BY_NAME
from recountdb.projections.views.tables import (
    DROPPED,
    LIVE,
    NOTES,
    PREVIOUS,
    SHADOW,
    by_stream,
    create_indexes,
    create_like,
    drop,
    exists,
    renames,
    run,
    run_all,
    tables_in,
    versions_in,
)

SQL = Statements(__name__, "shadow")

EQUAL = "coalesce(live.{0}::text, '') = coalesce(made.{0}::text, '')"
"""The slot of its own that a thread or user has has no key, and no slot has an empty one."""

UNIT_EVENTS = 20_000
DIFFERENCES_MAX = 100  # of each table that are told
LOCKED_SECONDS_MAX = 0.02  # whoever does not get a lock by then lets everyone pass and tries again
QUIET_SECONDS_MAX = 5  # PostgreSQL ends an automatic vacuum that is in the way after one
SWAP_ATTEMPTS_MAX = 100
PATIENCE_SECONDS = 2.0  # with another rebuild that is just ending
ERASURE_SECONDS_MAX = 30  # that a batch of what is being erased may take


class RebuildUnderWay(Unavailable):
    """Another rebuild, or check of the views, has not ended yet."""

    def __init__(self) -> None:
        super().__init__("another rebuild or check of the views is under way: wait until it is done")


@dataclass(frozen=True)
class Difference:
    """A row in use that is not as the log has it; ``key`` names it within its table."""

    table: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.table} ({self.key}): {self.reason}"


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Be the only one that has to do with the shadow tables. Raises RebuildUnderWay where another one is.

    Whoever erases something just now is waited for: that takes but moments at a time.
    """
    lock = store_lock(connection, REBUILD_LOCK)
    with exclusive(connection, lock, refusal=RebuildUnderWay(), patience_seconds=PATIENCE_SECONDS):
        _end_forerunners(connection)
        _wait_for_erasure(connection)
        try:
            yield
        finally:
            if not connection.closed:
                with suppress(psycopg.Error):  # it is lost, and the lock with it
                    connection.execute(SQL["leave_alone"], [SHADOW_LOCK])


def _end_forerunners(connection: Connection) -> None:
    """End sessions that an earlier rebuild, which lost its lock, left at the shadow tables; they are undone.

    A process that stands still within a COPY is waited for by PostgreSQL without limit, and with it by all
    who need the rows that it holds.
    """
    with suppress(errors.InsufficientPrivilege):  # of another role: then it is waited for
        connection.execute(SQL["end_forerunners"])


def refuse_usurped(connection: Connection, holder: int | None) -> None:
    """Raise Unavailable unless session ``holder`` still holds the lock of ``alone``; None: nobody need.

    The tables are changed through other connections than that one, which PostgreSQL ends where this process
    stood still: then another rebuild may have begun.
    """
    if holder is None:
        return
    lock = store_lock(connection, REBUILD_LOCK)
    if holders_of(connection, lock) != [holder]:
        raise Unavailable("this rebuild stood still for too long and lost its lock: run it again")


def _wait_for_erasure(connection: Connection) -> None:
    """Take the lock that those who erase share; they queue up behind us. Raises Unavailable."""
    try:
        with connection.transaction():  # that the limit ends with; the lock stays
            connection.execute(SQL["wait_for_locks"], [f"{ERASURE_SECONDS_MAX}s"])
            connection.execute(SQL["wait_alone"], [SHADOW_LOCK])
    except errors.LockNotAvailable:
        raise Unavailable("purged content is being erased: rebuild when that is done") from None


def begin(connection: Connection, settled: int, names: Collection[str] = tuple(BY_NAME)) -> None:
    """Make the shadow tables of some views and cut the work into units.

    A rebuild of the same views that was stopped is gone on with; one of others is dropped.
    """
    versions = {name: BY_NAME[name].VERSION for name in names}
    if exists(connection, SHADOW) and versions_in(connection, SHADOW) == versions:
        return
    with connection.transaction():
        drop(connection, SHADOW)
        create_at_home(connection)
        connection.execute(SQL["make_notes"])
        connection.execute(SQL["note_views"], [list(versions), list(versions.values())])
        connection.execute(SQL["begin_progress"], [settled])
        connection.execute(SQL["cut_units"], {"size": UNIT_EVENTS})
        for table in tables_in(connection):
            create_like(connection, table)
        if "names" in versions:
            connection.execute(SQL["key_counters"])


def make_indexes(connection: Connection) -> None:
    """Give the filled tables the constraints and indexes of those in use."""
    for table in tables_in(connection):
        with connection.transaction():
            create_indexes(connection, table)
            run(connection, "ANALYZE {}", f"{SHADOW}{table}")


def clear_streams(connection: Connection, streams: Sequence[UUID]) -> None:
    """Take what is there of these streams out of the shadow tables."""
    for table in by_stream(tables_in(connection)):
        statement = sql.SQL("DELETE FROM {} WHERE stream_id = ANY(%s::uuid[])")
        connection.execute(statement.format(Identifier(f"{SHADOW}{table}")), [streams])


def set_aside(connection: Connection, errors: Iterable[RecordUnreadable]) -> None:
    """Note streams that cannot be folded: their rows in use go into the tables made, as they are."""
    for error in errors:
        connection.execute(SQL["set_aside"], [error.stream_id, error.version, str(error)])


def those_aside(connection: Connection) -> dict[UUID, str]:
    """The streams that were set aside, each with why, in words that name its version."""
    return dict(connection.execute(SQL["those_aside"]).fetchall())


def _keep_rows(connection: Connection, streams: Sequence[UUID]) -> None:
    """Have these streams' rows in the shadow tables be those in use; no number is drawn twice."""
    if not streams:
        return
    clear_streams(connection, streams)
    tables = tables_in(connection)
    for table in by_stream(tables):
        statement = sql.SQL("INSERT INTO {} SELECT * FROM {} WHERE stream_id = ANY(%s::uuid[])")
        names = Identifier(f"{SHADOW}{table}"), Identifier(table)
        connection.execute(statement.format(*names), [streams])
    if "counters" in tables:
        connection.execute(SQL["keep_counters"])


def differences(connection: Connection, *, but: Sequence[UUID]) -> Iterator[Difference]:
    """Rows that differ between the tables in use and the shadow tables, except those of some streams."""
    for table, key in tables_in(connection).items():
        if table == "counters" and but:
            continue  # a number may have been drawn since
        columns = list(columns_of(connection, table))
        for place, live, made in connection.execute(_comparison(table, key), {"but": but}).fetchall():
            yield Difference(table, place, _reason_for(columns, live, made))


def _comparison(table: str, key: tuple[str, ...]) -> sql.Composed:
    """Compares rows as texts: json has no equality of its own, and must be the same to the letter."""
    columns = [Identifier(column) for column in key]
    same = sql.SQL(" AND ").join(sql.SQL(EQUAL).format(c) for c in columns)
    place = sql.SQL(", ").join(sql.SQL("coalesce(live.{0}, made.{0})").format(c) for c in columns)
    but = "coalesce(live.stream_id, made.stream_id) <> ALL(%(but)s::uuid[])"
    return sql.SQL(
        "SELECT concat_ws(' ', {place}), to_json(live), to_json(made)"
        " FROM {live} AS live FULL JOIN {made} AS made ON {same}"
        " WHERE live::text IS DISTINCT FROM made::text AND {but} LIMIT {limit}"
    ).format(
        place=place,
        live=Identifier(table),
        made=Identifier(f"{SHADOW}{table}"),
        same=same,
        but=sql.SQL("true" if table == "counters" else but),
        limit=DIFFERENCES_MAX,
    )


def _reason_for(columns: Sequence[str], live: dict[str, Any] | None, made: dict[str, Any] | None) -> str:
    if live is None:
        return "is missing"
    if made is None:
        return "should not be there"
    differing = ", ".join(name for name in columns if live[name] != made[name])
    return f"differs in {differing or 'how a document is spelled'}"


def swap(
    connection: Connection, catch_up: Callable[[], Callable[[], object]], *, holder: int | None = None
) -> float:
    """Put the shadow tables in the place of those in use. Returns for how many seconds writers waited.

    ``catch_up`` is called for each attempt, while writers go on, and returns what takes in the rest
    while they wait. Those that were in use stay in PREVIOUS. Raises Unavailable where others hold
    their locks too long. ``holder``: see refuse_usurped.
    """
    refuse_usurped(connection, holder)
    drop(connection, DROPPED)
    for _ in range(SWAP_ATTEMPTS_MAX):
        try:
            with connection.transaction():
                _keep_vacuum_away(connection)
                seconds = exchange(connection, catch_up())
                refuse_usurped(connection, holder)
        except errors.LockNotAvailable:
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311
        else:
            # Last, for it takes long to remove large files, and nobody need wait for it.
            drop(connection, DROPPED)
            return seconds
    raise Unavailable("other transactions hold the tables for too long: try again later")


def _keep_vacuum_away(connection: Connection) -> None:
    """For the rest of the transaction; in nobody else's way. A vacuum yields to whoever waits patiently."""
    connection.execute(SQL["wait_for_locks"], [f"{QUIET_SECONDS_MAX}s"])
    tables = tables_in(connection)
    names = [Identifier(f"{prefix}{table}") for prefix in (LIVE, SHADOW) for table in tables]
    lock(connection, names, "SHARE UPDATE EXCLUSIVE")


def lock(connection: Connection, tables: Iterable[Identifier], mode: LiteralString) -> None:
    connection.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(sql.SQL(", ").join(tables), sql.SQL(mode)))


def exchange(connection: Connection, catch_up: Callable[[], object]) -> float:
    """Within a transaction. Locks in the order appends do, so that neither waits for the other for ever."""
    tables = tables_in(connection)
    views = _views_on(connection, list(tables))
    renaming = _changes_of_names(connection, list(tables))
    connection.execute(SQL["wait_for_locks"], [f"{LOCKED_SECONDS_MAX * 1000:.0f}ms"])
    started = time.monotonic()
    lock(connection, [Identifier("counters")], "EXCLUSIVE")
    lock(connection, [Identifier("stored_events")], "EXCLUSIVE")
    # Readers too, before anything is done: whether it succeeds shows early.
    lock(connection, [*map(Identifier, tables), *(view for view, _ in views)], "ACCESS EXCLUSIVE")
    catch_up()
    _keep_rows(connection, list(those_aside(connection)))
    connection.execute(SQL["exchange_versions"])
    run_all(connection, renaming)
    for view, definition in views:  # they still read the tables they were made on
        connection.execute(sql.SQL("CREATE OR REPLACE VIEW {} AS ").format(view) + definition)
    return time.monotonic() - started


def _views_on(connection: Connection, tables: Sequence[str]) -> list[tuple[Identifier, sql.SQL]]:
    """Return the views of PostgreSQL that read one of these tables, ours or others of the same owner."""
    found = connection.execute(SQL["views_on"], [tables]).fetchall()
    return [(Identifier(schema, name), sql.SQL(definition)) for schema, name, definition in found]


def _changes_of_names(connection: Connection, tables: Sequence[str]) -> list[sql.Composed]:
    """Return what puts the shadow tables in the place of those in use, and these in PREVIOUS.

    The notes of a rebuild go with the latter, so that those put aside can be caught up with too.
    """
    statements: list[sql.Composed] = []
    if exists(connection, PREVIOUS):
        statements += renames(connection, [*tables_in(connection, PREVIOUS), *NOTES], PREVIOUS, DROPPED)
    statements += renames(connection, tables, LIVE, PREVIOUS)
    statements += renames(connection, tables, SHADOW, LIVE)
    return [*statements, *renames(connection, NOTES, SHADOW, PREVIOUS)]


def discard(connection: Connection) -> None:
    """Drop the shadow tables."""
    drop(connection, SHADOW)


def forget_previous(connection: Connection) -> None:
    """Drop the tables from before the last rebuild: there is no way back to them then."""
    drop(connection, PREVIOUS)


def take_previous(connection: Connection) -> None:
    """Make the tables from before the last rebuild the shadow tables. Raises NotFound."""
    if not exists(connection, PREVIOUS):
        raise NotFound("earlier version of the views")
    with connection.transaction():
        discard(connection)
        tables = [*tables_in(connection, PREVIOUS), *NOTES]
        run_all(connection, renames(connection, tables, PREVIOUS, SHADOW))
