"""Lists of sessions, threads and users, by their numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from recountdb.domain.aggregate import Aggregate
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.queries.paging import Page, Rows, Window, read_page, size_in

A = TypeVar("A", bound=Aggregate)


def list_rows(
    database: Database, make: Callable[..., A], sql: str, bound: dict[str, Any], window: Window
) -> Page[A]:
    """Return a page of the rows that ``sql`` finds, each made by ``make`` from its columns by name."""

    def make_counted(page_rows: int, weight_before: int | None, **columns: Any) -> tuple[A, Any, Any]:
        return make(**columns), page_rows, weight_before

    def fetch(after: int | None, limit: int, weight_max: int) -> Rows[A]:
        within = bound | {"after": after, "limit": limit, "weight_max": weight_max}
        counted = database.fetch_as(make_counted, sql, within, prepare=False)
        return Rows([item for item, _, _ in counted], *size_in(counted))

    return read_page(fetch, window, lambda item: item.number)
