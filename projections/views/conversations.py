"""Functions that several views share, which make rows from changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recountdb.domain.aggregate import Aggregate
from recountdb.domain.conversation import Conversation
from recountdb.domain.messages import MessageAdded, MessageEvent
from recountdb.eventlog.log.recorder import Write
from recountdb.eventlog.write.ports import StreamChange


def puts_for(
    changes: Sequence[StreamChange], kind: type[Conversation], sql: Mapping[str, str], view: str
) -> list[Write]:
    """Return the writes for each conversation that changed: only its counts when only messages changed."""
    put: list[dict[str, Any]] = []
    touched: list[dict[str, Any]] = []
    for change in changes:
        if isinstance(change.state, kind) and not change.state.is_purged:
            if all(map(_is_about_messages, change.events)):
                touched.append(_counts_of(change.state))
            else:
                put.append(row_of(change.state))
    return [
        Write(view, sql[f"put_{view}"], put),
        Write(view, sql[f"touch_{view}"], touched),
        Write(view, sql[f"delete_{view}"], purged_streams(changes, kind)),
    ]


def purged_streams(changes: Sequence[StreamChange], kind: type[Aggregate]) -> list[dict[str, Any]]:
    """Return the ids of the streams of a kind that were purged, as rows."""
    states = (change.state for change in changes)
    return [{"stream_id": state.id} for state in states if isinstance(state, kind) and state.is_purged]


def _is_about_messages(event: object) -> bool:
    return isinstance(event, MessageAdded | MessageEvent)


def row_of(state: Any) -> dict[str, Any]:
    row = dict(vars(state))
    row["stream_id"] = row.pop("id")
    return row


def _counts_of(state: Any) -> dict[str, Any]:
    return {
        "stream_id": state.id,
        "message_count": state.message_count,
        "version": state.version,
        "updated_at": state.updated_at,
    }
