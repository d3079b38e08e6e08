"""The messages view: every message as it is now, in the order of its conversation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from recountdb.domain.errors import NotFound
from recountdb.domain.messages import MessagesErased, MessageState
from recountdb.eventlog.log.recorder import Write
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.eventlog.write.ports import StreamChange
from recountdb.projections.lists.paging import KEY_MAX, Filter, Page, Rows, Window, measure_rows, read_page
from recountdb.projections.lists.whole_lists import read_whole

SQL = Statements(__name__, "messages")
VERSION = 1
TABLES = {"messages": ("stream_id", "version")}

ConversationKind = Literal["session", "thread"]


@dataclass(frozen=True)
class MessagePage(Page[MessageState]):
    """A page of one conversation. ``version``: the conversation's version when the page was read."""

    version: int = 0


@dataclass(frozen=True)
class FoundMessage:
    """A message and its conversation, by kind, scope and name."""

    kind: ConversationKind
    scope: str
    conversation: str
    message: MessageState
    position: int | None = None


def writes_for(changes: Sequence[StreamChange]) -> list[Write]:
    """Return the writes that insert new messages as they are now, and update or delete earlier ones."""
    added: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    erased: list[dict[str, Any]] = []
    for change in changes:
        first_version = change.events[0].originator_version
        for message in change.messages.values():
            rows = added if message.version >= first_version else changed
            rows.append(_to_message_row(message))
        for event in change.events:
            if isinstance(event, MessagesErased):
                earlier = (version for version in event.versions if version < first_version)
                erased += ({"stream_id": change.state.id, "version": version} for version in earlier)
    return [
        Write("messages", SQL["insert_messages"], added),
        Write("messages", SQL["change_messages"], changed),
        Write("messages", SQL["delete_messages"], erased),
    ]


def _to_message_row(message: MessageState) -> dict[str, Any]:
    return {
        "stream_id": message.stream_id,
        "version": message.version,
        "project": message.project,
        "message_id": message.id,
        "role": message.role,
        "content": message.content,
        "name": message.name,
        "user_id": message.user_id,
        "said_at": message.timestamp,
        "tool_calls": message.tool_calls,
        "tool_call_id": message.tool_call_id,
        "metadata": message.metadata,
        "token_count": message.token_count,
        "recorded_at": message.recorded_at,
        "updated_at": message.updated_at,
        "changed_version": message.changed_version,
        "deleted_at": message.deleted_at,
        "deleted_version": message.deleted_version,
    }


def find_messages(
    database: Database, stream_id: UUID, ids: Collection[UUID], instants: Collection[datetime]
) -> list[MessageState]:
    """Return a stream's messages, hidden ones too, with one of ``ids`` or said at one of ``instants``."""
    bound = {"stream_id": stream_id, "ids": list(ids), "instants": list(instants)}
    rows = database.fetch(SQL["find_messages"], bound)
    return [MessageState(*row) for row in rows]


def page_messages(
    database: Database,
    project: str,
    kind: ConversationKind,
    name: str,
    window: Window,
    criteria: Filter | None = None,
) -> MessagePage:
    """Return a page of messages of one conversation, in its order. Raises NotFound when there is none.

    A deleted conversation is found only when deleted messages are asked for.
    """
    criteria = criteria or Filter()
    bound = criteria.parameters()
    bound |= {
        "project": project,
        "kind": kind,
        "scope": criteria.scope or "",
        "name": name,
    }
    version = 0

    def fetch(after: int | None, limit: int, weight_max: int) -> Rows[MessageState]:
        nonlocal version
        within = {"after": after, "limit": limit, "weight_max": weight_max}
        rows = database.fetch(SQL[f"page_{window.order}_first"], bound | within)
        if not rows:
            raise NotFound(kind)
        version = version or rows[0][0]
        messages = [MessageState(*row[2:-2]) for row in rows if row[2] is not None]
        return Rows(messages, *measure_rows(rows))

    page = read_page(fetch, window, lambda message: message.version)
    return MessagePage(page.items, page.next_cursor, version=version)


def get_message(database: Database, project: str, message_id: UUID) -> FoundMessage:
    """Return the live message with this id, in any conversation. Raises NotFound."""
    bound = {"project": project, "id": message_id}
    for row in database.fetch(SQL["messages_by_id"], bound):
        return to_found_message(None, row)
    raise NotFound("message")


def get_message_in(
    database: Database, project: str, kind: ConversationKind, name: str, message_id: UUID, *, scope: str = ""
) -> MessageState:
    """Return the live message of this conversation with this id. Raises NotFound."""
    bound = {"project": project, "kind": kind, "scope": scope, "name": name, "id": message_id}
    for row in database.fetch(SQL["message_in"], bound):
        return MessageState(*row)
    raise NotFound("message")


def get_numbered_page(
    database: Database,
    project: str,
    kind: ConversationKind,
    name: str,
    *,
    number: int,
    size: int | None,
    scope: str = "",
    bytes_max: int | None = None,
) -> tuple[list[MessageState], int]:
    """Return the live messages on the page with this number (from 1), the oldest first, and their total.

    This is for callers who cannot keep a cursor: pages shift as messages come and go, and later ones cost
    more. ``size``: None means all on one page. The result is empty, and the total 0, beyond the last page and
    when there is no such conversation. Raises TooLarge when they have more than ``bytes_max`` bytes (None:
    no limit).
    """
    offset = (number - 1) * (size or 0)
    if offset > KEY_MAX:
        return [], 0
    bound = {"project": project, "kind": kind, "scope": scope, "name": name, "offset": offset, "limit": size}
    rows = read_whole(
        lambda weighing: database.fetch(SQL["numbered_page"], bound | weighing, prepare=False), bytes_max
    )
    return [MessageState(*row[1:]) for row in rows], rows[0][0] if rows else 0


def find_known_ids(database: Database, project: str, ids: Collection[UUID]) -> set[UUID]:
    """Return the ``ids`` that messages of the project have, hidden or not, in any conversation."""
    rows = database.fetch(SQL["select_known_ids"], {"project": project, "ids": list(ids)})
    return {message_id for (message_id,) in rows}


def to_found_message(position: int | None, row: Sequence[Any]) -> FoundMessage:
    kind, scope, name, *message = row
    return FoundMessage(kind, scope, name, MessageState(*message), position)


def search_messages(
    database: Database, project: str, window: Window, criteria: Filter, *, settled: int
) -> Page[FoundMessage]:
    """Return a page of messages of all conversations of a project, in log order up to ``settled``."""
    sql = SQL[f"search_messages_{window.order}_first"]
    bound = criteria.parameters()
    bound |= {"project": project, "settled": settled}

    def fetch(after: int | None, limit: int, weight_max: int) -> Rows[FoundMessage]:
        within = {"after": after, "limit": limit, "weight_max": weight_max}
        rows = database.fetch(sql, bound | within, prepare=False)
        found = [to_found_message(row[0], row[1:-2]) for row in rows]
        return Rows(found, *measure_rows(rows))

    return read_page(fetch, window, lambda item: item.position or 0)
