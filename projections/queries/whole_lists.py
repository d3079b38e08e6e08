"""Lists that are told whole, for callers who know no cursors: read only where there is room for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Row = tuple[Any, ...]
Fetch = Callable[[dict[str, Any]], Sequence[Row]]
"""Rows of a statement with the parts weigh_whole and if_light, by what these parts ask for."""


class TooLarge(Exception):
    """A list has more bytes than it may. ``size``: how many to make room for before it is asked for again."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a list of {size} bytes")
        self.size = size


def read_whole(fetch: Fetch, bytes_max: int | None) -> list[Row]:
    """Return all rows; ``bytes_max`` None: however large they are. Raises TooLarge, before they are read.

    Measuring takes PostgreSQL as long as reading, so it is done only where they weigh too much.
    """
    rows = fetch({"weight_max": bytes_max, "is_exact": False})
    if bytes_max is not None and rows and rows[0][-2] > bytes_max:
        size = int(fetch({"weight_max": 0, "is_exact": True})[0][-2])
        if size > bytes_max:
            raise TooLarge(size)
        rows = fetch({"weight_max": None, "is_exact": False})
    return [row[:-2] for row in rows]
