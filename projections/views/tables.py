"""The tables that hold the views' rows: those in use, those that a rebuild fills, and previous ones.

All are in the schema of the store, so that its owner needs no right to create schemas. The names of tables
and indexes of a set share a prefix, which is empty for those in use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from psycopg import sql
from psycopg.sql import Identifier

from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.views.registry import BY_NAME, VIEWS

SQL = Statements(__name__, "tables")

LIVE, SHADOW, PREVIOUS, DROPPED = "", "rebuild_", "previous_", "dropped_"
SETS = (LIVE, SHADOW, PREVIOUS, DROPPED)
"""The prefixes: in use; filled by a rebuild; from before the last rebuild; older, about to be dropped."""

TABLES: dict[str, tuple[str, ...]] = {table: key for view in VIEWS for table, key in view.TABLES.items()}
"""The tables of all views, each with the columns that identify a row."""

NOTES = ("progress", "units", "views", "set_aside")
"""The tables of a rebuild itself: its progress and units, its views, and the streams set aside."""


def replace_table(statement: str, table: str, other: str) -> str:
    """Return ``statement`` with ``table``, the only table of a view that it names, replaced by ``other``."""
    return re.sub(rf"\b{table}\b", other, statement)


def execute_with_names(connection: Connection, statement: str, *names: str, **named: str) -> None:
    """Execute a statement with these identifiers as its placeholders."""
    identifiers = {key: Identifier(name) for key, name in named.items()}
    connection.execute(sql.SQL(statement).format(*map(Identifier, names), **identifiers))


def has_tables(connection: Connection, prefix: str) -> bool:
    """Return whether there is such a set of tables."""
    return connection.execute("SELECT to_regclass(%s)", [f"{prefix}units"]).fetchone() != (None,)


def load_versions(connection: Connection, prefix: str) -> dict[str, int]:
    """Return the views that have tables in a set, each with the version that made their rows."""
    statement = sql.SQL("SELECT name, version FROM {}").format(Identifier(f"{prefix}views"))
    return dict(connection.execute(statement).fetchall())


def list_tables(connection: Connection, prefix: str = SHADOW) -> dict[str, tuple[str, ...]]:
    """Return the tables of the views that are in a set, each with its key as in TABLES."""
    names = load_versions(connection, prefix)
    return {
        table: key for name, view in BY_NAME.items() if name in names for table, key in view.TABLES.items()
    }


def select_stream_tables(tables: Iterable[str]) -> list[str]:
    """Return the tables whose rows each belong to a stream."""
    return [table for table in tables if table != "counters"]


def find_existing_tables(
    connection: Connection, tables: Iterable[str], prefixes: Iterable[str] = SETS
) -> list[str]:
    """Return the full names of those of ``tables`` that exist, in any of the sets."""
    bound = {"tables": list(tables), "prefixes": list(prefixes)}
    return [name for (name,) in connection.execute(SQL["existing"], bound)]


def create_like(connection: Connection, table: str) -> None:
    """Create a shadow table with the shape, storage and grants of the one in use, but no indexes."""
    for (statement,) in connection.execute(SQL["create_like"], {"live": table, "made": f"{SHADOW}{table}"}):
        connection.execute(statement)


def create_indexes(connection: Connection, table: str) -> None:
    """Give a shadow table those constraints and indexes of the one in use that it lacks."""
    names = {"live": table, "made": f"{SHADOW}{table}", "prefix": SHADOW}
    for (statement,) in connection.execute(SQL["missing_indexes"], names).fetchall():
        connection.execute(statement)


def plan_renames(connection: Connection, tables: Sequence[str], old: str, new: str) -> list[sql.Composed]:
    """Return the statements that rename tables of a set, with their indexes, to those of another set."""
    found = connection.execute(SQL["indexes"], [[f"{old}{table}" for table in tables]])
    indexes = [str(name).removeprefix(old) for (name,) in found]
    renaming = "ALTER {kind} {old} RENAME TO {new}"
    return [
        sql.SQL(renaming).format(
            kind=sql.SQL(kind), old=Identifier(f"{old}{name}"), new=Identifier(f"{new}{name}")
        )
        for kind, names in (("TABLE", tables), ("INDEX", indexes))
        for name in names
    ]


def execute_all(connection: Connection, statements: Sequence[sql.Composed]) -> None:
    """Execute statements in one round trip, because others may be waiting."""
    if statements:
        connection.execute(sql.SQL("; ").join(statements))


def drop_tables(connection: Connection, prefix: str) -> None:
    """Drop the tables of a set that exist."""
    if names := find_existing_tables(connection, (*TABLES, *NOTES), [prefix]):
        tables = sql.SQL(", ").join(map(Identifier, names))
        connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(tables))
