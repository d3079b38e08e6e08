"""Benchmark that shows whether a conversation's cost stays flat as it grows.

Run it: ``python -m bench.growth [--largest 1000000] [--samples 1000]``

Sessions of 100, 10,000 and 1,000,000 messages are written through the application. Then it measures,
in turns, so that other work on the machine affects all sizes alike:

    append one message            ``execute``, to the commit
    read the last 20 messages     the messages view, newest first
    read 20 as of the middle      the log: the messages as they were at half the session's length
    first append after a start    a new application that has to load the session first

Each is given as the median and, below it, the 95th percentile, in milliseconds. The ratio compares the
largest session with the smallest; the target is at most 1.2 for the medians of the first two. The last
two load a state: the newest snapshot and the events after it, 499 at most, however long the session is.
Here these are nearly as many, but only 50 to 150 for the smallest sessions.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from bench.common import (
    PROJECT,
    application_on,
    console,
    context,
    median,
    message,
    p95,
    print_conditions,
    print_table,
    progress,
    reached,
    run,
    scratch_database,
    texts,
)
from recountdb.domain.commands.base import Name
from recountdb.domain.commands.conversations import AddMessages
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import connect
from recountdb.eventlog.write.states import SNAPSHOT_INTERVAL
from recountdb.projections.lists.paging import Filter, Window
from recountdb.projections.queries.history import AsOf, page_as_of
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.sessions import get_session

WANTED = 1.2
SMALLEST = 100
SMALL_SESSIONS = 50  # so that appending to them does not make them large
WARM_UP_ROUNDS = SMALL_SESSIONS
MESSAGES_PER_COMMAND = 500
LAST_20 = Window(limit=20, order="newest")

Action = Callable[[str], object]
Timings = dict[int, list[float]]
"""Size → seconds, by size."""


@dataclass(frozen=True)
class _Sizes:
    """The names of the sessions of each size, which are used in turn."""

    names: dict[int, list[str]]

    @classmethod
    def up_to(cls, largest: int) -> _Sizes:
        middle = round((SMALLEST * largest) ** 0.5)
        return cls(
            {
                SMALLEST: [f"small {number}" for number in range(SMALL_SESSIONS)],
                middle: ["middle"],
                largest: ["large"],
            }
        )

    def all(self) -> list[tuple[int, str]]:
        return [(size, name) for size, names in self.names.items() for name in names]

    def one_of_each(self, turn: int, chance: random.Random) -> list[tuple[int, str]]:
        """Return a session of each size, another one at each turn, in random order."""
        picked = [(size, names[turn % len(names)]) for size, names in self.names.items()]
        return chance.sample(picked, len(picked))


def _fill(application: Recount, sizes: _Sizes, contents: Iterator[str]) -> None:
    """Write the sessions through the application, one command after the other."""
    total = sum(size for size, _ in sizes.all())
    start = time.perf_counter()
    under_way: Future[Any] | None = None
    with progress(total) as advance:
        for size, name in sizes.all():
            for first in range(0, size, MESSAGES_PER_COMMAND):
                count = min(MESSAGES_PER_COMMAND, size - first)
                said = [message(next(contents)) for _ in range(count)]
                if under_way:
                    under_way.result()
                command = AddMessages(kind="session", name=name, messages=said)
                under_way = application.submit(command, context())
                advance(f"writing {total:,} messages", count)
        if under_way:
            under_way.result()
    seconds = time.perf_counter() - start
    console.print(
        f"Wrote {total:,} messages in {seconds:,.0f} s, {total / seconds:,.0f} a second,"
        f" {MESSAGES_PER_COMMAND} to a command."
    )


def _settle(conninfo: str) -> None:
    """Make the server do now the upkeep after the fill that would otherwise disturb the measurement."""
    with connect(conninfo) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


def _appending(application: Recount, contents: Iterator[str]) -> Action:
    def append(name: str) -> None:
        command = AddMessages(kind="session", name=name, messages=[message(next(contents))])
        application.execute(command, context())

    return append


def _reading_last(application: Recount) -> Action:
    return lambda name: page_messages(application.database, PROJECT, "session", name, LAST_20)


def _reading_middle(application: Recount, sizes: _Sizes) -> Action:
    moments = {name: AsOf(version=size // 2) for size, name in sizes.all()}

    def read(name: str) -> None:
        called = Name(PROJECT, "session", "", name)
        page_as_of(application, called, moments[name], LAST_20, Filter())

    return read


def _timed(action: Action, sizes: _Sizes, samples: int, chance: random.Random) -> Timings:
    """Return how long ``action`` took on each size, in turns; the first turns are not counted."""
    timings = _no_timings(sizes)
    with progress(samples) as advance:
        for number in range(-WARM_UP_ROUNDS, samples):
            for size, name in sizes.one_of_each(number, chance):
                seconds = _duration(action, name)
                if number >= 0:
                    timings[size].append(seconds)
            advance("measuring", int(number >= 0))
    return timings


def _timed_after_start(
    conninfo: str, sizes: _Sizes, starts: int, contents: Iterator[str], chance: random.Random
) -> Timings:
    """Return how long the first append to a session takes in an application that has done other work."""
    timings = _no_timings(sizes)
    with progress(starts) as advance:
        for number in range(starts):
            with application_on(conninfo) as application:
                append = _appending(application, contents)
                append("another")  # so that connecting and preparing are not counted
                for size, name in sizes.one_of_each(number, chance):
                    timings[size].append(_duration(append, name))
            advance("starting anew", 1)
    return timings


def _no_timings(sizes: _Sizes) -> Timings:
    return {size: [] for size in sizes.names}


def _duration(action: Action, name: str) -> float:
    start = time.perf_counter()
    action(name)
    return time.perf_counter() - start


def _make_loading_long(application: Recount, sizes: _Sizes, starts: int, append: Action) -> None:
    """Append until sessions that have snapshots are as near to the next one as ``starts`` allow."""
    for size, name in sizes.all():
        if size > SNAPSHOT_INTERVAL:
            version = get_session(application.database, PROJECT, name).version
            for _ in range((-version - starts - 1) % SNAPSHOT_INTERVAL):
                append(name)


def _row(label: str, timings: Timings, *, has_target: bool) -> list[str]:
    medians, tails = ([of(values) for values in timings.values()] for of in (median, p95))
    ratio = medians[-1] / medians[0]
    cells = [f"{a * 1000:.2f}\n[dim]{b * 1000:.2f}[/]" for a, b in zip(medians, tails, strict=True)]
    ratios = f"{ratio:.2f}\n[dim]{tails[-1] / tails[0]:.2f}[/]"
    return [label, *cells, ratios, reached(ratio <= WANTED) if has_target else ""]


def main(
    largest: Annotated[int, typer.Option(min=1000, help="Messages in the largest.")] = 1_000_000,
    samples: Annotated[int, typer.Option(min=20, help="Of each figure.")] = 1000,
    starts: Annotated[int, typer.Option(min=2, max=200, help="Of a new application.")] = 30,
    seed: Annotated[int, typer.Option(help="For what is said and the order of turns.")] = 1,
) -> None:
    """Measure appends and reads on a small, a middling and a large session."""
    sizes, chance, contents = _Sizes.up_to(largest), random.Random(seed), itertools.cycle(texts(seed))
    with scratch_database() as conninfo:
        print_conditions(conninfo)
        with application_on(conninfo) as application:
            _fill(application, sizes, contents)
            _settle(conninfo)
            append = _appending(application, contents)
            appends, reads, reads_as_of = (
                _timed(action, sizes, samples, chance)
                for action in (
                    append,
                    _reading_last(application),
                    _reading_middle(application, sizes),
                )
            )
            _make_loading_long(application, sizes, starts, append)
        first_appends = _timed_after_start(conninfo, sizes, starts, contents, chance)
    rows = [
        _row("append one message", appends, has_target=True),
        _row("read the last 20 messages", reads, has_target=True),
        _row("read 20 as of the middle", reads_as_of, has_target=False),
        _row("first append after a start", first_appends, has_target=False),
    ]
    columns = ["milliseconds", *(f"{size:,}" for size in sizes.names), "ratio", ""]
    print_table(f"By messages in the session (wanted: a ratio of {WANTED} at most)", columns, rows)


if __name__ == "__main__":
    run(main)
