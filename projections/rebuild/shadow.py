"""The shadow tables, which a rebuild creates beside those in use, fills, compares, and swaps in."""

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
from recountdb.projections.rebuild.copy import load_columns
from recountdb.projections.views.registry import BY_NAME
from recountdb.projections.views.tables import (
    DROPPED,
    LIVE,
    NOTES,
    PREVIOUS,
    SHADOW,
    create_indexes,
    create_like,
    drop_tables,
    execute_all,
    execute_with_names,
    has_tables,
    list_tables,
    load_versions,
    plan_renames,
    select_stream_tables,
)

SQL = Statements(__name__, "shadow")

EQUAL = "coalesce(live.{0}::text, '') = coalesce(made.{0}::text, '')"
"""Compares keys, NULL as the empty text: a thread's or user's own state has no key, and no key is empty."""

UNIT_EVENTS = 20_000
DIFFERENCES_MAX = 100  # reported for each table
LOCKED_SECONDS_MAX = 0.02  # to wait for a lock; then the others go first, and the swap is retried
QUIET_SECONDS_MAX = 5  # PostgreSQL ends an automatic vacuum that is in the way after one
SWAP_ATTEMPTS_MAX = 100
PATIENCE_SECONDS = 2.0  # to wait for another rebuild that is just ending
ERASURE_SECONDS_MAX = 30  # to wait for a batch that is being erased


class RebuildUnderWay(Unavailable):
    """Error that says that another rebuild, or check of the views, has not ended yet."""

    def __init__(self) -> None:
        super().__init__("another rebuild or check of the views is under way: wait until it is done")


@dataclass(frozen=True)
class Difference:
    """A row in use that differs from the log; ``key`` identifies it within its table."""

    table: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.table} ({self.key}): {self.reason}"


@contextmanager
def hold_rebuild_lock(connection: Connection) -> Iterator[None]:
    """Hold the exclusive lock on the shadow tables. Raises RebuildUnderWay when another process has it.

    An erasure under way is waited for; each of its batches takes only moments.
    """
    lock = store_lock(connection, REBUILD_LOCK)
    with exclusive(connection, lock, refusal=RebuildUnderWay(), patience_seconds=PATIENCE_SECONDS):
        _end_forerunners(connection)
        _wait_for_erasure(connection)
        try:
            yield
        finally:
            if not connection.closed:
                with suppress(psycopg.Error):  # the connection is lost, and the lock with it
                    connection.execute(SQL["unlock_shadow"], [SHADOW_LOCK])


def _end_forerunners(connection: Connection) -> None:
    """End sessions that an earlier rebuild, which lost its lock, left on the shadow tables.

    Their transactions are rolled back. PostgreSQL waits without limit for a process that stands still within
    a COPY, and so does everybody who needs the rows that it has locked.
    """
    with suppress(errors.InsufficientPrivilege):  # a session of another role is waited for instead
        connection.execute(SQL["end_forerunners"])


def check_rebuild_lock(connection: Connection, holder: int | None) -> None:
    """Raise Unavailable unless session ``holder`` still holds the rebuild lock; None skips the check.

    The tables are changed through other connections than the holder's, which PostgreSQL ends when this
    process stood still. Another rebuild may have begun then.
    """
    if holder is None:
        return
    lock = store_lock(connection, REBUILD_LOCK)
    if holders_of(connection, lock) != [holder]:
        raise Unavailable("this rebuild stood still for too long and lost its lock: run it again")


def _wait_for_erasure(connection: Connection) -> None:
    """Take the lock that erasures share, so that new ones wait. Raises Unavailable after too long a wait."""
    try:
        with connection.transaction():  # the time limit ends with it, the lock does not
            connection.execute(SQL["wait_for_locks"], [f"{ERASURE_SECONDS_MAX}s"])
            connection.execute(SQL["lock_shadow"], [SHADOW_LOCK])
    except errors.LockNotAvailable:
        raise Unavailable("purged content is being erased: rebuild when that is done") from None


def create_shadow(connection: Connection, settled: int, names: Collection[str] = tuple(BY_NAME)) -> None:
    """Create the shadow tables of some views, and cut the work into units.

    A stopped rebuild of the same views is continued; one of other views is dropped.
    """
    versions = {name: BY_NAME[name].VERSION for name in names}
    if has_tables(connection, SHADOW) and load_versions(connection, SHADOW) == versions:
        return
    with connection.transaction():
        drop_tables(connection, SHADOW)
        create_at_home(connection)
        connection.execute(SQL["make_notes"])
        connection.execute(SQL["note_views"], [list(versions), list(versions.values())])
        connection.execute(SQL["begin_progress"], [settled])
        connection.execute(SQL["cut_units"], {"size": UNIT_EVENTS})
        for table in list_tables(connection):
            create_like(connection, table)
        if "names" in versions:
            connection.execute(SQL["key_counters"])


def index_shadow(connection: Connection) -> None:
    """Create on the filled tables the constraints and indexes of those in use."""
    for table in list_tables(connection):
        with connection.transaction():
            create_indexes(connection, table)
            execute_with_names(connection, "ANALYZE {}", f"{SHADOW}{table}")


def clear_streams(connection: Connection, streams: Sequence[UUID]) -> None:
    """Delete the rows of these streams from the shadow tables."""
    for table in select_stream_tables(list_tables(connection)):
        statement = sql.SQL("DELETE FROM {} WHERE stream_id = ANY(%s::uuid[])")
        connection.execute(statement.format(Identifier(f"{SHADOW}{table}")), [streams])


def quarantine_streams(connection: Connection, errors: Iterable[RecordUnreadable]) -> None:
    """Record streams that cannot be folded. Their rows in use are copied into the new tables unchanged."""
    for error in errors:
        connection.execute(SQL["quarantine_stream"], [error.stream_id, error.version, str(error)])


def load_quarantine(connection: Connection) -> dict[UUID, str]:
    """Return the streams that were set aside, each with the reason, a text that names the version."""
    return dict(connection.execute(SQL["select_quarantine"]).fetchall())


def _keep_rows(connection: Connection, streams: Sequence[UUID]) -> None:
    """Copy these streams' rows in use to the shadow tables, and raise counters to keep numbers unique."""
    if not streams:
        return
    clear_streams(connection, streams)
    tables = list_tables(connection)
    for table in select_stream_tables(tables):
        statement = sql.SQL("INSERT INTO {} SELECT * FROM {} WHERE stream_id = ANY(%s::uuid[])")
        names = Identifier(f"{SHADOW}{table}"), Identifier(table)
        connection.execute(statement.format(*names), [streams])
    if "counters" in tables:
        connection.execute(SQL["keep_counters"])


def compare_tables(connection: Connection, *, but: Sequence[UUID]) -> Iterator[Difference]:
    """Yield rows that differ between the tables in use and the shadow tables, except those of ``but``."""
    for table, key in list_tables(connection).items():
        if table == "counters" and but:
            continue  # a number may have been drawn since
        columns = list(load_columns(connection, table))
        for place, live, made in connection.execute(_comparison(table, key), {"but": but}).fetchall():
            yield Difference(table, place, _reason_for(columns, live, made))


def _comparison(table: str, key: tuple[str, ...]) -> sql.Composed:
    """Return a query that compares rows as texts, because json has no equality and must match exactly."""
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


def swap_tables(
    connection: Connection, catch_up: Callable[[], Callable[[], object]], *, holder: int | None = None
) -> float:
    """Swap in the shadow tables, and return for how many seconds writers waited.

    ``catch_up`` is called at each attempt, while writers go on, and returns a function that takes in the
    rest while they wait. The tables that were in use are kept as PREVIOUS. Raises Unavailable when others
    hold their locks for too long. ``holder``: see refuse_usurped.
    """
    check_rebuild_lock(connection, holder)
    drop_tables(connection, DROPPED)
    for _ in range(SWAP_ATTEMPTS_MAX):
        try:
            with connection.transaction():
                _keep_vacuum_away(connection)
                seconds = exchange_names(connection, catch_up())
                check_rebuild_lock(connection, holder)
        except errors.LockNotAvailable:
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311
        else:
            # This comes last: removing large files takes long, and nobody has to wait for it.
            drop_tables(connection, DROPPED)
            return seconds
    raise Unavailable("other transactions hold the tables for too long: try again later")


def _keep_vacuum_away(connection: Connection) -> None:
    """Keep vacuum off the tables for the rest of the transaction, without blocking reads and writes.

    An automatic vacuum yields to a session that waits long enough for its lock.
    """
    connection.execute(SQL["wait_for_locks"], [f"{QUIET_SECONDS_MAX}s"])
    tables = list_tables(connection)
    names = [Identifier(f"{prefix}{table}") for prefix in (LIVE, SHADOW) for table in tables]
    _lock_tables(connection, names, "SHARE UPDATE EXCLUSIVE")


def _lock_tables(connection: Connection, tables: Iterable[Identifier], mode: LiteralString) -> None:
    connection.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(sql.SQL(", ").join(tables), sql.SQL(mode)))


def exchange_names(connection: Connection, catch_up: Callable[[], object]) -> float:
    """Rename the tables under lock, and return for how many seconds they were locked.

    Call it within a transaction. Locks are taken in the order of appends, so that no deadlock can occur.
    """
    tables = list_tables(connection)
    views = _views_on(connection, list(tables))
    renaming = _changes_of_names(connection, list(tables))
    connection.execute(SQL["wait_for_locks"], [f"{LOCKED_SECONDS_MAX * 1000:.0f}ms"])
    started = time.monotonic()
    _lock_tables(connection, [Identifier("counters")], "EXCLUSIVE")
    _lock_tables(connection, [Identifier("stored_events")], "EXCLUSIVE")
    # Readers are locked out, too, before anything is done, so that a failure shows early.
    _lock_tables(connection, [*map(Identifier, tables), *(view for view, _ in views)], "ACCESS EXCLUSIVE")
    catch_up()
    _keep_rows(connection, list(load_quarantine(connection)))
    connection.execute(SQL["exchange_versions"])
    execute_all(connection, renaming)
    for view, definition in views:  # they still read the tables they were made on
        connection.execute(sql.SQL("CREATE OR REPLACE VIEW {} AS ").format(view) + definition)
    return time.monotonic() - started


def _views_on(connection: Connection, tables: Sequence[str]) -> list[tuple[Identifier, sql.SQL]]:
    """Return the SQL views that read one of these tables, ours or others of the same owner."""
    found = connection.execute(SQL["views_on"], [tables]).fetchall()
    return [(Identifier(schema, name), sql.SQL(definition)) for schema, name, definition in found]


def _changes_of_names(connection: Connection, tables: Sequence[str]) -> list[sql.Composed]:
    """Return the statements that rename the shadow tables to those in use, and these to PREVIOUS.

    The notes of the rebuild go to PREVIOUS, so that the previous tables can be caught up with, too.
    """
    statements: list[sql.Composed] = []
    if has_tables(connection, PREVIOUS):
        statements += plan_renames(
            connection, [*list_tables(connection, PREVIOUS), *NOTES], PREVIOUS, DROPPED
        )
    statements += plan_renames(connection, tables, LIVE, PREVIOUS)
    statements += plan_renames(connection, tables, SHADOW, LIVE)
    return [*statements, *plan_renames(connection, NOTES, SHADOW, PREVIOUS)]


def drop_shadow(connection: Connection) -> None:
    """Drop the shadow tables."""
    drop_tables(connection, SHADOW)


def drop_previous(connection: Connection) -> None:
    """Drop the tables from before the last rebuild, after which it cannot be rolled back."""
    drop_tables(connection, PREVIOUS)


def restore_previous(connection: Connection) -> None:
    """Rename the tables from before the last rebuild to shadow tables. Raises NotFound if there are none."""
    if not has_tables(connection, PREVIOUS):
        raise NotFound("earlier version of the views")
    with connection.transaction():
        drop_shadow(connection)
        tables = [*list_tables(connection, PREVIOUS), *NOTES]
        execute_all(connection, plan_renames(connection, tables, PREVIOUS, SHADOW))
