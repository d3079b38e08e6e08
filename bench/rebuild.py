"""How fast the views are made again from the log, and how long writers wait at the end.

Run it: ``python -m bench.rebuild [--events 1000000] [--workers 1,2] [--writers 16]``

Measured on one log of conversations of ten messages, in events a second:

    rebuild      recount's, with so many processes: decode, fold, COPY (without indexes)
    SQL          the messages view alone by one INSERT … SELECT over the log, the upper bound of what
                 a rebuild in the database could do
    copy         the finished messages table copied by one INSERT … SELECT

Then the rebuilt tables take the place of those in use while ``--writers`` threads write: how long
the tables were locked, the longest that one write took meanwhile, and how many were refused.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from api.opening import migrate_database
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
from domain.commands import AddMessages
from domain.errors import RecountError
from eventlog.application import Recount
from eventlog.database import Connection, connect
from projections import rebuild, shadow

WANTED_RATE, WANTED_OF_SQL, WANTED_OF_TWO = 100_000, 0.5, 1.6
CONVERSATION = 10

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


def fill(conninfo: str, events: int) -> None:
    """Conversations by the way that all go, then as many copies of their log as are wanted."""
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
        size = rebuild.log_size(connection)
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


def rate_of(work: Callable[[], object], events: int) -> float:
    started = time.perf_counter()
    work()
    return events / (time.perf_counter() - started)


def rebuilt(conninfo: str, workers: int) -> None:
    rebuild.fill(conninfo, workers, lambda count: None)


def begin_anew(connection: Connection) -> None:
    shadow.discard(connection)
    shadow.begin(connection, rebuild.settled_position(connection))


def swap_under_load(conninfo: str, writers: int) -> tuple[float, float, int, int]:
    """Seconds locked, the longest write's seconds, writes, refused ones."""
    over, slowest, written, refused = threading.Event(), [0.0], [0], [0]

    def write(application: Recount, number: int) -> None:
        while not over.is_set():
            command = AddMessages(kind="session", name=f"busy {number}", messages=[message("x" * 100)])
            started = time.perf_counter()
            try:
                application.execute(command, context())
            except RecountError:
                refused[0] += 1
            slowest[0] = max(slowest[0], time.perf_counter() - started)
            written[0] += 1

    with application_on(conninfo) as application:
        threads = [threading.Thread(target=write, args=(application, number)) for number in range(writers)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(2)
            slowest[0] = 0
            locked = rebuild.put_in_place(conninfo)
            time.sleep(0.5)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    return locked, slowest[0], written[0], refused[0]


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
        fill(conninfo, events)
        with connect(conninfo) as connection:
            size = rebuild.log_size(connection)
            rows = measured(conninfo, connection, size, counts(workers))
            print_table(f"Events per second, of {size:,}", ["", "rate", "of SQL"], rows)
            rebuild.rebuild(conninfo)
        locked, slowest, written, refused = swap_under_load(conninfo, writers)
    print(
        f"Exchange with {writers} writers: locked {locked * 1000:.0f} ms, longest write "
        f"{slowest * 1000:.0f} ms (wanted 50), {refused} of {written:,} writes refused."
    )


def measured(conninfo: str, connection: Connection, size: int, workers: Sequence[int]) -> list[list[str]]:
    connection.execute("CREATE TABLE made_by_sql (LIKE messages)")
    by_sql = rate_of(lambda: connection.execute(BY_SQL), size)
    connection.execute("CREATE TABLE copied (LIKE messages)")
    copy = rate_of(lambda: connection.execute("INSERT INTO copied SELECT * FROM made_by_sql"), size)
    rates = {}
    for count in workers:
        begin_anew(connection)
        rates[f"rebuild, {count} worker{'s' * (count > 1)}"] = rate_of(lambda: rebuilt(conninfo, count), size)  # noqa: B023
    rates |= {"SQL": by_sql, "copy": copy}
    return [[name, f"{rate:,.0f}", f"{rate / by_sql:.2f}"] for name, rate in rates.items()]


if __name__ == "__main__":
    run(main)
