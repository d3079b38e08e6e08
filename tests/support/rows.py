"""States as the store has them and as the model has them, in one form to be compared."""

from __future__ import annotations

from typing import Any

from recountdb.domain.aggregate import Aggregate
from recountdb.domain.messages import MessageState
from tests.support.model import Row, Stream, message_count, text


def sorted_rows(rows: Any) -> list[str]:
    return sorted(map(text, rows))


def row_of(state: Aggregate) -> Row:
    row = dict(vars(state))
    row["stream_id"] = row.pop("id")
    assert not row.pop("is_purged")
    for name in row.keys() & {"profile", "origin", "definition"}:
        row[name] = None if row[name] is None else row[name].model_dump()
    return row


def row_of_stream(stream: Stream, state: Row) -> Row:
    row = {key: value for key, value in state.items() if key not in ("kind", "messages", "states")}
    row["stream_id"] = stream.stream_id
    if state["kind"] == "function":
        row.pop("hidden_through")
    elif state["kind"] != "user":
        row["message_count"] = message_count(state)
    return row


def vars_of(message: MessageState) -> Row:
    row = {name: getattr(message, name) for name in MessageState.__annotations__}
    row["message_id"] = row.pop("id")
    return row


def message_row(stream: Stream, message: Row) -> Row:
    return {**message, "stream_id": stream.stream_id, "project": stream.key()[0]}


def as_columns(message: Row) -> Row:
    return {("said_at" if name == "timestamp" else name): value for name, value in message.items()}


def without_scope(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "scope"}
