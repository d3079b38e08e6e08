"""Benchmark of the HTTP service, beside routes of the same framework that do nothing.

Run it: ``python -m bench.http [--seconds 2] [--rounds 5] [--connections 1,16,64] [--processes 1,2]``

It measures, with the given numbers of connections, each of which uses a session of its own without pause:

    write    two messages, POST /v1/sessions/{id}/messages
    read     the last 20 messages, GET /v1/sessions/{id}/messages?limit=20

and the same requests to routes that take the same body, or answer as many bytes, and do nothing
(bench.bare). The servers are uvicorn's, with the given numbers of processes; the connections are in a
process of their own (bench.load), and every answer is checked to be a success.

All take turns in rounds, so that other work on the machine affects all alike: trust the ratios, not the
rates. A cell is the median of the rounds, for rates with the minimum and the maximum; a ratio is the
median of the rounds' ratios, the share of the do-nothing rate that is left.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Annotated
from urllib.error import URLError

import typer
from pydantic_core import to_json

from bench.append import cell, ratio
from bench.append import writer_counts as counts
from bench.bare import ANSWER_BYTES
from bench.common import (
    application_on,
    context,
    median,
    message,
    print_conditions,
    print_table,
    progress,
    run,
    scratch_database,
    texts,
)
from bench.load import Load, put_under_load, request
from recountdb.api.runtime import migrate_database
from recountdb.domain.commands.conversations import AddMessages
from recountdb.eventlog.postgres.database import connect

RECOUNT, BARE = "recountdb.api.app:from_environment", "bench.bare:from_environment"
LONG_ENOUGH = 40  # messages in each session that is read
START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 20.0

Prepared = list[list[bytes]]
"""The requests of each connection, which it sends in turn."""


@dataclass(frozen=True)
class _Case:
    """A row of the table, with what was measured for it."""

    doing: str
    connections: int
    processes: int
    ours: list[Load] = field(default_factory=list)
    bare: list[Load] = field(default_factory=list)


@contextmanager
def _serving(app: str, processes: int, environment: dict[str, str]) -> Iterator[int]:
    """Yield the port of a uvicorn with ``processes`` processes, configured as the service does it."""
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--factory", "--port", str(port)]
    command += ["--workers", str(processes), "--loop", "uvloop", "--http", "httptools"]
    command += ["--no-access-log", "--log-level", "warning"]
    with tempfile.TemporaryDirectory(prefix="recount-bench-") as metrics:
        shared = {"PROMETHEUS_MULTIPROC_DIR": metrics} if processes > 1 else {}
        server = subprocess.Popen(command, env={**os.environ, **environment, **shared})
        try:
            _wait_for_answer(port, server)
            yield port
        finally:
            server.terminate()
            try:
                server.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                server.kill()
                raise


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_for_answer(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not _is_answering(port):
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("A server did not start; what it printed above says why.")
        time.sleep(0.1)


def _is_answering(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=5).close()
    except (URLError, OSError):
        return False
    return True


@contextmanager
def _servers_on(conninfo: str, processes: Sequence[int]) -> Iterator[dict[tuple[str, int], int]]:
    """Yield the ports of all servers, by their app and number of processes."""
    with ExitStack() as running:
        ports = {}
        for count in processes:
            environment = {"RECOUNT_DATABASE_URL": conninfo}
            ports[RECOUNT, count] = running.enter_context(_serving(RECOUNT, count, environment))
            environment = {ANSWER_BYTES: str(_answer_bytes(ports[RECOUNT, count]))}
            ports[BARE, count] = running.enter_context(_serving(BARE, count, environment))
        yield ports


def _answer_bytes(port: int) -> int:
    """Return the size in bytes of the answer with the last 20 messages."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{_path_of('read', 0)}") as answer:
        return len(answer.read())


def _path_of(doing: str, number: int) -> str:
    query = "?limit=20" if doing == "read" else ""
    return f"/v1/sessions/{doing}-{number}/messages{query}"


def _fill(conninfo: str, connections: int, contents: Iterator[str]) -> None:
    """Write the sessions that will be read."""
    with application_on(conninfo) as application:
        for number in range(connections):
            said = [message(next(contents)) for _ in range(LONG_ENOUGH)]
            command = AddMessages(kind="session", name=f"read-{number}", messages=said)
            application.execute(command, context())


def _writes(connections: int, contents: Iterator[str]) -> Prepared:
    return [[_two_messages(number, contents) for _ in range(20)] for number in range(connections)]


def _two_messages(number: int, contents: Iterator[str]) -> bytes:
    said = [{"role": role, "content": next(contents)} for role in ("user", "assistant")]
    return request("POST", _path_of("write", number), to_json({"messages": said}))


def _reads(connections: int) -> Prepared:
    return [[request("GET", _path_of("read", number))] for number in range(connections)]


def _measure(
    cases: Sequence[_Case],
    prepared: dict[str, Prepared],
    ports: dict[tuple[str, int], int],
    rounds: int,
    seconds: float,
) -> None:
    """Measure all cases in rounds, and add the loads to them."""
    spawning = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=spawning) as apart,
        progress(rounds * len(cases)) as advance,
    ):
        for _, case in itertools.product(range(rounds), cases):
            advance(f"{case.doing}, {case.connections} connections, {case.processes} processes", 0)
            requests = prepared[case.doing][: case.connections]
            for app, loads in ((RECOUNT, case.ours), (BARE, case.bare)):
                port = ports[app, case.processes]
                loads.append(apart.submit(put_under_load, port, requests, seconds).result())
            advance("", 1)


def _row(case: _Case) -> list[str]:
    rates, bare_rates = ([load.rate for load in loads] for loads in (case.ours, case.bare))
    share = f"{ratio(rates, bare_rates):.2f}"
    numbers = [str(case.connections), str(case.processes)]
    return [case.doing, *numbers, *_cells(case.ours), *_cells(case.bare), share]


def _cells(loads: Sequence[Load]) -> list[str]:
    tails = [[load.p50 for load in loads], [load.p99 for load in loads]]
    return [cell([load.rate for load in loads]), *(f"{median(tail) * 1000:.2f}" for tail in tails)]


def main(
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each measurement.")] = 2.0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each measurement.")] = 5,
    connections: Annotated[str, typer.Option(help="How many ask at a time.")] = "1,16,64",
    processes: Annotated[str, typer.Option(help="Of the server.")] = "1,2",
) -> None:
    """Measure writes and reads over HTTP beside routes that do nothing."""
    numbers, servers = counts(connections), counts(processes)
    contents = itertools.cycle(texts(seed=1))
    prepared = {"write": _writes(max(numbers), contents), "read": _reads(max(numbers))}
    cases = [_Case(*parts) for parts in itertools.product(prepared, numbers, servers)]
    with scratch_database() as conninfo:
        with connect(conninfo) as connection:
            migrate_database(connection)
        print_conditions(conninfo)
        _fill(conninfo, max(numbers), contents)
        with _servers_on(conninfo, servers) as ports:
            _measure(cases, prepared, ports, rounds, seconds)
    rates = ["per second", "p50 ms", "p99 ms", "nothing", "p50 ms", "p99 ms", "ratio"]
    title = "Requests, by connections and server processes, beside routes that do nothing"
    print_table(title, ["", "conns", "procs", *rates], [_row(case) for case in cases])


if __name__ == "__main__":
    run(main)
