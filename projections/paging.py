"""Pages of rows, by keys that stay right while rows are added.

By number only for orders that change under the reader anyway, and for callers who know no other way.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from domain.errors import InvalidInput

LIMIT_DEFAULT = 50
LIMIT_MAX = 1000
KEY_MAX = 2**63 - 1

Order = Literal["oldest", "newest"]
T = TypeVar("T")


@dataclass(frozen=True)
class Window:
    """Which part of a list: ``limit`` rows in ``order``, after the row that ``cursor`` names."""

    limit: int = LIMIT_DEFAULT
    order: Order = "oldest"
    cursor: str | None = None

    def after(self) -> int | None:
        """The key that the cursor holds. Raises InvalidInput for one that we did not give out."""
        return None if self.cursor is None else key_of(self.cursor, self.order)


@dataclass(frozen=True)
class Numbered:
    """The page of this ``number``, from 1, of pages of ``size`` rows.

    Rows that move or are added meanwhile come twice or not at all.
    """

    number: int
    size: int

    def parameters(self) -> dict[str, int]:
        return {"limit": self.size, "offset": (self.number - 1) * self.size}


@dataclass(frozen=True)
class Filter:
    """What rows to see. None filters nothing.

    ``metadata``: rows whose metadata contain this document. ``since`` (inclusive) and ``until``
    (exclusive): times of creation, for messages the time said, or else recorded. ``deleted``: only
    live ones (False), only deleted ones (True), both (None).
    """

    scope: str | None = None
    user_id: str | None = None
    role: str | None = None
    metadata: dict[str, JsonValue] | None = None
    since: datetime | None = None
    until: datetime | None = None
    deleted: bool | None = False

    def parameters(self) -> dict[str, Any]:
        metadata = None if self.metadata is None else to_json(self.metadata).decode()
        return {
            "scope": self.scope,
            "user_id": self.user_id,
            "role": self.role,
            "metadata": metadata,
            "since": self.since,
            "until": self.until,
            "deleted": self.deleted,
        }


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows of a list; ``next_cursor`` is None at its end."""

    items: Sequence[T]
    next_cursor: str | None = None


def page_of(rows: Sequence[T], window: Window, key: Callable[[T], int]) -> Page[T]:
    """A page from ``rows``, which were fetched with one row more than the limit to see if any follow."""
    if len(rows) <= window.limit:
        return Page(rows)
    items = rows[: window.limit]
    return Page(items, cursor_for(key(items[-1]), window.order))


def cursor_for(key: int, order: Order) -> str:
    return base64.urlsafe_b64encode(to_json([order, key])).decode().rstrip("=")


def key_of(cursor: str, order: Order) -> int:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        made_for, key = from_json(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, TypeError, binascii.Error):
        raise InvalidInput("cursor", "is not one that this store gave out") from None
    if made_for != order:
        raise InvalidInput("cursor", "belongs to a listing in the other order")
    if not isinstance(key, int) or isinstance(key, bool) or not 0 <= key <= KEY_MAX:
        raise InvalidInput("cursor", "is not one that this store gave out")
    return key
