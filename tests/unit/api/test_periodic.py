"""What a server does again and again."""

from __future__ import annotations

import threading

import pytest

from recountdb.api.background import periodic
from recountdb.api.background.periodic import PeriodicTask
from recountdb.domain.errors import Unavailable

PATIENCE_SECONDS = 30


def test_the_first_time_does_not_wait_for_a_long_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periodic, "FIRST_SECONDS", 0)
    done = threading.Event()
    work = PeriodicTask("work", 3600, done.set)
    work.start()
    assert done.wait(PATIENCE_SECONDS)
    work.stop()


@pytest.mark.parametrize("error", [Unavailable("gone"), ZeroDivisionError()])
def test_a_failure_is_not_the_end(error: Exception) -> None:
    times, thrice = [0], threading.Event()

    def fail() -> None:
        times[0] += 1
        if times[0] == 3:
            thrice.set()
        raise error

    work = PeriodicTask("work", 0.001, fail)
    work.start()
    assert thrice.wait(PATIENCE_SECONDS)
    work.stop()
