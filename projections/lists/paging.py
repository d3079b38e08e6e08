"""Pages of rows, by keys that stay valid while rows are added.

Pages by number are only for orders that change between requests anyway, and for callers who cannot use
cursors.
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

from recountdb.domain.errors import InvalidInput
from recountdb.eventlog.log.epoch import Epochs, LogPosition, OlderEpoch
from recountdb.projections.lists.whole_lists import TooLarge

LIMIT_DEFAULT = 50
LIMIT_MAX = 1000
PAGE_BYTES_MAX = 4 * 2**20
"""A page ends with the item that brings it to this size, so it may be larger by one item."""

KEY_MAX = 2**63 - 1

Order = Literal["oldest", "newest"]
T = TypeVar("T")


@dataclass(frozen=True)
class Window:
    """Part of a list: ``limit`` rows in ``order``, after the row that ``cursor`` names.

    A page that reaches ``bytes_max`` ends early, with a cursor. ``is_whole`` is for callers who know no
    cursors: TooLarge is raised instead.
    """

    limit: int = LIMIT_DEFAULT
    order: Order = "oldest"
    cursor: str | None = None
    bytes_max: int = PAGE_BYTES_MAX
    is_whole: bool = False

    def after(self) -> int | None:
        """Return the key that the cursor holds; None without one.

        Raises InvalidInput for a cursor that this store did not give out.
        """
        return None if self.cursor is None else _decode_cursor(self.cursor, self.order)[0]

    def after_in(self, epochs: Epochs) -> int | None:
        """Return the position that the cursor holds, in a list by position; None without one.

        Raises InvalidInput for a cursor that this store did not give out, OlderEpoch for another epoch's.
        """
        if self.cursor is None:
            return None
        position, epoch = _decode_cursor(self.cursor, self.order)
        try:
            return epochs.check(LogPosition(epoch, position))
        except OlderEpoch as error:
            # With the newest first, a cursor excludes its own row, too.
            is_cut = self.order == "newest" and error.position < position
            error.cursor = encode_cursor(error.position + is_cut, self.order, error.epoch)
            raise


@dataclass(frozen=True)
class Numbered:
    """A page by ``number``, from 1, of ``size`` rows each.

    Rows that move or are added between requests may come twice or not at all.
    """

    number: int
    size: int

    def parameters(self) -> dict[str, int]:
        return {"limit": self.size, "offset": (self.number - 1) * self.size}


@dataclass(frozen=True)
class Filter:
    """Filter for rows. None filters nothing.

    ``metadata``: rows whose metadata contain this document. ``since`` (inclusive) and ``until`` (exclusive):
    the time of creation; for messages the time when they were said, or else recorded. ``deleted``: only live
    rows (False), only deleted ones (True), or both (None).
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


BYTES_OF_WEIGHT_MAX = 13
"""The most bytes that a weight of one can stand for: see eventlog/log/sql/log.sql."""


@dataclass(frozen=True)
class Rows(Generic[T]):
    """Rows that a statement found.

    ``count``: how many there were before it left out those beyond the weight. ``weight``: of all but the
    last row.
    """

    found: Sequence[T]
    count: int
    weight: int


Fetch = Callable[[int | None, int, int], Rows[T]]
"""Fetches rows after a key (None: from the start), up to a number, and up to a weight."""


def read_page(
    fetch: Fetch[T], window: Window, key: Callable[[T], int], epochs: Epochs | None = None
) -> Page[T]:
    """Read a page bounded in bytes.

    Statements weigh rows by their stored size. When the rows found may be too large for a page, each is
    measured; and when rows were left out, more are fetched until the page is full, because compressed rows
    mostly weigh more than their size. ``epochs``: for a list by position, the epochs of its positions.
    """
    items: list[T] = []
    size = 0
    after = window.after() if epochs is None else window.after_in(epochs)
    while True:
        rows = fetch(after, window.limit + 1 - len(items), window.bytes_max)
        is_all = rows.count <= len(rows.found)
        if is_all and not items and not is_full(window, rows.weight * BYTES_OF_WEIGHT_MAX):
            return make_page(rows.found, window, key, epochs)
        for item in rows.found:
            if len(items) < window.limit and is_full(window, size):
                _refuse_half(window)
                return _page_until(items, window, key, epochs)
            if len(items) == window.limit:
                return _page_until(items, window, key, epochs)
            items.append(item)
            size += measure_json(item)
        if is_all:
            return Page(items)
        after = key(items[-1])


def measure_rows(rows: Sequence[Sequence[Any]]) -> tuple[int, int]:
    """Return the count and the weight for Rows, from the last two columns of ``rows``."""
    return (rows[0][-2] or 0, int(rows[-1][-1] or 0)) if rows else (0, 0)


def is_full(window: Window, size: int) -> bool:
    """Return whether a page of ``size`` bytes is full."""
    return size >= window.bytes_max


def _refuse_half(window: Window) -> None:
    """Raise TooLarge when a page that ends early is of no use. Its full size is not known yet."""
    if window.is_whole:
        raise TooLarge(2 * window.bytes_max)


def measure_json(item: object) -> int:
    """Return the approximate size in bytes of an item as JSON."""
    return len(to_json(item, fallback=vars))


def make_page(
    rows: Sequence[T], window: Window, key: Callable[[T], int], epochs: Epochs | None = None
) -> Page[T]:
    """Return a page of ``rows``, which were fetched with one row more than the limit to see if any follow.

    ``epochs``: for a list by position, the epochs of its positions.
    """
    if len(rows) <= window.limit:
        return Page(rows)
    return _page_until(rows[: window.limit], window, key, epochs)


def _page_until(
    items: Sequence[T], window: Window, key: Callable[[T], int], epochs: Epochs | None
) -> Page[T]:
    """Return a page of ``items`` that more items follow."""
    epoch = None if epochs is None else epochs.current.name
    return Page(items, encode_cursor(key(items[-1]), window.order, epoch))


def encode_cursor(key: int, order: Order, epoch: str | None = None) -> str:
    """Return a cursor for a key. ``epoch``: for a position, the name of its epoch."""
    place = [order, key] if epoch is None else [order, key, epoch]
    return base64.urlsafe_b64encode(to_json(place)).decode().rstrip("=")


def _decode_cursor(cursor: str, order: Order) -> tuple[int, str | None]:
    """Return the key that a cursor holds, and the name of its epoch, if any. Raises InvalidInput."""
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
