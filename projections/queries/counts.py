"""Counts of what is stored: exact up to a bound, PostgreSQL's estimate beyond it."""

from __future__ import annotations

from dataclasses import dataclass

from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "counts")

EXACT_MAX = 1_000_000
"""The number of rows that are counted one by one, in a fraction of a second."""


@dataclass(frozen=True)
class Count:
    """Number of rows. An estimate is what PostgreSQL last noted, and never less than EXACT_MAX."""

    rows: int
    is_estimate: bool = False


def count_all(database: Database) -> dict[str, Count]:
    """Count sessions, threads, users and messages, deleted ones too, and events, of all projects."""
    parts = ("sessions", "threads", "users", "messages", "events")
    return {part: count_rows(database, part) for part in parts}


def count_rows(database: Database, part: str) -> Count:
    ((rows,),) = database.fetch(SQL[f"count_{part}"], {"limit": EXACT_MAX + 1})
    if rows <= EXACT_MAX:
        return Count(rows)
    table = "stored_events" if part == "events" else part
    ((estimate,),) = database.fetch(SQL["estimate"], {"table": table})
    return Count(max(EXACT_MAX, estimate), is_estimate=True)
