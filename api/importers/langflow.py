"""Langflow's own database: langflow.db, or PostgreSQL. Columns came with the releases; none is counted on
but the oldest.

A session belongs to a flow, which is its scope. Rows keep their ids, so importing again adds what is new.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any
from uuid import UUID

from api.importers.source import Entry, Source, Talk, given, moment, own_id, parsed
from api.importers.tables import Row, Tables, count_of, need_columns
from eventlog.statements import Statements

SQL = Statements("api.importers", "langflow")
KIND = "langflow"

ROLES = {"User": "user", "Machine": "assistant"}
JSON = frozenset({"files", "properties", "content_blocks", "session_metadata"})
CLAIMS = frozenset({"error", "edit", "is_output"})
IDS = frozenset({"run_id", "user_id"})
ELSEWHERE = frozenset({"_row", "id", "timestamp", "text", "session_id", "flow_id"})


def read(tables: Tables) -> Source:
    """Raises SourceFailed."""
    need_columns(tables, "message", "id", "timestamp", "sender", "session_id", "text", "flow_id")
    return Source(talks(tables), count_of(tables, SQL))


def talks(tables: Tables) -> Iterator[Talk]:
    flows = names_of(tables, "flow", "name")
    users = names_of(tables, "user", "username")
    rows = tables.rows(SQL[f"messages_{tables.dialect}"])
    for (flow, session), group in groupby(rows, key=lambda row: (text_id(row["flow_id"]), row["session_id"])):
        said = list(group)
        owner = text_id(said[0].get("user_id"))
        details = {"flow_name": flows.get(flow), "username": users.get(owner)}
        yield Talk(
            KIND,
            "message",
            session or flow or "",  # an empty session id counts as none, and then the flow's is taken
            [entry(position, row) for position, row in enumerate(said)],
            scope=flow or "",
            user_id=owner,
            details=given(details),
            has_own_ids=True,
        )


def names_of(tables: Tables, table: str, name: str) -> dict[str | None, Any]:
    if not {"id", name} <= tables.columns(table):
        return {}
    return {text_id(row["id"]): row[name] for row in tables.rows(SQL[f"{table}s"])}


def entry(position: int, row: Row) -> Entry:
    sender, name = row["sender"], row.get("sender_name")
    is_error = row.get("category") == "error"
    said = {
        "role": "assistant" if is_error else ROLES.get(sender, sender),
        "content": row["text"] or "",
        "name": name or None,
        "timestamp": moment(row["timestamp"]),
        "metadata": metadata_of(row) | ({"error": True} if is_error else {}),
    }
    return Entry(position, said, id=own_id(row["id"]))


def metadata_of(row: Row) -> dict[str, Any]:
    return given(
        {
            name: value_of(name, cell)
            for name, cell in row.items()
            if name not in ELSEWHERE and cell is not None
        }
    )


def value_of(name: str, cell: Any) -> Any:
    if name in JSON:
        return parsed(cell)
    if name in CLAIMS:
        return bool(cell)
    return text_id(cell) if name in IDS else plain(cell)


def plain(cell: Any) -> Any:
    """A value of a column that nobody knew of, as JSON can hold it."""
    return cell if isinstance(cell, bool | int | float | str | dict | list) else str(cell)


def text_id(cell: Any) -> str | None:
    """An id with its hyphens, which SQLite's lack; as it is, where it is no UUID."""
    if not cell:
        return None
    try:
        return str(UUID(str(cell)))
    except ValueError:
        return str(cell)
