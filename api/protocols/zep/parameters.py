"""The parts of Zep's requests outside of bodies: the key, names in the path, and numbers in the query."""

from __future__ import annotations

import re
from contextlib import suppress
from uuid import UUID

from fastapi import Request

from recountdb.api.http.context import name_in_path
from recountdb.api.protocols.base import RequestContext, authenticate
from recountdb.api.protocols.zep.errors import COOKIE, refuse_request
from recountdb.api.protocols.zep.queries import ROWS_MAX
from recountdb.domain.errors import NotFound
from recountdb.domain.values import check_name
from recountdb.projections.lists.paging import KEY_MAX, Window, encode_cursor

INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


async def authenticate_client(request: Request, *, scope: str | None = None) -> RequestContext:
    """Authenticate the caller, whose key may also be in a cookie."""
    return await authenticate(request, scope=scope, key=request.cookies.get(COOKIE))


def read_name(segment: str, kind: str) -> str:
    """Return a path segment as a name. Raises NotFound if it is not a valid name."""
    try:
        return name_in_path(segment)
    except ValueError:
        raise NotFound(kind) from None


def read_name_loosely(segment: str) -> str:
    """Return a path segment as a name; the empty text, which names nothing, if it is not a valid name."""
    with suppress(ValueError):
        return name_in_path(segment)
    return ""


def check_new_name(name: str | None, member: str) -> str:
    """Return the name for something new. Raises an error that is answered with 400 if it is not valid."""
    try:
        return check_name(name or "")
    except ValueError as error:
        refuse_request(f"{member} {error}")


def read_message_id(segment: str) -> UUID:
    """Return a path segment as a message's id. Raises an error that is answered with 400."""
    try:
        return UUID(segment)
    except ValueError:
        refuse_request("the message's uuid is none")


def read_integer(request: Request, parameter: str, *, default: int | None = None) -> int:
    """Return a number in the query; 0 if it is absent or empty.

    ``default``: the result for a text that is not a number; None: raise an error that is answered with 400.
    """
    given = request.query_params.get(parameter, "")
    if not given:
        return 0
    if INTEGER.fullmatch(given) and abs(int(given)) <= KEY_MAX:
        return int(given)
    if default is None:
        refuse_request(f"{parameter} must be an integer")
    return default


def read_window(request: Request) -> Window:
    """Return the page that Zep's ``limit`` and ``cursor``, the number of the last row before it, ask for."""
    limit, after = read_integer(request, "limit"), read_integer(request, "cursor")
    cursor = encode_cursor(after, "oldest") if after > 0 else None
    return Window(limit=min(limit, ROWS_MAX) if limit > 0 else ROWS_MAX, cursor=cursor)
