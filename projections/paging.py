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
from eventlog.epoch import Epochs, LogPosition, OlderEpoch

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
        return None if self.cursor is None else key_of(self.cursor, self.order)[0]

    def after_in(self, epochs: Epochs) -> int | None:
        """Return the position that the cursor holds, in a list by position.

        Raises InvalidInput for a cursor that this store did not give out, OlderEpoch for another epoch's.
        """
        if self.cursor is None:
            return None
        position, epoch = key_of(self.cursor, self.order)
        try:
            return epochs.check(LogPosition(epoch, position))
        except OlderEpoch as error:
            # Newest first, a cursor leaves out its own row, too.
            is_cut = self.order == "newest" and error.position < position
            error.cursor = cursor_for(error.position + is_cut, self.order, error.epoch)
            raise


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


def page_of(
    rows: Sequence[T], window: Window, key: Callable[[T], int], epochs: Epochs | None = None
) -> Page[T]:
    """A page from ``rows``, which were fetched with one row more than the limit to see if any follow.

    ``epochs``: of a list by position, those that its positions belong to.
    """
    if len(rows) <= window.limit:
        return Page(rows)
    items = rows[: window.limit]
    epoch = None if epochs is None else epochs.current.name
    return Page(items, cursor_for(key(items[-1]), window.order, epoch))


def cursor_for(key: int, order: Order, epoch: str | None = None) -> str:
    """Return a cursor; ``epoch``: the name of that which the key, a position, belongs to."""
    place = [order, key] if epoch is None else [order, key, epoch]
    return base64.urlsafe_b64encode(to_json(place)).decode().rstrip("=")


def key_of(cursor: str, order: Order) -> tuple[int, str | None]:
    """Return the key that a cursor holds, and the name of its epoch. Raises InvalidInput."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        made_for, key, *epoch = from_json(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, TypeError, binascii.Error):
        raise InvalidInput("cursor", "is not one that this store gave out") from None
    if made_for != order:
        raise InvalidInput("cursor", "belongs to a listing in the other order")
    if not isinstance(key, int) or isinstance(key, bool) or not 0 <= key <= KEY_MAX:
        raise InvalidInput("cursor", "is not one that this store gave out")
    if len(epoch) > 1 or not all(isinstance(name, str) for name in epoch):
        raise InvalidInput("cursor", "is not one that this store gave out")
    return key, epoch[0] if epoch else None
