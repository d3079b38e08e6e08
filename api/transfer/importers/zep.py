"""The PostgreSQL of Zep Open Source v0.x. Rows that it deleted and has not purged yet are not read.

Roles are kept as they are, for Zep's programs read them back. Embeddings and document collections are not
read.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from recountdb.api.protocols.zep.shapes import KEY, format_zep_time
from recountdb.api.transfer.importers.source import (
    Entry,
    Person,
    Source,
    Talk,
    as_object,
    given,
    own_id,
    parse_moment_cell,
    unread_moment,
)
from recountdb.api.transfer.importers.tables import Row, Tables, count_of, need_columns
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "zep")
KIND = "zep"


def read(tables: Tables) -> Source:
    """Return the database as a source. Raises SourceFailed where it lacks the columns needed."""
    need_columns(tables, "session", "session_id", "deleted_at")
    need_columns(tables, "message", "id", "uuid", "session_id", "role", "content", "deleted_at")
    users = _users_in(tables)
    people = [_person(user) for user in users]
    return Source(_talks(tables, users), count_of(tables, SQL), [one for one in people if one.name])


def _talks(tables: Tables, users: list[dict[str, Any]]) -> Iterator[Talk]:
    owners = {user.get("uuid"): user.get("user_id") for user in users}
    summaries = _summaries_in(tables)
    for name, group in groupby(tables.rows(SQL["messages"]), key=lambda row: row["session"]["session_id"]):
        rows = list(group)
        session = rows[0]["session"]
        details = {member: session.get(member) for member in ("uuid", "created_at", "updated_at")}
        kept = {KEY: {"summary": summaries[name]}} if name in summaries else {}
        yield Talk(
            KIND,
            "message",
            name,
            [_entry(position, row) for position, row in enumerate(rows) if row["message"]],
            # Releases differ in whether a session names its user by key or by id.
            user_id=session.get("user_id") or owners.get(session.get("user_uuid")),
            metadata=as_object(session.get("metadata"), "metadata") | kept,
            details=given(details),
            has_own_ids=True,
        )


def _entry(position: int, row: Row) -> Entry:
    message = row["message"]
    said = {
        "role": message["role"],
        "content": message["content"],
        "timestamp": parse_moment_cell(message.get("created_at")),
        "token_count": message.get("token_count") or None,
        "metadata": message.get("metadata") or None,
    }
    return Entry(
        position,
        given(said) | {"content": message["content"]},
        id=own_id(message["uuid"]),
        details=unread_moment("created_at", message.get("created_at")),
    )


def _users_in(tables: Tables) -> list[dict[str, Any]]:
    """Return the users; the first releases had none."""
    if not {"user_id", "deleted_at"} <= tables.columns("users"):
        return []
    return [row["user"] for row in tables.rows(SQL["users"])]


def _person(user: dict[str, Any]) -> Person:
    profile = {name: user.get(name) for name in ("email", "first_name", "last_name")}
    return Person(user.get("user_id") or "", given(profile), user.get("metadata") or None)


def _summaries_in(tables: Tables) -> dict[str, dict[str, Any]]:
    """Return the newest summary of each session, by the session's name, in the form of Zep's protocol."""
    if not {"session_id", "created_at", "deleted_at"} <= tables.columns("summary"):
        return {}
    return {
        row["summary"]["session_id"]: _told(row["summary"])
        for row in tables.rows(SQL["summaries"])
        if row["summary"].get("content")
    }


def _told(summary: dict[str, Any]) -> dict[str, Any]:
    at = parse_moment_cell(summary["created_at"])
    return given(
        {member: summary.get(member) for member in ("uuid", "content", "token_count", "metadata")}
        | {"created_at": at and format_zep_time(at), "recent_message_uuid": summary.get("summary_point_uuid")}
    )
