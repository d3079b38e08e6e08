"""The messages that a selection finds, in Flowise's order and pages."""

from __future__ import annotations

from dataclasses import replace

from recountdb.api.protocols.base import RequestContext
from recountdb.api.protocols.langflux.filters import Selection
from recountdb.api.protocols.langflux.rules import choose_rated, is_rated
from recountdb.api.protocols.langflux.shapes.messages import find_created_time, find_session_id
from recountdb.projections.queries.recent_messages import find_newest_messages, find_recent_sessions
from recountdb.projections.views.messages import FoundMessage


async def find_selected(
    context: RequestContext,
    selection: Selection,
    *,
    is_descending: bool = False,
    with_one_before: bool = True,
) -> list[FoundMessage]:
    """Return the selected messages, oldest first unless ``is_descending``.

    ``with_one_before``: whether a selection by ratings includes the message before each.
    """
    if selection.is_paged:
        found = await _find_page_of_sessions(context, selection, is_descending=is_descending)
    else:
        found = await context.find_whole(find_newest_messages, selection.said, limit=None)
    if selection.ratings is not None:
        return choose_rated(found[::-1], selection.ratings, with_one_before=with_one_before)
    return found if is_descending else found[::-1]


async def _find_page_of_sessions(
    context: RequestContext, selection: Selection, *, is_descending: bool
) -> list[FoundMessage]:
    """Return all selected messages of the sessions on a page, newest first."""
    names = await _find_sessions(context, selection)
    if not is_descending:
        names = names[::-1]
    first = (selection.page - 1) * selection.limit
    found: list[FoundMessage] = []
    for name in names[first : first + selection.limit]:
        said = replace(selection.said, session=name)
        found += await context.find_whole(find_newest_messages, said, limit=None)
    return sorted(found, key=lambda one: find_created_time(one.message), reverse=True)


async def _find_sessions(context: RequestContext, selection: Selection) -> list[str]:
    """Return the names of the sessions with selected messages, the one with the newest first."""
    if selection.ratings is None:
        sessions = await context.find(find_recent_sessions, selection.said, limit=None)
        return [session.name for session in sessions]
    found = await context.find_whole(find_newest_messages, selection.said, limit=None)
    rated = (one for one in found if is_rated(one, selection.ratings) and find_session_id(one))
    return list(dict.fromkeys(one.conversation for one in rated))
