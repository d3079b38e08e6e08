"""Flowise's own database: database.sqlite, or PostgreSQL, of any age of its schema.

A session belongs to a chatflow, which is its scope. Rows keep their ids, so importing again adds what is new.

A message's columns and its feedback are kept where Flowise's protocol reads them, so that Flowise's programs
find the chats they had.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from recountdb.api.protocols.langflux.shapes.messages import JSON_COLUMNS, KEY, ROLES, format_flowise_time
from recountdb.api.transfer.importers.langflow import to_plain_cell
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

SQL = Statements(__name__, "flowise")
KIND = "flowise"

DEFAULT_CHAT_TYPE = "INTERNAL"
"""The type that Flowise's own migration gave to rows without one."""

ELSEWHERE = frozenset({"_row", "id", "role", "content", "createdDate", "chatflowid", "sessionId"})


def read(tables: Tables) -> Source:
    """Return the database as a source. Raises SourceFailed where it lacks the columns needed."""
    columns = need_columns(tables, "chat_message", "id", "role", "chatflowid", "content", "createdDate")
    has_sessions = {"chatId", "sessionId"} <= columns
    return Source(_talks(tables, has_sessions=has_sessions), count_of(tables, SQL))


def _talks(tables: Tables, *, has_sessions: bool) -> Iterator[Talk]:
    feedback = _feedback_in(tables)
    flows = _flows_in(tables)
    rows = tables.rows(SQL[f"{'' if has_sessions else 'first_'}messages_{tables.dialect}"])
    for (flow, session), group in groupby(rows, key=_key_of):
        said = list(group)
        yield Talk(
            KIND,
            "chat_message",
            # Flowise itself named sessions without an id after the first message's id.
            session or str(said[0]["id"]),
            [to_rated_entry(position, row, feedback[row["id"]]) for position, row in enumerate(said)],
            scope=flow,
            details=given({"flow_name": flows.get(flow)}),
            has_own_ids=True,
        )


def _key_of(row: Row) -> tuple[str, str | None]:
    return str(row["chatflowid"]), row.get("sessionId") or row.get("chatId")


def _feedback_in(tables: Tables) -> defaultdict[Any, list[dict[str, Any]]]:
    """Return the feedback by message, oldest first. In SQLite a message may have several."""
    found: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
    if "messageId" in tables.columns("chat_message_feedback"):
        for row in tables.rows(SQL["feedback"]):
            told = {name: None if cell is None else to_plain_cell(cell) for name, cell in row.items()}
            at = parse_moment_cell(row.get("createdDate"))
            found[row["messageId"]].append(told | {"createdDate": at and format_flowise_time(at)})
    return found


def _flows_in(tables: Tables) -> dict[str, str]:
    if not {"id", "name"} <= tables.columns("chat_flow"):
        return {}
    return {str(row["id"]): row["name"] for row in tables.rows(SQL["flows"])}


def to_rated_entry(position: int, row: Row, feedback: list[dict[str, Any]]) -> Entry:
    told = {
        name: parse_cell(cell) if name in JSON_COLUMNS else to_plain_cell(cell)
        for name, cell in row.items()
        if name not in ELSEWHERE and cell is not None
    }
    told = {name: value for name, value in undo_swap(told).items() if value is not None}
    members = {"chatType": DEFAULT_CHAT_TYPE} | told
    if not row.get("sessionId"):
        members["sessionId"] = row.get("sessionId")
    opinions = {"feedback": feedback[-1], "feedback_earlier": feedback[:-1]} if feedback else {}
    said = {
        "role": ROLES.get(row["role"], row["role"]),
        "content": row["content"],
        "timestamp": parse_moment_cell(row["createdDate"]),
        "metadata": {KEY: members | given(opinions)},
    }
    details = {"role": row["role"]} | unread_moment("createdDate", row["createdDate"])
    return Entry(position, said, id=own_id(row["id"]), details=details)


def undo_swap(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return ``metadata`` with two columns put right that Flowise's migration of December 2023 swapped.

    The members of their values show which rows these are.
    """
    tools, files = metadata.get("usedTools"), metadata.get("fileAnnotations")
    if _has_member(tools, "fileName") or _has_member(files, "tool"):
        return metadata | {"usedTools": files, "fileAnnotations": tools}
    return metadata


def _has_member(value: Any, name: str) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict) and name in one for one in value)
