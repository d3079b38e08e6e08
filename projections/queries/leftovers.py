"""Leftovers of what was to be erased, searched for in every table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from psycopg import sql
from psycopg.sql import Identifier
from pydantic_core import from_json

from recountdb.eventlog.log.rows import LogEntry
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.views.tables import find_existing_tables

SQL = Statements(__name__, "leftovers")

COUNTED_MAX = 1000  # rows of each table; more are not counted


def find_leftovers(connection: Connection, entry: LogEntry) -> dict[str, int]:
    """Return how many rows are left, by table, of what ``entry`` says is to be erased; empty if none are."""
    if entry.topic.endswith(".purged"):
        return find_stream_leftovers(connection, entry.originator_id, entry.originator_version)
    return find_message_leftovers(connection, entry.originator_id, from_json(entry.state)["versions"])


def find_stream_leftovers(connection: Connection, stream_id: UUID, end: int) -> dict[str, int]:
    """Return what is left of a stream that was purged at version ``end``."""
    found = connection.execute(SQL["tables_by_stream"]).fetchall()
    tables = {name: sql.SQL("stream_id = %(id)s") for (name,) in found}
    tables["snapshots"] = sql.SQL("originator_id = %(id)s")
    tables["stored_events"] = sql.SQL(
        "originator_id = %(id)s AND originator_version < %(end)s AND salt IS NOT NULL"
    )
    return _count(connection, tables, {"id": stream_id, "end": end})


def find_message_leftovers(
    connection: Connection, stream_id: UUID, versions: Sequence[int]
) -> dict[str, int]:
    """Return what is left of the events of a stream at ``versions``."""
    named = sql.SQL("stream_id = %(id)s AND version = ANY(%(versions)s::bigint[])")
    tables = dict.fromkeys(find_existing_tables(connection, ["messages"]), named)
    tables["stored_events"] = sql.SQL(
        "originator_id = %(id)s AND originator_version = ANY(%(versions)s::bigint[]) AND salt IS NOT NULL"
    )
    return _count(connection, tables, {"id": stream_id, "versions": list(versions)})


def _count(
    connection: Connection, conditions: Mapping[str, sql.SQL], bound: Mapping[str, object]
) -> dict[str, int]:
    """Count the rows of each table that meet its condition, in one statement."""
    counts = [
        sql.SQL("SELECT {}, count(*) FROM (SELECT FROM {} WHERE {} LIMIT {}) AS found").format(
            table, Identifier(table), condition, COUNTED_MAX
        )
        for table, condition in conditions.items()
    ]
    rows = connection.execute(sql.SQL(" UNION ALL ").join(counts), bound).fetchall()
    return {table: count for table, count in rows if count}


def describe_leftovers(left: Mapping[str, int]) -> str:
    """Name the tables, each with how many rows it has."""
    return ", ".join(f"{table} ({count})" for table, count in sorted(left.items()))
