"""Benchmark of how fast the views are rebuilt from the log, and how long writers wait at the end.

Run it: ``python -m bench.rebuild [--events 1000000] [--workers 1,2] [--writers 16]``

It measures, on one log of conversations of ten messages, in events per second:

    rebuild      Recount's, with the given processes: decode, fold, COPY (without indexes)
    SQL          the messages view alone by one INSERT … SELECT over the log, the upper bound of a
                 rebuild in the database
    copy         the finished messages table copied by one INSERT … SELECT
    library      eventsourcing's ProjectionRunner, which goes through the log event by event, on a few
                 thousand events of the library's own application

Then the rebuilt tables are swapped in while ``--writers`` threads write. It shows how long the tables were
locked, the longest write under way then or in the second after, beside the longest of the two seconds
before, and how many writes were refused.
"""

from __future__ import annotations

import itertools
import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from typing import Annotated, Any

import typer

from bench.append import writer_counts as counts
from bench.common import (
    application_on,
    context,
    message,
    print_conditions,
    print_table,
    run,
    scratch_database,
    texts,
)
from bench.contestants.stock import projected
from recountdb.api.runtime import migrate_database
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.errors import RecountError
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Connection, connect
from recountdb.projections.rebuild import build as rebuild
from recountdb.projections.rebuild import shadow

WANTED_RATE, WANTED_OF_SQL, WANTED_OF_TWO = 100_000, 0.5, 1.6
CONVERSATION = 10
STOCK_EVENTS = 5_000
AFTERWARDS_SECONDS = 1.0

BY_SQL = """
INSERT INTO made_by_sql
SELECT originator_id, originator_version, project, said.id, said.role, said.content, said.name, said.user_id,
       said.timestamp, said.tool_calls, said.tool_call_id, said.metadata, said.token_count,
       recorded_at, recorded_at, originator_version, NULL, NULL
  FROM stored_events,
       json_to_record(state -> 'message') AS said (
           id uuid, role text, content json, name text, user_id text, timestamp timestamptz,
           tool_calls json, tool_call_id text, metadata json, token_count bigint)
 WHERE topic = 'session.message-added'
"""


def _fill(conninfo: str, events: int) -> None:
    """Write conversations through the application, then copy their log up to about ``events`` events."""
    contents = itertools.cycle(texts(seed=1))
    with application_on(conninfo) as application:
        waiting = []
        for number in range(1000):
            said = [message(next(contents)) for _ in range(CONVERSATION)]
            command = AddMessages(kind="session", name=f"talk {number}", messages=said)
            waiting.append(application.submit(command, context()))
        for future in waiting:
            future.result()
    with connect(conninfo) as connection:
        size = rebuild.count_log(connection)
        for copy in range(1, max(1, round(events / size))):
            connection.execute(COPY_LOG, {"copy": copy, "size": size})
        connection.execute("VACUUM ANALYZE stored_events")


COPY_LOG = """
INSERT INTO stored_events (originator_id, originator_version, project, topic, recorded_at, state, salt, link)
SELECT md5(originator_id::text || %(copy)s)::uuid, originator_version, 'project-' || %(copy)s, topic,
       recorded_at,
       replace(state::text, '"project":"default"', '"project":"project-' || %(copy)s || '"')::json,
       salt, link
  FROM stored_events
 WHERE notification_id <= %(size)s
"""


def _rate_of(work: Callable[[], object], events: int) -> float:
    started = time.perf_counter()
    work()
    return events / (time.perf_counter() - started)


def _rebuilt(conninfo: str, workers: int) -> None:
    rebuild.fill_shadow(conninfo, workers, lambda count: None)


def _begin_anew(connection: Connection) -> None:
    shadow.drop_shadow(connection)
    shadow.create_shadow(connection, rebuild.settled_position(connection))


@dataclass(frozen=True)
class _Stall:
    """Times of the exchange, in seconds.

    ``longest``: the longest write under way at the exchange; ``usual``: the longest write before it began.
    """

    locked: float
    longest: float
    usual: float
    written: int
    refused: int


def _exchange(conninfo: str, go: Event, told: SimpleQueue[tuple[float, float, float]]) -> None:
    """Swap in the tables, in a process of its own; tell when that began, ended, and how long it locked."""
    do_exchange = shadow.exchange_names
    attempts: list[float] = []

    def noted(*args: Any) -> float:
        attempts.append(time.monotonic())
        return do_exchange(*args)

    shadow.exchange_names = noted
    go.wait()
    locked = rebuild.swap_in(conninfo)
    told.put((attempts[0], attempts[-1] + locked, locked))


def _swap_under_load(conninfo: str, writers: int) -> _Stall:
    spawning = multiprocessing.get_context("spawn")
    go, told = spawning.Event(), spawning.SimpleQueue()
    process = spawning.Process(target=_exchange, args=(conninfo, go, told), daemon=True)
    process.start()
    over, writes, refused = threading.Event(), list[tuple[float, float]](), [0]

    def write(application: Recount, number: int) -> None:
        while not over.is_set():
            command = AddMessages(kind="session", name=f"busy {number}", messages=[message("x" * 100)])
            started = time.monotonic()
            try:
                application.execute(command, context())
            except RecountError:
                refused[0] += 1
            writes.append((started, time.monotonic()))

    with application_on(conninfo) as application:
        threads = [threading.Thread(target=write, args=(application, number)) for number in range(writers)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(3)
            until = time.monotonic()
            go.set()
            began, ended, locked = told.get()
            time.sleep(AFTERWARDS_SECONDS)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    during = [e - b for b, e in writes if b < ended + AFTERWARDS_SECONDS and e > began]
    before = [e - b for b, e in writes if b > until - 2 and e < until]
    return _Stall(locked, max(during), max(before), len(writes), refused[0])


def main(
    events: Annotated[int, typer.Option(min=11_000, help="In the log.")] = 1_000_000,
    workers: Annotated[str, typer.Option(help="Processes that fold.")] = "1,2",
    writers: Annotated[int, typer.Option(min=1, help="Threads that write during the exchange.")] = 16,
) -> None:
    """Measure a rebuild beside SQL and a plain copy."""
    with scratch_database() as conninfo:
        with connect(conninfo) as connection:
            migrate_database(connection)
        print_conditions(conninfo)
        _fill(conninfo, events)
        with connect(conninfo) as connection:
            size = rebuild.count_log(connection)
            rows = _measured(conninfo, connection, size, counts(workers))
            print_table(f"Events per second, of {size:,}", ["", "rate", "of SQL"], rows)
            rebuild.fill_views(conninfo)
        stall = _swap_under_load(conninfo, writers)
    print(
        f"Exchange with {writers} writers: locked {stall.locked * 1000:.0f} ms; the longest write then took "
        f"{stall.longest * 1000:.0f} ms (wanted 50), before it {stall.usual * 1000:.0f} ms; "
        f"{stall.refused} of {stall.written:,} writes refused."
    )


def _measured(conninfo: str, connection: Connection, size: int, workers: Sequence[int]) -> list[list[str]]:
    connection.execute("CREATE TABLE made_by_sql (LIKE messages)")
    by_sql = _rate_of(lambda: connection.execute(BY_SQL), size)
    connection.execute("CREATE TABLE copied (LIKE messages)")
    copy = _rate_of(lambda: connection.execute("INSERT INTO copied SELECT * FROM made_by_sql"), size)
    rates = {}
    for count in workers:
        _begin_anew(connection)
        rates[f"rebuild, {count} worker{'s' * (count > 1)}"] = _rate_of(
            lambda: _rebuilt(conninfo, count),  # noqa: B023
            size,
        )
    rates |= {"SQL": by_sql, "copy": copy, "library's ProjectionRunner": projected(conninfo, STOCK_EVENTS)}
    return [[name, f"{rate:,.0f}", f"{rate / by_sql:.2f}"] for name, rate in rates.items()]


if __name__ == "__main__":
    run(main)
