"""Lists that a command prints, fetched page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from recountdb.api.cli.output import print_notice
from recountdb.projections.lists.paging import KEY_MAX, LIMIT_DEFAULT, LIMIT_MAX, Order, Page, Window

T = TypeVar("T")


def list_some(fetch: Callable[[Window], Page[T]], limit: int | None, order: Order) -> Iterator[T]:
    """Yield up to ``limit`` items; for None the first LIMIT_DEFAULT, with a hint if there are more."""
    if limit is not None:
        yield from list_all(fetch, limit, order)
        return
    for number, item in enumerate(list_all(fetch, LIMIT_DEFAULT + 1, order), 1):
        if number > LIMIT_DEFAULT:
            print_notice("There are more: see --limit.")
        else:
            yield item


def list_all(fetch: Callable[[Window], Page[T]], limit: int | None, order: Order) -> Iterator[T]:
    """Yield up to ``limit`` items, or all of them for None."""
    left, cursor = limit or KEY_MAX, None
    while left > 0:
        page = fetch(Window(min(left, LIMIT_MAX), order, cursor))
        yield from page.items
        left -= len(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return
