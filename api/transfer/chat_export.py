"""Export of live sessions in the chat format that api.transfer.chat_import reads, one JSON object a line.

A session's name, owner, metadata and messages are equal after an import into an empty store. Its history
is not exported: when something was recorded, by whom, and what it was before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_core import to_json

from recountdb.domain.errors import NotFound
from recountdb.domain.messages import MessageState
from recountdb.domain.sessions import Session
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.lists.paging import Filter, Window
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.sessions import get_session, list_sessions

PAGE = 1000
LINE_MESSAGES_MAX = 10_000
LINE_BYTES_MAX = 8 * 2**20  # a single message may be longer


def sessions_to_export(database: Database, project: str, names: Sequence[str]) -> Iterator[Session]:
    """Yield the sessions of these names, or all live ones in the order they began. Raises NotFound."""
    if names:
        yield from [get_session(database, project, name) for name in names]
        return
    cursor = None
    while True:
        page = list_sessions(database, project, Window(PAGE, cursor=cursor))
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def lines_for(database: Database, session: Session) -> Iterator[bytes]:
    """Yield the session as one line, a long one as several, each with the messages that follow.

    Yields no more lines once the session has been deleted.
    """
    messages: list[bytes] = []
    size = 0
    try:
        for message in messages_of(database, session):
            text = to_json(_chat_message(message))
            if messages and (size + len(text) > LINE_BYTES_MAX or len(messages) == LINE_MESSAGES_MAX):
                yield _line(session, messages)
                messages, size = [], 0
            messages.append(text)
            size += len(text)
    except NotFound:
        return
    yield _line(session, messages)


def messages_of(database: Database, session: Session) -> Iterator[MessageState]:
    cursor = None
    while True:
        window = Window(PAGE, cursor=cursor)
        criteria = Filter(scope=session.scope)
        page = page_messages(database, session.project, "session", session.name, window, criteria)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def _line(session: Session, messages: Sequence[bytes]) -> bytes:
    told = {"id": session.name, "scope": session.scope or None, "user_id": session.user_id}
    head = to_json(_given(told | {"metadata": session.metadata}))
    return head[:-1] + b',"messages":[' + b",".join(messages) + b"]}\n"


def _chat_message(message: MessageState) -> dict[str, Any]:
    """Return a message in chat format. ``content`` is always there, and may be None; the rest if given."""
    optional = {
        "name": message.name,
        "user_id": message.user_id,
        "timestamp": message.timestamp,
        "tool_calls": message.tool_calls,
        "tool_call_id": message.tool_call_id,
        "metadata": message.metadata,
        "token_count": message.token_count,
    }
    return {"id": message.id, "role": message.role, "content": message.content, **_given(optional)}


def _given(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
