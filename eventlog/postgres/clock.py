"""The time, by the clock of the database: one for all servers, whatever their own clocks say.

A process measures the database's time again and again, and counts on from the last measurement by a
clock that nobody sets. So an event carries the database's time, and a jump of this machine's clock
changes nothing. Actions that cannot be undone use the database's clock alone, and are refused while this
machine's clock disagrees with it: then one of the two is wrong, and nobody knows which.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg

from recountdb.domain.errors import Unavailable

Connection = psycopg.Connection[tuple[Any, ...]]

APART_SECONDS_MAX = 60.0
SLOW_SECONDS = 1.0  # an answer that took longer counts only where there is no recent one
RECENT_SECONDS = 60.0
JITTER_SECONDS = 0.25  # a smaller step back is the network's, not the database's


class ClocksApart(Unavailable):
    """The clocks of this machine and of the database differ too much to trust either."""

    def __init__(self, difference_seconds: float) -> None:
        direction = "ahead of" if difference_seconds > 0 else "behind"
        super().__init__(
            f"this machine's clock is {in_words(abs(difference_seconds))} {direction} the database's: nothing"
            " is purged until they agree; set the wrong one right",
            retry_after_seconds=60,
        )


def elapsed_seconds() -> float:
    """Return the seconds since some moment in the past; a machine that sleeps, or a set clock, skips none."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


class Clock:
    """Clock of the database's time: never ahead of it, and hardly behind. Threads may share it.

    ``wall`` and ``elapsed`` are this machine's clocks.
    """

    def __init__(
        self, *, wall: Callable[[], float] = time.time, elapsed: Callable[[], float] = elapsed_seconds
    ) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._offset: float | None = None  # from what ``elapsed`` shows to the database's time
        self._measured_at = 0.0

    def now(self) -> datetime:
        """Return the database's time; this machine's as long as nothing was measured."""
        return datetime.fromtimestamp(self._seconds(), UTC)

    @property
    def difference_seconds(self) -> float:
        """Return how far this machine's clock is ahead of the database's; 0 before any measurement."""
        return self._wall() - self._seconds()

    def _seconds(self) -> float:
        offset = self._offset
        return self._wall() if offset is None else self._elapsed() + offset

    def measure(self, connection: Connection) -> datetime:
        """Ask the database for its time, and return its answer. Raises psycopg.Error."""
        asked_at = self._elapsed()
        moment: datetime
        ((moment,),) = connection.execute("SELECT clock_timestamp()", prepare=True).fetchall()
        self.take(moment, asked_at=asked_at)
        return moment

    def take(self, moment: datetime, *, asked_at: float) -> None:
        """Take in the time that the database returned just now.

        ``asked_at``: what ``elapsed`` showed when the database was asked.
        """
        answered_at = self._elapsed()
        is_recent = self._offset is not None and answered_at - self._measured_at < RECENT_SECONDS
        if is_recent and answered_at - asked_at > SLOW_SECONDS:
            return
        # The answer was on its way for some time, so this is too early rather than too late. The quickest
        # answer is the best; only what the network cannot explain is a step of the database's clock.
        offset, before = moment.timestamp() - answered_at, self._offset
        if before is None or not before - JITTER_SECONDS < offset < before:
            self._offset = offset
        self._measured_at = answered_at

    def refuse_apart(self, connection: Connection) -> datetime:
        """Return the database's time for an action that is final. Raises ClocksApart, psycopg.Error."""
        moment = self.measure(connection)
        difference = self._wall() - moment.timestamp()
        if abs(difference) > APART_SECONDS_MAX:
            raise ClocksApart(difference)
        return moment


def in_words(seconds: float) -> str:
    """Return a length of time roughly, as people say it."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
