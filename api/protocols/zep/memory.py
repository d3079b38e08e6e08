"""Zep's memory of a session: its newest messages, and the summary of those before them.

None is made here. One that was imported is in the session's metadata under ``zep``, and counts as long as the
message that it ends with can be seen: what is deleted or erased from there takes it along.
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
    """A session's newest messages, oldest first, and the summary if there is one. Raises NotFound, TooLarge.

    ``last``: how many; 0 for those after the summary, at most ``window``.
    """
    newest = Window(limit=last or window, order="newest", bytes_max=bytes_max, is_whole=True)
    found = page_messages(database, project, "session", name, newest).items[::-1]
    summary = summary_in(get_session(database, project, name))
    if summary is None:
        return found, None
    try:
        end = get_message_in(database, project, "session", name, summary.recent_message_uuid)
    except NotFound:
        return found, None
    return [message for message in found if last or message.version > end.version], summary


def summary_in(session: Session) -> Summary | None:
    """What is kept of a session's summary, if it is one: anybody may write metadata."""
    kept = (session.metadata or {}).get(KEY)
    try:
        return Summary.model_validate(kept.get("summary")) if isinstance(kept, dict) else None
    except ValidationError:
        return None
