"""Lists that are returned whole, for callers who know no cursors, and read only when there is room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Row = tuple[Any, ...]
Fetch = Callable[[dict[str, Any]], Sequence[Row]]
"""Fetches the rows of a statement with the parts weigh_whole and if_light, for their parameters."""


class TooLarge(Exception):
    """Error that says that a list is too large. ``size``: the bytes to make room for before the next try."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a list of {size} bytes")
        self.size = size


def read_whole(fetch: Fetch, bytes_max: int | None) -> list[Row]:
    """Return all rows. Raises TooLarge, before they are read, when they exceed ``bytes_max``.

    ``bytes_max``: None means no limit.

    Measuring takes PostgreSQL as long as reading, so rows are measured only when they weigh too much.
    """
    rows = fetch({"weight_max": bytes_max, "is_exact": False})
    if bytes_max is not None and rows and rows[0][-2] > bytes_max:
        size = int(fetch({"weight_max": 0, "is_exact": True})[0][-2])
        if size > bytes_max:
            raise TooLarge(size)
        rows = fetch({"weight_max": None, "is_exact": False})
    return [row[:-2] for row in rows]
