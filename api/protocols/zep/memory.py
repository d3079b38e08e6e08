"""Zep's memory of a session: its newest messages, and the summary of those before them.

Recount makes no summaries. An imported one is in the session's metadata under ``zep``, and counts as long as
the last message that it covers is visible; deleting or erasing that message drops the summary.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from recountdb.api.protocols.zep.models import KEY, Summary
from recountdb.domain.errors import NotFound
from recountdb.domain.messages import MessageState
from recountdb.domain.sessions import Session
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.queries.paging import PAGE_BYTES_MAX, Window
from recountdb.projections.views.messages import get_message_in, page_messages
from recountdb.projections.views.sessions import get_session


def memory_of(
    database: Database, project: str, name: str, *, last: int, window: int, bytes_max: int = PAGE_BYTES_MAX
) -> tuple[Sequence[MessageState], Summary | None]:
    """Return a session's newest messages, oldest first, and its summary or None. Raises NotFound, TooLarge.

    ``last``: how many messages; 0 for those after the summary, at most ``window``.
    """
    newest = Window(limit=last or window, order="newest", bytes_max=bytes_max, is_whole=True)
    found = page_messages(database, project, "session", name, newest).items[::-1]
    summary = _summary_in(get_session(database, project, name))
    if summary is None:
        return found, None
    try:
        end = get_message_in(database, project, "session", name, summary.recent_message_uuid)
    except NotFound:
        return found, None
    return [message for message in found if last or message.version > end.version], summary


def _summary_in(session: Session) -> Summary | None:
    """Return the summary in a session's metadata; None if it has no valid one.

    Anybody may write metadata, so it is validated.
    """
    kept = (session.metadata or {}).get(KEY)
    try:
        return Summary.model_validate(kept.get("summary")) if isinstance(kept, dict) else None
    except ValidationError:
        return None
