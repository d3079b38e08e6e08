"""The tables beside those in use: made, filled by a rebuild, compared, and put in their place."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg import errors, sql
from psycopg.sql import Identifier

from domain.errors import NotFound, RecordUnreadable, Unavailable
from eventlog.advisory import SHADOW_LOCK
from eventlog.database import Connection
from eventlog.statements import Statements
from projections.copying import columns_of
from projections.core import BY_NAME, VIEWS

SQL = Statements("projections", "shadow")

LIVE, SHADOW, PREVIOUS, DROPPED = "public", "recount_rebuild", "recount_previous", "recount_dropped"

TABLES: dict[str, tuple[str, ...]] = {table: key for view in VIEWS for table, key in view.TABLES.items()}
"""The tables of all views, each with what names a row of it."""

NOTES = ("progress", "units", "views", "set_aside")
"""What a rebuild keeps of its own beside the tables: how far it is, with what, and without which streams."""

EQUAL = "coalesce(live.{0}::text, '') = coalesce(made.{0}::text, '')"
"""The slot of its own that a thread or user has has no key, and no slot has an empty one."""

UNIT_EVENTS = 20_000
DIFFERENCES_MAX = 100  # of each table that are told
LOCKED_SECONDS_MAX = 0.02  # whoever does not get a lock by then lets everyone pass and tries again
QUIET_SECONDS_MAX = 5  # PostgreSQL ends an automatic vacuum that is in the way after one
SWAP_ATTEMPTS_MAX = 100


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
    """Only one at a time has to do with the shadow tables. Raises RebuildUnderWay where another one has."""
    ((is_ours,),) = connection.execute(SQL["try_alone"], [SHADOW_LOCK]).fetchall()
    if not is_ours:
        raise RebuildUnderWay
    try:
        yield
    finally:
        connection.execute(SQL["leave_alone"], [SHADOW_LOCK])


def begin(connection: Connection, settled: int, names: Collection[str] = tuple(BY_NAME)) -> None:
    """Make the shadow tables of some views and cut the work into units.

    A rebuild of the same views that was stopped is gone on with; one of others is dropped.
    """
    versions = {name: BY_NAME[name].VERSION for name in names}
    if exists(connection, SHADOW) and versions_in(connection, SHADOW) == versions:
        return
    with connection.transaction():
        make_schema(connection, SHADOW)
        connection.execute(SQL["make_notes"])
        connection.execute(SQL["note_views"], [list(versions), list(versions.values())])
        connection.execute(SQL["begin_progress"], [settled])
        connection.execute(SQL["cut_units"], {"size": UNIT_EVENTS})
        for table in tables_in(connection):
            like = "CREATE TABLE {}.{table} (LIKE {}.{table} INCLUDING DEFAULTS INCLUDING STORAGE)"
            run(connection, like, SHADOW, LIVE, table=table)
        if "names" in versions:
            run(connection, "ALTER TABLE {}.counters ADD PRIMARY KEY (project, kind)", SHADOW)


def versions_in(connection: Connection, schema: str) -> dict[str, int]:
    """The views that have tables in ``schema``, each with the version that made their rows."""
    statement = sql.SQL("SELECT name, version FROM {}.views").format(Identifier(schema))
    return dict(connection.execute(statement).fetchall())


def tables_in(connection: Connection, schema: str = SHADOW) -> dict[str, tuple[str, ...]]:
    """As TABLES, of the views that have theirs in ``schema``."""
    names = versions_in(connection, schema)
    return {
        table: key for name, view in BY_NAME.items() if name in names for table, key in view.TABLES.items()
    }


def by_stream(tables: Iterable[str]) -> list[str]:
    """Those whose rows each belong to a stream."""
    return [table for table in tables if table != "counters"]


def run(connection: Connection, statement: str, *names: str, **named: str) -> None:
    """Execute a statement with identifiers in its places."""
    identifiers = {key: Identifier(name) for key, name in named.items()}
    connection.execute(sql.SQL(statement).format(*map(Identifier, names), **identifiers))


def make_schema(connection: Connection, schema: str) -> None:
    """An empty one, whatever there was."""
    run(connection, "DROP SCHEMA IF EXISTS {} CASCADE", schema)
    run(connection, "CREATE SCHEMA {}", schema)


def make_indexes(connection: Connection) -> None:
    """Give the filled tables the constraints and indexes of those in use, under the same names."""
    for table in tables_in(connection):
        with connection.transaction():
            place = {"live": LIVE, "schema": SHADOW, "table": table}
            for (statement,) in connection.execute(SQL["missing_indexes"], place).fetchall():
                connection.execute(statement)
            run(connection, "ANALYZE {}.{}", SHADOW, table)


def clear_streams(connection: Connection, streams: Sequence[UUID]) -> None:
    """Take what is there of these streams out of the shadow tables."""
    for table in by_stream(tables_in(connection)):
        statement = sql.SQL("DELETE FROM {}.{} WHERE stream_id = ANY(%s::uuid[])")
        connection.execute(statement.format(Identifier(SHADOW), Identifier(table)), [streams])


def set_aside(connection: Connection, errors: Iterable[RecordUnreadable]) -> None:
    """Note streams that cannot be folded: their rows in use go into the tables made, as they are."""
    for error in errors:
        connection.execute(SQL["set_aside"], [error.stream_id, error.version, str(error)])


def those_aside(connection: Connection) -> dict[UUID, str]:
    """The streams that were set aside, each with why, in words that name its version."""
    return dict(connection.execute(SQL["those_aside"]).fetchall())


def keep_rows(connection: Connection, streams: Sequence[UUID]) -> None:
    """Have these streams' rows in the shadow tables be those in use; no number is drawn twice."""
    if not streams:
        return
    clear_streams(connection, streams)
    tables = tables_in(connection)
    for table in by_stream(tables):
        statement = sql.SQL(
            "INSERT INTO {}.{table} SELECT * FROM {}.{table} WHERE stream_id = ANY(%s::uuid[])"
        )
        places = Identifier(SHADOW), Identifier(LIVE)
        connection.execute(statement.format(*places, table=Identifier(table)), [streams])
    if "counters" in tables:
        connection.execute(SQL["keep_counters"])


def differences(connection: Connection, *, but: Sequence[UUID]) -> Iterator[Difference]:
    """Rows that differ between the tables in use and the shadow tables, except those of some streams."""
    for table, key in tables_in(connection).items():
        if table == "counters" and but:
            continue  # a number may have been drawn since
        columns = list(columns_of(connection, LIVE, table))
        for place, live, made in connection.execute(comparison(table, key), {"but": but}).fetchall():
            yield Difference(table, place, reason_for(columns, live, made))


def comparison(table: str, key: tuple[str, ...]) -> sql.Composed:
    """Compares rows as texts: json has no equality of its own, and must be the same to the letter."""
    columns = [Identifier(column) for column in key]
    same = sql.SQL(" AND ").join(sql.SQL(EQUAL).format(c) for c in columns)
    place = sql.SQL(", ").join(sql.SQL("coalesce(live.{0}, made.{0})").format(c) for c in columns)
    but = "coalesce(live.stream_id, made.stream_id) <> ALL(%(but)s::uuid[])"
    return sql.SQL(
        "SELECT concat_ws(' ', {place}), to_json(live), to_json(made)"
        " FROM {live}.{table} AS live FULL JOIN {shadow}.{table} AS made ON {same}"
        " WHERE live::text IS DISTINCT FROM made::text AND {but} LIMIT {limit}"
    ).format(
        place=place,
        live=Identifier(LIVE),
        shadow=Identifier(SHADOW),
        table=Identifier(table),
        same=same,
        but=sql.SQL("true" if table == "counters" else but),
        limit=DIFFERENCES_MAX,
    )


def reason_for(columns: Sequence[str], live: dict[str, Any] | None, made: dict[str, Any] | None) -> str:
    if live is None:
        return "is missing"
    if made is None:
        return "should not be there"
    differing = ", ".join(name for name in columns if live[name] != made[name])
    return f"differs in {differing or 'how a document is spelled'}"


def swap(connection: Connection, catch_up: Callable[[], Callable[[], object]]) -> float:
    """Put the shadow tables in the place of those in use. Returns for how many seconds writers waited.

    ``catch_up`` is called for each attempt, while writers go on, and returns what takes in the rest
    while they wait. Those that were in use stay in PREVIOUS. Raises Unavailable where others hold
    their locks too long.
    """
    run(connection, "DROP SCHEMA IF EXISTS {} CASCADE", DROPPED)
    for _ in range(SWAP_ATTEMPTS_MAX):
        try:
            with connection.transaction():
                keep_vacuum_away(connection)
                seconds = exchange(connection, catch_up())
        except errors.LockNotAvailable:
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311
        else:
            # Last, for it takes long to remove large files, and nobody need wait for it.
            run(connection, "DROP SCHEMA IF EXISTS {} CASCADE", DROPPED)
            return seconds
    raise Unavailable("other transactions hold the tables for too long: try again later")


def keep_vacuum_away(connection: Connection) -> None:
    """For the rest of the transaction; in nobody else's way. A vacuum yields to whoever waits patiently."""
    connection.execute(SQL["wait_for_locks"], [f"{QUIET_SECONDS_MAX}s"])
    for schema in (LIVE, SHADOW):
        lock(connection, schema, tables_in(connection), "SHARE UPDATE EXCLUSIVE")


def lock(connection: Connection, schema: str, tables: Iterable[str], mode: LiteralString) -> None:
    names = (Identifier(schema, table) for table in tables)
    connection.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(sql.SQL(", ").join(names), sql.SQL(mode)))


def exchange(connection: Connection, catch_up: Callable[[], object]) -> float:
    """Within a transaction. Locks in the order appends do, so that neither waits for the other for ever."""
    tables = tables_in(connection)
    views = connection.execute(SQL["views_on"], [LIVE, list(tables)]).fetchall()
    connection.execute(SQL["wait_for_locks"], [f"{LOCKED_SECONDS_MAX * 1000:.0f}ms"])
    started = time.monotonic()
    lock(connection, LIVE, ["counters"], "EXCLUSIVE")
    lock(connection, LIVE, ["stored_events"], "EXCLUSIVE")
    # Readers too, before anything is done: whether it succeeds shows early.
    lock(connection, LIVE, [*tables, *(name for name, _ in views)], "ACCESS EXCLUSIVE")
    catch_up()
    keep_rows(connection, list(those_aside(connection)))
    connection.execute(SQL["exchange_versions"])
    if exists(connection, PREVIOUS):
        run(connection, "ALTER SCHEMA {} RENAME TO {}", PREVIOUS, DROPPED)
    run(connection, "CREATE SCHEMA {}", PREVIOUS)
    for table in tables:
        run(connection, "ALTER TABLE {}.{} SET SCHEMA {}", LIVE, table, PREVIOUS)
        run(connection, "ALTER TABLE {}.{} SET SCHEMA {}", SHADOW, table, LIVE)
    for table in NOTES:  # so that those put aside can be caught up with too
        run(connection, "ALTER TABLE {}.{} SET SCHEMA {}", SHADOW, table, PREVIOUS)
    for name, definition in views:  # they still read the tables they were made on
        create = sql.SQL("CREATE OR REPLACE VIEW {}.{} AS ").format(Identifier(LIVE), Identifier(name))
        connection.execute(create + sql.SQL(definition))
    run(connection, "DROP SCHEMA {}", SHADOW)
    return time.monotonic() - started


def discard(connection: Connection) -> None:
    """Drop the shadow tables."""
    run(connection, "DROP SCHEMA IF EXISTS {} CASCADE", SHADOW)


def forget_previous(connection: Connection) -> None:
    """Drop the tables from before the last rebuild: there is no way back to them then."""
    run(connection, "DROP SCHEMA IF EXISTS {} CASCADE", PREVIOUS)


def take_previous(connection: Connection) -> None:
    """Make the tables from before the last rebuild the shadow tables. Raises NotFound."""
    if not exists(connection, PREVIOUS):
        raise NotFound("earlier version of the views")
    with connection.transaction():
        discard(connection)
        run(connection, "ALTER SCHEMA {} RENAME TO {}", PREVIOUS, SHADOW)


def exists(connection: Connection, schema: str) -> bool:
    return connection.execute("SELECT to_regclass(%s)", [f"{schema}.units"]).fetchone() != (None,)
