"""Benchmark of how long writers wait while a large session is purged, and how fast it is erased.

Run it: ``python -m bench.purge [--messages 200000] [--writers 16]``

A session of ``--messages`` messages is purged while ``--writers`` threads write to sessions of their own:

    before      some seconds with the writers alone
    ending      the log records the purge; from then on reads find nothing of the session
    erasing     its payloads and rows are erased, in batches

For each span it shows the median and the longest time, in milliseconds, of the writes under way then, and how
many writes were answered per second. Then it shows how many events were erased per second, and how many
writes were refused.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated

import typer

from bench.common import (
    PROJECT,
    application_on,
    context,
    median,
    message,
    print_conditions,
    print_table,
    progress,
    reached,
    run,
    scratch_database,
    texts,
)
from recountdb.api.runtime import migrate_database
from recountdb.api.services.purge import find_targets, purge_target
from recountdb.api.services.read_audit import forget_reads
from recountdb.domain.commands.base import Name
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.errors import RecountError
from recountdb.eventlog.application import Recount
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.postgres.database import connect
from recountdb.projections.followers.eraser import erase_until

SESSION = "large"
ADDED_AT_ONCE = 1000
BEFORE_SECONDS = 5.0
WANTED_LONGEST_MS = 250.0
MILLI = 1000.0


@dataclass
class _Writes:
    """Start and end of each write, in seconds of the monotonic clock, and how many were refused."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    refused: int = 0

    def within(self, began: float, ended: float) -> list[float]:
        """Return how long the writes took that were under way in a span, in milliseconds."""
        return [(end - start) * MILLI for start, end in self.spans if start < ended and end > began]


def _fill(application: Recount, messages: int) -> None:
    contents = itertools.cycle(texts(seed=1))
    with progress(messages) as advance:
        for added in range(0, messages, ADDED_AT_ONCE):
            some = [message(next(contents)) for _ in range(min(ADDED_AT_ONCE, messages - added))]
            application.execute(AddMessages(kind="session", name=SESSION, messages=some), context())
            advance("filling the session", len(some))


@contextmanager
def _writing(application: Recount, writers: int) -> Iterator[_Writes]:
    """Run threads that write one message after the other. The writes are complete after the block."""
    over, noted = threading.Event(), _Writes()

    def write(number: int) -> None:
        while not over.is_set():
            command = AddMessages(kind="session", name=f"busy {number}", messages=[message("x" * 100)])
            began = time.monotonic()
            try:
                application.execute(command, context())
            except RecountError:
                noted.refused += 1
            noted.spans.append((began, time.monotonic()))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    try:
        yield noted
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _purged(application: Recount, conninfo: str) -> tuple[float, float, float]:
    """Purge the session; return when that began, when it was in the log, and when all was erased."""
    began = time.monotonic()
    (target,) = find_targets(application.database, Name(PROJECT, "session", "", SESSION))
    result = purge_target(application, target, context(), reason=None, insist=True)
    ended = time.monotonic()
    if result.why_not is not None:
        raise SystemExit(f"it was not purged: {result.why_not}")
    with connect(conninfo) as connection:
        erase_until(connection, settled_position(connection), forget_reads)
    return began, ended, time.monotonic()


def main(
    messages: Annotated[int, typer.Option(min=1000, help="In the session.")] = 200_000,
    writers: Annotated[int, typer.Option(min=1, help="Threads that write meanwhile.")] = 16,
) -> None:
    """Measure a purge beside those who write."""
    with scratch_database() as conninfo:
        with connect(conninfo) as connection:
            migrate_database(connection)
        print_conditions(conninfo)
        with application_on(conninfo) as application:
            _fill(application, messages)
            with _writing(application, writers) as writes:
                time.sleep(BEFORE_SECONDS)
                began, ended, erased = _purged(application, conninfo)
    spans = {"before": (began - BEFORE_SECONDS, began), "ending": (began, ended), "erasing": (ended, erased)}
    print_table(
        f"{writers} writers while a session of {messages:,} messages is purged",
        ["", "seconds", "median ms", "longest ms", "writes/s"],
        [_row_of(name, writes, *span) for name, span in spans.items()],
    )
    longest = max(writes.within(began, erased))
    print_table(
        "Purge",
        ["", "measured", "wanted", ""],
        [
            ["events erased per second", f"{(messages + 1) / (erased - ended):,.0f}", "", ""],
            [
                "longest write meanwhile, ms",
                f"{longest:,.0f}",
                f"{WANTED_LONGEST_MS:,.0f}",
                reached(longest <= WANTED_LONGEST_MS),
            ],
            ["writes refused", f"{writes.refused:,}", "0", reached(writes.refused == 0)],
        ],
    )


def _row_of(name: str, writes: _Writes, began: float, ended: float) -> list[str]:
    took = writes.within(began, ended)
    seconds = ended - began
    return [
        name,
        f"{seconds:.2f}",
        f"{median(took):,.1f}",
        f"{max(took):,.0f}",
        f"{len(took) / seconds:,.0f}",
    ]


if __name__ == "__main__":
    run(main)
