"""Replays of a stream's events, one after the other, at the pace of their recording, or faster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from uuid import UUID

from recountdb.eventlog.log.recorder import LogRecorder
from recountdb.eventlog.log.rows import LogEntry

PAGE_ENTRIES = 500
PAUSE_SECONDS_MAX = 5.0
SPEED_MAX = 1_000_000


def read_entries(log: LogRecorder, stream_id: UUID, first: int, last: int) -> Iterator[LogEntry]:
    """Yield the entries of a stream from version ``first`` to ``last``, both inclusive, oldest first."""
    after = first - 1
    while True:
        entries = log.select_stream(stream_id, gt=after, lt=last + 1, limit=PAGE_ENTRIES)
        yield from entries
        if len(entries) < PAGE_ENTRIES and not entries.is_cut:
            return
        after = entries[-1].originator_version


def pace_entries(
    entries: Iterable[LogEntry], speed: float, before: datetime | None = None
) -> Iterator[tuple[float, LogEntry]]:
    """Yield each entry with the pause before it, in seconds, at most PAUSE_SECONDS_MAX.

    ``speed``: a multiple of the recorded pace; 0 means no pauses. ``before``: when the entry before the first
    was recorded; None when there is none, so that the first has no pause.
    """
    for entry in entries:
        pause = 0.0
        if before is not None and speed:
            pause = (entry.recorded_at - before).total_seconds() / speed
        yield min(pause, PAUSE_SECONDS_MAX), entry
        before = entry.recorded_at
