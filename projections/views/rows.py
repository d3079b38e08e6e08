"""Functions that several views share: they make rows from changes, and pages of what rows hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from recountdb.domain.aggregate import Aggregate
from recountdb.domain.conversation import Conversation
from recountdb.domain.messages import MessageAdded, MessageEvent
from recountdb.eventlog.log.recorder import Write
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.write.ports import StreamChange
from recountdb.projections.lists.paging import Page, Rows, Window, measure_rows, read_page

A = TypeVar("A", bound=Aggregate)


def upsert_conversations(
    changes: Sequence[StreamChange], kind: type[Conversation], sql: Mapping[str, str], view: str
) -> list[Write]:
    """Return the writes for each conversation that changed: only its counts when only messages changed."""
    upserted: list[dict[str, Any]] = []
    counted: list[dict[str, Any]] = []
    for change in changes:
        if isinstance(change.state, kind) and not change.state.is_purged:
            if all(map(_is_about_messages, change.events)):
                counted.append(_counts_of(change.state))
            else:
                upserted.append(to_row(change.state))
    return [
        Write(view, sql[f"upsert_{view}"], upserted),
        Write(view, sql[f"update_counts_of_{view}"], counted),
        Write(view, sql[f"delete_{view}"], purged_streams(changes, kind)),
    ]


def purged_streams(changes: Sequence[StreamChange], kind: type[Aggregate]) -> list[dict[str, Any]]:
    """Return the ids of the streams of a kind that were purged, as rows."""
    states = (change.state for change in changes)
    return [{"stream_id": state.id} for state in states if isinstance(state, kind) and state.is_purged]


def _is_about_messages(event: object) -> bool:
    return isinstance(event, MessageAdded | MessageEvent)


def to_row(state: Any) -> dict[str, Any]:
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


def list_rows(
    database: Database, make: Callable[..., A], sql: str, bound: dict[str, Any], window: Window
) -> Page[A]:
    """Return a page of the rows that ``sql`` finds, each made by ``make`` from its columns by name."""

    def make_counted(page_rows: int, weight_before: int | None, **columns: Any) -> tuple[A, Any, Any]:
        return make(**columns), page_rows, weight_before

    def fetch(after: int | None, limit: int, weight_max: int) -> Rows[A]:
        within = bound | {"after": after, "limit": limit, "weight_max": weight_max}
        counted = database.fetch_as(make_counted, sql, within, prepare=False)
        return Rows([item for item, _, _ in counted], *measure_rows(counted))

    return read_page(fetch, window, lambda item: item.number)
