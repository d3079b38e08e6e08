"""Recount's filters for what a request reads, and the order and number of its results."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote
from uuid import NAMESPACE_DNS, UUID, uuid5

from recountdb.api.http.middleware import IN_NO_NAME
from recountdb.api.protocols.langflow.errors import LangflowRefusal
from recountdb.api.protocols.langflow.shapes.messages import KEY, SENDER_NAMES, SENDERS, find_roles
from recountdb.projections.queries.recent_messages import Label, Speaker

LIMIT_DEFAULT = 100
LIMIT_MAX = 200

END_USERS = uuid5(NAMESPACE_DNS, "end-user.serving.langflow.ai")
"""The namespace of the ids that Langflow makes for end users without a UUID."""

ORDER_BY = ("timestamp", "sender", "sender_name", "session_id", "text")


def decode_session_id(session_id: str) -> str | None:
    """Return a session id in a query decoded once more, because the web interface encodes it twice."""
    return unquote(session_id).replace("\x00", IN_NO_NAME) or None


def find_owners(end_user_id: str) -> list[str] | None:
    """Return the ids under which an end user writes: the given id and Langflow's; None if not given."""
    if not end_user_id:
        return None
    try:
        known_as = UUID(end_user_id)
    except ValueError:
        known_as = uuid5(END_USERS, end_user_id)
    return [end_user_id, str(known_as)]


def filter_by_sender(sender: str | None) -> Label | None:
    """Return a filter for the messages of a sender; None if there is none to filter by."""
    return Label((KEY, "sender"), [sender], find_roles(SENDERS, sender)) if sender else None


def filter_by_sender_name(name: str | None) -> Speaker | None:
    """Return a filter for the messages of a sender's name; None if there is none to filter by."""
    return Speaker(name, find_roles(SENDER_NAMES, name)) if name else None


def cap_rows(limit: int, *, is_capped: bool) -> int | None:
    """Return the maximum number of rows in a list; None for all."""
    if not is_capped:
        return limit or None
    return min(limit or LIMIT_DEFAULT, LIMIT_MAX)


def refuse_unknown_order(order_by: str, order: str) -> None:
    """Raise a refusal unless messages can be sorted so."""
    if order_by not in ("", *ORDER_BY):
        raise LangflowRefusal(400, f"order_by must be one of {', '.join(ORDER_BY)}")
    if order.upper() not in ("ASC", "DESC"):
        raise LangflowRefusal(400, "order must be ASC or DESC")


def sort_items(items: list[dict[str, Any]], order_by: str, order: str) -> list[dict[str, Any]]:
    """Return ``items``, which come newest first, in the order asked for.

    Unless the order is by time, items that are equal in it stay newest first in either direction.
    """
    is_descending = order.upper() == "DESC"
    if order_by == "":
        return items
    if order_by == "timestamp":
        return items if is_descending else items[::-1]
    return sorted(items, key=lambda item: str(item[order_by]), reverse=is_descending)
