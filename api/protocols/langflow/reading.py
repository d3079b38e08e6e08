"""``GET …/messages`` and ``…/messages/sessions``: the message history, of flows and of shared ones alike."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote
from uuid import NAMESPACE_DNS, UUID, uuid5

from fastapi import APIRouter, Depends
from starlette.responses import Response

from recountdb.api.http.middleware import IN_NO_NAME
from recountdb.api.protocols.langflow.errors import Refused
from recountdb.api.protocols.langflow.messages import KEY, SENDER_NAMES, SENDERS, list_item, roles_with
from recountdb.api.protocols.langflow.visiting import Count, Visited, Visiting, Words
from recountdb.api.schemas.responses import Json
from recountdb.projections.queries.recent_messages import Label, Speaker, latest_sessions, newest_messages

LIMIT_DEFAULT = 100
LIMIT_MAX = 200

END_USERS = uuid5(NAMESPACE_DNS, "end-user.serving.langflow.ai")
"""The namespace of the ids that Langflow makes for end users without a UUID."""

ORDER_BY = ("timestamp", "sender", "sender_name", "session_id", "text")


def add_routes(router: APIRouter, path: str, visiting: Visiting, *, is_capped: bool) -> None:
    """Add routes under ``path`` that read what was said in the flows that ``visiting`` finds.

    ``is_capped``: whether the number of rows in a response is limited.
    """

    @router.get(path)
    async def messages(
        visited: Visited = Depends(visiting),
        session_id: str = "",
        end_user_id: Words = "",
        sender: Words = "",
        sender_name: Words = "",
        order_by: str = "timestamp",
        order: str = "ASC",
        limit: Count = 0,
        offset: Count = 0,
    ) -> Response:
        """List the newest ``limit`` messages after skipping ``offset``, and only then sort them."""
        _refuse_strange_order(order_by, order)
        said = visited.flows.said(
            session=_readable(session_id),
            users=_by_owner(end_user_id),
            label=_by_sender(sender),
            speaker=_by_sender_name(sender_name),
        )
        rows = _cap(limit, is_capped)
        found = await visited.here.find_whole(newest_messages, said, limit=rows, offset=offset)
        return Json(_in_order([list_item(one) for one in found], order_by, order))

    @router.get(f"{path}/sessions")
    async def sessions(visited: Visited = Depends(visiting), limit: Count = 0, offset: Count = 0) -> Response:
        """List session ids, the one with the newest message first."""
        said, rows = visited.flows.said(), _cap(limit, is_capped)
        found = await visited.here.find(
            latest_sessions, said, limit=rows, offset=offset, unless_begins="agentic_"
        )
        return Json([session.name for session in found])


def _refuse_strange_order(order_by: str, order: str) -> None:
    if order_by not in ("", *ORDER_BY):
        raise Refused(400, f"order_by must be one of {', '.join(ORDER_BY)}")
    if order.upper() not in ("ASC", "DESC"):
        raise Refused(400, "order must be ASC or DESC")


def _cap(limit: int, is_capped: bool) -> int | None:
    """Return the maximum number of rows in a list; None for all."""
    if not is_capped:
        return limit or None
    return min(limit or LIMIT_DEFAULT, LIMIT_MAX)


def _readable(session_id: str) -> str | None:
    """Return a session id in a query decoded once more, because the web interface encodes it twice."""
    return unquote(session_id).replace("\x00", IN_NO_NAME) or None


def _by_owner(end_user_id: str) -> list[str] | None:
    """Return the ids under which an end user writes: the given id and Langflow's; None if not given."""
    if not end_user_id:
        return None
    try:
        known_as = UUID(end_user_id)
    except ValueError:
        known_as = uuid5(END_USERS, end_user_id)
    return [end_user_id, str(known_as)]


def _by_sender(sender: str) -> Label | None:
    return Label((KEY, "sender"), [sender], roles_with(SENDERS, sender)) if sender else None


def _by_sender_name(name: str) -> Speaker | None:
    return Speaker(name, roles_with(SENDER_NAMES, name)) if name else None


def _in_order(items: list[dict[str, Any]], order_by: str, order: str) -> list[dict[str, Any]]:
    """Return ``items``, which come newest first, in the order asked for.

    Unless the order is by time, items that are equal in it stay newest first in either direction.
    """
    is_descending = order.upper() == "DESC"
    if order_by == "":
        return items
    if order_by == "timestamp":
        return items if is_descending else items[::-1]
    return sorted(items, key=lambda item: str(item[order_by]), reverse=is_descending)
