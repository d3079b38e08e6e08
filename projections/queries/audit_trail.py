"""The audit trail: pages of the log, of one stream or of a whole project."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from recountdb.domain.commands.base import Name
from recountdb.eventlog.application import Recount
from recountdb.eventlog.log.recorder import LogRecorder
from recountdb.eventlog.log.rows import Entries, LogEntry
from recountdb.projections.lists.paging import KEY_MAX, Order, Page, Rows, Window, read_page
from recountdb.projections.queries.history import find_named_stream


def page_stream(log: LogRecorder, stream_id: UUID, window: Window) -> Page[LogEntry]:
    """Return a page of everything that was ever recorded in one stream, by version."""

    def fetch(after: int | None, limit: int, weight_max: int) -> Rows[LogEntry]:
        low, high = bound_page(after, window.order, KEY_MAX)
        return to_rows(
            log.select_stream(
                stream_id,
                gt=low,
                lt=high,
                limit=limit,
                desc=window.order == "newest",
                weight_max=weight_max,
            )
        )

    return read_page(fetch, window, lambda entry: entry.originator_version)


def to_rows(entries: Entries) -> Rows[LogEntry]:
    """Return entries in the form in which read_page takes them."""
    return Rows(entries, len(entries) + entries.is_cut, entries.weight)


def page_named_stream(application: Recount, name: Name, window: Window) -> Page[LogEntry]:
    """Return a page of everything recorded in the stream that has this name today. Raises NotFound."""
    return page_stream(application.log, find_named_stream(application, name), window)


def page_project(
    application: Recount,
    project: str,
    window: Window,
    *,
    topics: Sequence[str] = (),
    stream_id: UUID | None = None,
) -> Page[LogEntry]:
    """Return a page of what was recorded in a project, filtered by ``topics`` and stream, by position.

    It goes up to the settled position (see eventlog.log.order), so that no page has gaps that fill later.
    """
    log = application.log
    settled, epochs = log.settled()

    def fetch(after: int | None, limit: int, weight_max: int) -> Rows[LogEntry]:
        low, high = bound_page(after, window.order, settled + 1)
        return to_rows(
            log.select_project(
                project,
                gt=low,
                lt=high,
                limit=limit,
                topics=topics,
                stream_id=stream_id,
                desc=window.order == "newest",
                epochs=epochs,
                weight_max=weight_max,
            )
        )

    return read_page(fetch, window, lambda entry: entry.id, epochs)


def bound_page(after: int | None, order: Order, end: int) -> tuple[int, int]:
    """Return the keys between which the page after ``after`` lies, both exclusive."""
    if order == "newest":
        return 0, min(after or end, end)
    return after or 0, end
