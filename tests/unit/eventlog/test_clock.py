"""The database's time: measured, counted on, and trusted only while this machine's clock agrees."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from recountdb.eventlog.postgres.clock import Clock, ClocksApart, Connection, in_words

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0


class Machine:
    """This machine's clocks, and the database's, moved by hand."""

    def __init__(self, *, ahead: float = 0.0, travel_seconds: float = 0.0) -> None:
        self.passed = 0.0
        self.ahead = ahead
        self.travel_seconds = travel_seconds
        self.clock = Clock(wall=lambda: NOON + self.passed + self.ahead, elapsed=lambda: self.passed)

    def measure(self) -> None:
        self.clock.measure(cast("Connection", self))

    def execute(self, *asked: Any, **more: Any) -> Machine:
        """As the database answers, half of the way after it was asked."""
        self.passed += self.travel_seconds / 2
        self.answer = datetime.fromtimestamp(NOON + self.passed, UTC)
        self.passed += self.travel_seconds / 2
        return self

    def fetchall(self) -> list[tuple[datetime]]:
        return [(self.answer,)]

    @property
    def error_seconds(self) -> float:
        return self.clock.now().timestamp() - (NOON + self.passed)


def test_without_a_measurement_it_is_this_machines_time() -> None:
    machine = Machine(ahead=5)
    assert machine.error_seconds == 5
    assert machine.clock.difference_seconds == 0


@pytest.mark.parametrize("ahead", [0.0, 40 * DAY, -40 * DAY, 3.5])
def test_it_is_the_databases_time_from_the_first_measurement_on(ahead: float) -> None:
    machine = Machine(ahead=ahead, travel_seconds=0.2)
    machine.measure()
    machine.passed += 3600
    assert machine.error_seconds == pytest.approx(-0.1, abs=1e-4)
    assert machine.clock.difference_seconds == pytest.approx(ahead + 0.1, abs=1e-4)


def test_a_jump_of_this_machines_clock_changes_nothing_but_the_difference() -> None:
    machine = Machine()
    machine.measure()
    machine.ahead = -3 * DAY
    assert machine.error_seconds == 0
    assert machine.clock.difference_seconds == -3 * DAY


def test_a_slow_measurement_does_not_replace_a_recent_one() -> None:
    machine = Machine()
    machine.measure()
    machine.clock.take(datetime.fromtimestamp(NOON - 500, UTC), asked_at=machine.passed - 9)
    assert machine.error_seconds == 0


def test_a_slow_measurement_is_better_than_an_old_one() -> None:
    machine = Machine()
    machine.measure()
    machine.passed += 120
    machine.clock.take(datetime.fromtimestamp(NOON + 100, UTC), asked_at=machine.passed - 40)
    assert machine.error_seconds == -20


def test_of_quick_and_slow_answers_the_quickest_counts() -> None:
    machine = Machine(travel_seconds=0.001)
    machine.measure()
    machine.travel_seconds = 0.3
    machine.measure()
    assert machine.error_seconds == pytest.approx(-0.0005, abs=1e-5)


def test_a_step_of_the_databases_clock_is_followed_either_way() -> None:
    machine = Machine()
    for step in (-5, 30):
        machine.clock.take(datetime.fromtimestamp(NOON + step, UTC), asked_at=0)
        assert machine.error_seconds == step


@pytest.mark.parametrize(
    ("ahead", "words"),
    [(61.0, "61 seconds ahead of"), (40 * DAY, "40 days ahead of"), (-7200.0, "2 hours behind")],
)
def test_what_cannot_be_undone_is_refused_while_the_clocks_disagree(ahead: float, words: str) -> None:
    machine = Machine(ahead=ahead)
    with pytest.raises(ClocksApart, match=f"this machine's clock is {words} the database's"):
        machine.clock.refuse_apart(cast("Connection", machine))


@pytest.mark.parametrize("ahead", [59.0, -59.0, 0.0])
def test_what_cannot_be_undone_counts_by_the_databases_time(ahead: float) -> None:
    machine = Machine(ahead=ahead)
    now = machine.clock.refuse_apart(cast("Connection", machine))
    assert now.timestamp() == NOON


def test_lengths_of_time_are_told_roughly() -> None:
    assert [in_words(s) for s in (61, 119, 120, 7200, 172_800)] == [
        "61 seconds",
        "119 seconds",
        "2 minutes",
        "2 hours",
        "2 days",
    ]
