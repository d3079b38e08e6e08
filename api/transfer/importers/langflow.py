"""Langflow's own database: langflow.db, or PostgreSQL. Releases added columns; only the oldest are required.

A session belongs to a flow, which is its scope. Rows keep their ids, so importing again adds what is new.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any
from uuid import UUID

from recountdb.api.protocols.langflow.shapes.messages import KEY, from_langflow_message
from recountdb.api.transfer.importers.source import (
    Entry,
    Source,
    Talk,
    given,
    own_id,
    parse_cell,
    parse_moment_cell,
    unread_moment,
)
from recountdb.api.transfer.importers.tables import Row, Tables, count_of, need_columns
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "langflow")
KIND = "langflow"

JSON = frozenset({"files", "properties", "content_blocks", "session_metadata"})
CLAIMS = frozenset({"error", "edit", "is_output"})
IDS = frozenset({"run_id", "user_id"})
ELSEWHERE = frozenset({"_row", "id", "timestamp", "text", "sender_name", "session_id", "flow_id", "user_id"})


def read(tables: Tables) -> Source:
    """Return the database as a source. Raises SourceFailed where it lacks the columns needed."""
    need_columns(tables, "message", "id", "timestamp", "sender", "session_id", "text", "flow_id")
    return Source(_talks(tables), count_of(tables, SQL))


def _talks(tables: Tables) -> Iterator[Talk]:
    flows = _names_of(tables, "flow", "name")
    users = _names_of(tables, "user", "username")
    rows = tables.rows(SQL[f"messages_{tables.dialect}"])
    by_session = groupby(rows, key=lambda row: (_text_id(row["flow_id"]), row["session_id"]))
    for (flow, session), group in by_session:
        said = list(group)
        owner = _text_id(said[0].get("user_id"))
        details = {"flow_name": flows.get(flow), "username": users.get(owner)}
        yield Talk(
            KIND,
            "message",
            session or flow or "",  # an empty session id counts as none, and then the flow's is taken
            [_entry(position, row) for position, row in enumerate(said)],
            scope=flow or "",
            user_id=owner,
            details=given(details),
            has_own_ids=True,
        )


def _names_of(tables: Tables, table: str, name: str) -> dict[str | None, Any]:
    if not {"id", name} <= tables.columns(table):
        return {}
    return {_text_id(row["id"]): row[name] for row in tables.rows(SQL[f"{table}s"])}


def _entry(position: int, row: Row) -> Entry:
    told = {name: _value_of(name, cell) for name, cell in row.items()}
    said = from_langflow_message(told | {"timestamp": parse_moment_cell(row["timestamp"])})
    return Entry(
        position,
        said | {"metadata": _metadata_of(told)},
        id=own_id(row["id"]),
        details=unread_moment("timestamp", row["timestamp"]),
    )


def _metadata_of(told: dict[str, Any]) -> dict[str, Any]:
    """Return the row as metadata where Langflow's protocol reads it, with the mark of an error.

    So Langflow's programs find what they had. A category that is NULL is kept as None, for an unknown one
    would get a default.
    """
    kept = {name: value for name, value in told.items() if name not in ELSEWHERE}
    kept = {name: value for name, value in kept.items() if value is not None or name == "category"}
    return {KEY: kept} | ({"error": True} if told.get("category") == "error" else {})


def _value_of(name: str, cell: Any) -> Any:
    if cell is None:
        return None
    if name in JSON:
        return parse_cell(cell)
    if name in CLAIMS:
        return bool(cell)
    return _text_id(cell) if name in IDS else to_plain_cell(cell)


def to_plain_cell(cell: Any) -> Any:
    """Return the value of any other column as JSON can hold it, if need be as text."""
    return cell if isinstance(cell, bool | int | float | str | bytes | dict | list) else str(cell)


def _text_id(cell: Any) -> str | None:
    """Return an id with the hyphens that SQLite's lack, unchanged if it is no UUID, None if it is empty."""
    if not cell:
        return None
    try:
        return str(UUID(str(cell)))
    except ValueError:
        return str(cell)
