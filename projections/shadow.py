"""The tables beside those in use: made, filled by a rebuild, compared, and put in their place."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import errors, sql
from psycopg.sql import Identifier

from domain.errors import NotFound, Unavailable
from eventlog.database import Connection
from eventlog.statements import Statements
from projections.copying import columns_of

SQL = Statements("projections", "shadow")

LIVE, SHADOW, PREVIOUS = "public", "recount_rebuild", "recount_previous"

TABLES = {
    "counters": ("project", "kind"),
    "names": ("stream_id",),
    "sessions": ("stream_id",),
    "threads": ("stream_id",),
    "thread_states": ("stream_id", "key"),
    "users": ("stream_id",),
    "messages": ("stream_id", "version"),
    "requests": ("project", "key"),
}
"""What is rebuilt: the tables of the views, each with what names a row of it."""

BY_STREAM = tuple(table for table in TABLES if table != "counters")

EQUAL = "coalesce(live.{0}::text, '') = coalesce(made.{0}::text, '')"
"""A thread's own slot has no key, and no slot has an empty one."""

UNIT_EVENTS = 20_000
SHADOW_LOCK = 0x7265636F756E77  # an advisory lock
DIFFERENCES_MAX = 100  # of each table that are told
LOCKED_SECONDS_MAX = 0.05  # whoever does not get a lock by then lets everyone pass and tries again
SWAP_ATTEMPTS_MAX = 100


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
    """Only one at a time has to do with the shadow tables. Raises Unavailable where another one has."""
    ((is_ours,),) = connection.execute(SQL["try_alone"], [SHADOW_LOCK]).fetchall()
    if not is_ours:
        raise Unavailable("another rebuild or check of the views is under way: wait until it is done")
    try:
        yield
    finally:
        connection.execute(SQL["leave_alone"], [SHADOW_LOCK])


def begin(connection: Connection, settled: int) -> None:
    """Make the shadow tables and cut the work into units, unless a rebuild that was stopped did."""
    if exists(connection, SHADOW):
        return
    with connection.transaction():
        make_schema(connection, SHADOW)
        for table in TABLES:
            like = "CREATE TABLE {}.{table} (LIKE {}.{table} INCLUDING DEFAULTS INCLUDING STORAGE)"
            run(connection, like, SHADOW, LIVE, table=table)
        run(connection, "ALTER TABLE {}.counters ADD PRIMARY KEY (project, kind)", SHADOW)
        connection.execute(SQL["make_progress"])
        connection.execute(SQL["begin_progress"], [settled])
        connection.execute(SQL["make_units"])
        connection.execute(SQL["cut_units"], {"size": UNIT_EVENTS})


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
    for table in TABLES:
        with connection.transaction():
            place = {"live": LIVE, "schema": SHADOW, "table": table}
            for (statement,) in connection.execute(SQL["missing_indexes"], place).fetchall():
                connection.execute(statement)
            run(connection, "ANALYZE {}.{}", SHADOW, table)


def clear_streams(connection: Connection, streams: Sequence[UUID]) -> None:
    """Take what is there of these streams out of the shadow tables."""
    for table in BY_STREAM:
        statement = sql.SQL("DELETE FROM {}.{} WHERE stream_id = ANY(%s::uuid[])")
        connection.execute(statement.format(Identifier(SHADOW), Identifier(table)), [streams])


def differences(connection: Connection, *, but: Sequence[UUID]) -> Iterator[Difference]:
    """Rows that differ between the tables in use and the shadow tables, except those of some streams."""
    for table, key in TABLES.items():
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


def swap(connection: Connection, catch_up: Callable[[], object]) -> float:
    """Put the shadow tables in the place of those in use. Returns for how many seconds writers waited.

    Those that were in use stay in PREVIOUS. Raises Unavailable where others hold their locks too long.
    """
    for _ in range(SWAP_ATTEMPTS_MAX):
        try:
            with connection.transaction():
                return exchange(connection, catch_up)
        except errors.LockNotAvailable:
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311
    raise Unavailable("other transactions hold the tables for too long: try again later")


def exchange(connection: Connection, catch_up: Callable[[], object]) -> float:
    """Within a transaction. Locks in the order appends do, so that neither waits for the other for ever."""
    connection.execute(SQL["be_impatient"], [f"{LOCKED_SECONDS_MAX * 1000:.0f}ms"])
    started = time.monotonic()
    run(connection, "LOCK TABLE {}.counters IN EXCLUSIVE MODE", LIVE)
    run(connection, "LOCK TABLE {}.stored_events IN EXCLUSIVE MODE", LIVE)
    catch_up()
    views = connection.execute(SQL["views"], [LIVE]).fetchall()
    make_schema(connection, PREVIOUS)
    for table in TABLES:
        run(connection, "ALTER TABLE {}.{} SET SCHEMA {}", LIVE, table, PREVIOUS)
        run(connection, "ALTER TABLE {}.{} SET SCHEMA {}", SHADOW, table, LIVE)
    for table in ("progress", "units"):  # so that those put aside can be caught up with too
        run(connection, "ALTER TABLE {}.{} SET SCHEMA {}", SHADOW, table, PREVIOUS)
    for name, definition in views:  # they still read the tables they were made on
        run(connection, "DROP VIEW {}.{}", LIVE, name)
        create = sql.SQL("CREATE VIEW {}.{} AS ").format(Identifier(LIVE), Identifier(name))
        connection.execute(create + sql.SQL(definition))
    run(connection, "DROP SCHEMA {} CASCADE", SHADOW)
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
