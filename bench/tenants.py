"""Benchmark of what a quiet project notices of a hostile one on the same server.

Run it: ``python -m bench.tenants [--seconds 10] [--rounds 3]``

The quiet project sends requests at an even pace, in turn a write of two messages and a read of the last
20. Beside it a hostile project causes one kind of load at a time, without pause, from several connections:

    large bodies      5 MB of metadata with as many members as are taken
    invalid bodies    as many members as may be, none of them known
    without a key     5 MB that nobody may send
    many requests     small writes and reads
    slow readers      pages of 5 MB, read 64 KiB a second

Measurements alone and beside each load take turns in rounds, so that other work on the machine affects all
alike. A cell is the median of the rounds; the ratio compares the 99th percentiles of the same round.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import quantiles
from typing import Annotated
from uuid import uuid4

import typer

from bench.common import median, print_conditions, print_table, progress, run, scratch_database
from recountdb.api.services.keys import create_key
from recountdb.eventlog.postgres.database import Database

PACE_SECONDS = 0.02
SLOW_BYTES, SLOW_SECONDS = 65536, 1.0
VALUES = 99_000  # members, a little less than a body may have
LONG = "x" * 40
SPEED_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Target:
    """A server's port, and the API key to use there."""

    port: int
    key: str

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"X-API-Key: {self.key}"] if self.key else []
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode() + body

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=120)

    def ask(self, connection: socket.socket, request: bytes, *, slowly: bool = False) -> int:
        """Return the answer's status, once all of it was read."""
        with suppress(OSError):  # refused before its end: the answer is there all the same
            connection.sendall(request)
        found = b""
        while b"\r\n\r\n" not in found:
            part = connection.recv(SLOW_BYTES)
            if not part:
                raise ConnectionError
            found += part
        head, _, body = found.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        left = (int(length[1]) if length else 0) - len(body)
        while left > 0:
            time.sleep(SLOW_SECONDS if slowly else 0)
            left -= len(connection.recv(SLOW_BYTES))
        return int(head.split(b" ", 2)[1])


def messages(content: str, **more: object) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": content, **more}] * 2}).encode()


def _large(target: Target) -> list[bytes]:
    metadata = {f"{n}": LONG for n in range(VALUES)}
    body = json.dumps({"metadata": metadata}).encode()
    return [target.request("PATCH", "/v1/sessions/large", body)]


def _invalid(target: Target) -> list[bytes]:
    body = json.dumps({f"{n}": LONG for n in range(VALUES)}).encode()
    return [target.request("POST", "/v1/sessions/invalid/messages", body)]


def _keyless(target: Target) -> list[bytes]:
    nobody = Target(target.port, "")
    return [nobody.request("POST", "/v1/sessions/keyless/messages", b" " * 5_000_000)]


def _many(target: Target) -> list[bytes]:
    path = f"/v1/sessions/{uuid4()}/messages"
    return [target.request("POST", path, messages("One chai latte, please.")), target.request("GET", path)]


def _slow(target: Target) -> list[bytes]:
    path = "/v1/sessions/slow/messages"
    with target.connect() as connection:
        for _ in range(2):
            target.ask(connection, target.request("POST", path, messages("x" * 2_000_000)))
    return [target.request("GET", path)]


@dataclass(frozen=True)
class _Kind:
    """A row of the table: a load, and from how many connections it comes."""

    name: str
    requests: Callable[[Target], list[bytes]]
    connections: int
    ratios: list[float] = field(default_factory=list)
    figures: list[tuple[float, float]] = field(default_factory=list)


def _press(kind: str, target: Target, is_over: Event) -> None:
    """Send requests from many connections until ``is_over``, then end this process."""
    load = next(load for load in _kinds() if load.name == kind)
    threads = [
        threading.Thread(target=_press_on, args=(load, target, is_over), daemon=True)
        for _ in range(load.connections)
    ]
    for thread in threads:
        thread.start()
    is_over.wait()
    os._exit(0)  # without waiting for the threads


def _press_on(load: _Kind, target: Target, is_over: Event) -> None:
    requests = load.requests(target)
    while not is_over.is_set():
        with suppress(OSError), target.connect() as connection:
            while not is_over.is_set():
                for request in requests:
                    target.ask(connection, request, slowly=load.requests is _slow)


def _kinds() -> list[_Kind]:
    return [
        _Kind("large bodies", _large, 4),
        _Kind("invalid bodies", _invalid, 8),
        _Kind("without a key", _keyless, 8),
        _Kind("many requests", _many, 32),
        _Kind("slow readers", _slow, 16),
    ]


def _paced(target: Target, seconds: float) -> tuple[float, float]:
    """Return the median and the 99th percentile latency of the quiet project, in seconds."""
    taken = []
    path = f"/v1/sessions/{uuid4()}/messages"
    written, read = (
        target.request("POST", path, messages("Two, please.")),
        target.request("GET", f"{path}?limit=20"),
    )
    with target.connect() as connection:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for request in (written, read):
                begun = time.monotonic()
                status = target.ask(connection, request)
                assert status < 300, f"the quiet project was answered {status}"
                taken.append(time.monotonic() - begun)
                time.sleep(max(0, PACE_SECONDS - taken[-1]))
    cuts = quantiles(taken, n=100, method="inclusive")
    return cuts[49], cuts[98]


@contextmanager
def _under(kind: _Kind, target: Target) -> Iterator[None]:
    spawning = multiprocessing.get_context("spawn")
    is_over = spawning.Event()
    hostile = spawning.Process(target=_press, args=(kind.name, target, is_over))
    hostile.start()
    time.sleep(SPEED_UP_SECONDS)
    try:
        yield
    finally:
        is_over.set()
        hostile.join(20)
        hostile.kill()


@contextmanager
def _served(conninfo: str) -> Iterator[int]:
    """Run the server on ``conninfo``; yield its port."""
    recount = Path(sys.executable).with_name("recount")
    environment = {**os.environ, "RECOUNT_DATABASE_URL": conninfo, "RECOUNT_LOG_LEVEL": "error"}
    command = [str(recount), "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as server:
        try:
            assert server.stdout is not None
            yield next(
                int(line.rsplit(":", 1)[1]) for line in server.stdout if line.strip().startswith("address")
            )
        finally:
            server.terminate()


def _keys(conninfo: str) -> tuple[str, str]:
    database = Database(conninfo)
    database.open()
    try:
        scopes = ("read", "write")
        return tuple(create_key(database, project=name, scopes=scopes)[1] for name in ("quiet", "loud"))  # type: ignore[return-value]
    finally:
        database.close()


def main(
    seconds: Annotated[float, typer.Option(help="that each measurement takes")] = 10,
    rounds: Annotated[int, typer.Option(help="measurements of each kind")] = 3,
) -> None:
    """Measure what a quiet project notices of a hostile one."""
    loads, alone = _kinds(), list[tuple[float, float]]()
    with ExitStack() as stack:
        conninfo = stack.enter_context(scratch_database())
        port = stack.enter_context(_served(conninfo))  # which migrates it
        ours, theirs = _keys(conninfo)
        quiet, loud = Target(port, ours), Target(port, theirs)
        _paced(quiet, SPEED_UP_SECONDS)
        step = stack.enter_context(progress(rounds * (len(loads) + 1)))
        for _ in range(rounds):
            step("alone", 1)
            alone.append(_paced(quiet, seconds))
            for load in loads:
                step(load.name, 1)
                with _under(load, loud):
                    load.figures.append(_paced(quiet, seconds))
                load.ratios.append(load.figures[-1][1] / alone[-1][1])
        print_conditions(conninfo)
    rows = [_row("alone", alone, "")]
    rows += [
        _row(f"{load.name} × {load.connections}", load.figures, f"{median(load.ratios):.1f}")
        for load in loads
    ]
    print_table(
        "A quiet project beside a hostile one", ["beside it", "p50, ms", "p99, ms", "p99 ratio"], rows
    )


def _row(name: str, figures: list[tuple[float, float]], ratio: str) -> list[str]:
    half, nearly_all = zip(*figures, strict=True)
    return [name, f"{median(half) * 1000:.1f}", f"{median(nearly_all) * 1000:.1f}", ratio]


if __name__ == "__main__":
    run(main)
