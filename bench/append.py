"""Benchmark of single appends per second, beside three other programs on the same server.

Run it: ``python -m bench.append [--seconds 2] [--rounds 5] [--writers 1,8,32] [--processes 1]``

It measures, with the given numbers of threads that each write to a session of their own:

    Recount           ``execute(AddMessages(...))`` of one message: decision, event, views, commit
    stock library     the eventsourcing library's own application and PostgreSQL recorder
    psycopg INSERT    no more than Recount's row in a table like Recount's, each committed
    pgbench INSERT    the same by pgbench, whose client costs next to nothing

They take turns in rounds, in a changing order, so that other work on the machine affects all alike:
trust the ratios, not the rates. A cell is the median of the rounds, with the minimum and the maximum;
a ratio is the median of the rounds' ratios. The target for Recount is 4 times the library and half of
psycopg's INSERT, from 8 writers on.

Meanwhile a follower reads the log. If it missed an event, or saw one twice or in the wrong order, the
exit code is 1.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Annotated

import typer

from bench.common import (
    application_on,
    console,
    median,
    print_conditions,
    print_table,
    progress,
    reached,
    rows_of,
    run,
    scratch_database,
    server_setting,
)
from bench.contestants import Contestant
from bench.contestants.inserts import PgbenchInsert, PsycopgInsert
from bench.contestants.ours import Ours, OursInProcesses
from bench.contestants.stock import Stock
from recountdb.eventlog.application import Recount

WANTED_OF_STOCK = 4.0
WANTED_OF_INSERT = 0.5
WANTED_FROM_WRITERS = 8
CONNECTIONS_BESIDE = 30  # those of Recount, the follower and the library

Rates = dict[int, list[list[float | None]]]
"""Writers → rounds → the rate of each contestant."""


class _Follower(threading.Thread):
    """Thread that follows the log from its start and keeps the positions that it was given."""

    def __init__(self, application: Recount) -> None:
        super().__init__(name="follower", daemon=True)
        self.seen: list[int] = []
        self._subscription = application.log.subscribe()

    def run(self) -> None:
        for entry in self._subscription:
            self.seen.append(entry.id)

    def wait_for(self, position: int, *, patience_seconds: float = 30) -> None:
        """Wait until ``position`` was seen, or no more events come."""
        seen, deadline = -1, 0.0
        while position not in self.seen[-1:] and self.is_alive():
            if len(self.seen) != seen:
                seen, deadline = len(self.seen), time.monotonic() + patience_seconds
            elif time.monotonic() > deadline:
                break
            time.sleep(0.05)

    def stop(self) -> None:
        self._subscription.stop()
        self.join()


@contextmanager
def _following(application: Recount) -> Iterator[_Follower]:
    follower = _Follower(application)
    follower.start()
    try:
        yield follower
    finally:
        follower.stop()


@contextmanager
def _contestants_on(conninfo: str, application: Recount, processes: int) -> Iterator[list[Contestant]]:
    """Yield the contestants: Recount first, then those that it is compared with."""
    with ExitStack() as resources:
        ours: Contestant = Ours(application)
        if processes > 1:
            ours = resources.enter_context(closing(OursInProcesses(conninfo, processes)))
        stock = resources.enter_context(closing(Stock(conninfo)))
        yield [ours, stock, PsycopgInsert(conninfo), PgbenchInsert(conninfo)]


def _measure(contestants: Sequence[Contestant], writers: Sequence[int], rounds: int, seconds: float) -> Rates:
    rates: Rates = {count: [] for count in writers}
    with progress(rounds * len(writers) * len(contestants)) as advance:
        for number in range(rounds):
            for count in writers:
                results: list[float | None] = [None] * len(contestants)
                for turn in range(len(contestants)):
                    index = (turn + number) % len(contestants)
                    advance(f"{contestants[index].name}, {count} writers", 0)
                    results[index] = contestants[index].rate(count, seconds)
                    advance("", 1)
                rates[count].append(results)
    return rates


def _report_rates(contestants: Sequence[Contestant], rates: Rates) -> None:
    names = [contestant.name for contestant in contestants]
    rows = []
    for count, rounds in rates.items():
        columns = [[results[index] for results in rounds] for index in range(len(names))]
        of_stock, of_insert = (ratio(columns[0], columns[index]) for index in (1, 2))
        is_reached = of_stock >= WANTED_OF_STOCK and of_insert >= WANTED_OF_INSERT
        verdict = reached(is_reached) if count >= WANTED_FROM_WRITERS else ""
        cells = [str(count), *map(cell, columns), f"{of_stock:.2f}", f"{of_insert:.2f}", verdict]
        rows.append(cells)
    wanted = f"wanted: ×{WANTED_OF_STOCK:g} and ×{WANTED_OF_INSERT:g}"
    print_table(
        f"Appends per second ({wanted}, from {WANTED_FROM_WRITERS} writers on)",
        ["writers", *names, "×stock", "×psycopg", ""],
        rows,
    )


def ratio(ours: Sequence[float | None], theirs: Sequence[float | None]) -> float:
    return median([a / b for a, b in zip(ours, theirs, strict=True) if a and b])


def cell(rates: Sequence[float | None]) -> str:
    known = [rate for rate in rates if rate is not None]
    if not known:
        return "not installed"
    return f"{median(known):,.0f}\n[dim]{min(known):,.0f}–{max(known):,.0f}[/]"


def _check_follower(follower: _Follower, conninfo: str) -> bool:
    """Print what the follower saw, and return whether that is each event of the table once and in order."""
    positions = [p for (p,) in rows_of(conninfo, "SELECT notification_id FROM stored_events")]
    follower.wait_for(max(positions, default=0))
    seen = list(follower.seen)
    missed = len(set(positions) - set(seen))
    repeated = len(seen) - len(set(seen))
    disordered = sum(after <= before for before, after in itertools.pairwise(seen))
    console.print(
        f"The follower saw {len(seen):,} of {len(positions):,} events:"
        f" {missed} missed, {repeated} repeated, {disordered} out of order."
    )
    return not (missed or repeated or disordered)


def writer_counts(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise typer.BadParameter("numbers of writers, such as 1,8,32")
    return counts


def main(
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each measurement.")] = 2.0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contestant.")] = 5,
    writers: Annotated[str, typer.Option(help="How many write at a time.")] = "1,8,32",
    processes: Annotated[int, typer.Option(min=1, help="For Recount's writers.")] = 1,
) -> None:
    """Measure single appends beside the stock library and a bare INSERT."""
    counts = writer_counts(writers)
    with scratch_database() as conninfo:
        allowed = int(server_setting(conninfo, "max_connections"))
        if max(counts) + CONNECTIONS_BESIDE > allowed:
            raise typer.BadParameter(f"too many: the server allows {allowed} connections")
        print_conditions(conninfo)
        with (
            application_on(conninfo) as application,
            _following(application) as follower,
            _contestants_on(conninfo, application, processes) as contestants,
        ):
            _report_rates(contestants, _measure(contestants, counts, rounds, seconds))
            is_complete = _check_follower(follower, conninfo)
    if not is_complete:
        raise typer.Exit(1)


if __name__ == "__main__":
    run(main)
