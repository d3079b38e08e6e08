"""Zep's memory of a session, and its lists, which come whole and not in pages.

Recount makes no summaries. An imported one is in the session's metadata under ``zep``, and counts as long as
the last message that it covers is visible; deleting or erasing that message drops the summary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from recountdb.api.protocols.zep.rules import drop_summarized, read_summary
from recountdb.api.protocols.zep.shapes import Summary
from recountdb.domain.errors import NotFound
from recountdb.domain.messages import MessageState
from recountdb.domain.sessions import Session
from recountdb.domain.users import User
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.lists.paging import PAGE_BYTES_MAX, Filter, Page, Window
from recountdb.projections.views.messages import get_message_in, page_messages
from recountdb.projections.views.sessions import get_session, list_sessions
from recountdb.projections.views.users import list_users

ROWS_MAX = 2**40
"""More rows than any store has."""


def find_memory(
    database: Database, project: str, name: str, *, last: int, window: int, bytes_max: int = PAGE_BYTES_MAX
) -> tuple[Sequence[MessageState], Summary | None]:
    """Return a session's newest messages, oldest first, and its summary or None. Raises NotFound, TooLarge.

    ``last``: how many messages; 0 for those after the summary, at most ``window``.
    """
    newest = Window(limit=last or window, order="newest", bytes_max=bytes_max, is_whole=True)
    messages = page_messages(database, project, "session", name, newest).items[::-1]
    summary = read_summary(get_session(database, project, name))
    if summary is None:
        return messages, None
    try:
        end = get_message_in(database, project, "session", name, summary.recent_message_uuid)
    except NotFound:
        return messages, None
    return (messages if last else drop_summarized(messages, end)), summary


def find_all_sessions(
    database: Database, project: str, window: Window, criteria: Filter, *, bytes_max: int = PAGE_BYTES_MAX
) -> Page[Session]:
    """Return sessions as ``list_sessions`` does, all of the window. Raises TooLarge."""
    return list_sessions(database, project, replace(window, bytes_max=bytes_max, is_whole=True), criteria)


def find_all_users(
    database: Database, project: str, window: Window, *, bytes_max: int = PAGE_BYTES_MAX
) -> Page[User]:
    """Return users as ``list_users`` does, all of the window. Raises TooLarge."""
    return list_users(database, project, replace(window, bytes_max=bytes_max, is_whole=True))
