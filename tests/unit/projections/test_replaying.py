"""Replays: how long the pauses between events are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from recountdb.eventlog.log.rows import LogEntry
from recountdb.projections.queries.replay import PAUSE_SECONDS_MAX, pace_entries

BEGINNING = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def entry(version: int, seconds: float) -> LogEntry:
    return LogEntry(
        originator_id=UUID(int=1),
        originator_version=version,
        topic="session.message-added",
        state=b"{}",
        id=version,
        project="default",
        recorded_at=BEGINNING + timedelta(seconds=seconds),
    )


def pauses(speed: float, seconds: Sequence[float], before: datetime | None = None) -> list[float]:
    entries = [entry(version, at) for version, at in enumerate(seconds, start=1)]
    found = list(pace_entries(entries, speed, before))
    assert [entry for _, entry in found] == entries
    return [pause for pause, _ in found]


@pytest.mark.parametrize(
    ("speed", "expected"),
    [(1, [0, 2, 0, 1.5]), (10, [0, 0.2, 0, 0.15]), (0.5, [0, 4, 0, 3]), (0, [0, 0, 0, 0])],
)
def test_pauses_are_those_there_were_divided_by_the_speed(speed: float, expected: list[float]) -> None:
    assert pauses(speed, [7, 9, 9, 10.5]) == pytest.approx(expected)


def test_no_pause_is_longer_than_the_longest() -> None:
    assert pauses(1, [0, 4, 10_000, 10_001]) == [0, 4, PAUSE_SECONDS_MAX, 1]
    assert pauses(0.1, [0, 4]) == [0, PAUSE_SECONDS_MAX]


def test_the_entry_in_front_of_the_first_counts() -> None:
    assert pauses(2, [3, 4], before=BEGINNING) == [1.5, 0.5]
