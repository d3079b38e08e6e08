"""Benchmark of the memory that a server takes for slow readers of large pages.

Run it: ``python -m bench.slow_readers [--readers 64] [--seconds 15]``

A session has 30 messages of 2.45 MB, two to a page. ``--readers`` readers, half of each of two projects, ask
for a page of them at once, read 4 KiB a second, and ask again when they were refused. It shows the resident
memory of the server's process (VmRSS) before, its peak (VmHWM), and the memory after the readers have gone;
how many were being answered and how many were refused with 503; and how long a third project waited for
small reads meanwhile. It needs Linux.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from bench.common import median, print_conditions, print_table, run, scratch_database
from bench.tenants import Target, messages
from recountdb.api.services.keys import create_key
from recountdb.eventlog.postgres.database import Database

MESSAGES = 30
PATH = "/v1/sessions/long/messages?limit=30"
SETTLE_SECONDS = 2


@contextmanager
def _served(conninfo: str) -> Iterator[tuple[int, int]]:
    """Run the server on ``conninfo``; yield its process id and its port."""
    recount = Path(sys.executable).with_name("recount")
    environment = {**os.environ, "RECOUNT_DATABASE_URL": conninfo, "RECOUNT_LOG_LEVEL": "error"}
    command = [str(recount), "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as server:
        try:
            assert server.stdout is not None
            address = next(line for line in server.stdout if line.strip().startswith("address"))
            yield server.pid, int(address.rsplit(":", 1)[1])
        finally:
            server.terminate()


def _memory(process: int, name: str) -> float:
    """Return a figure of a process's memory, in MiB, as the kernel counts it."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


class _Reader(threading.Thread):
    """Thread that asks for a page again and again and reads it very slowly."""

    def __init__(self, target: Target, is_over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.status = 0
        self.refused = 0
        self._target = target
        self._is_over = is_over

    def run(self) -> None:
        while not self._is_over.is_set():
            with suppress(OSError), socket.socket() as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.settimeout(120)
                connection.connect(("127.0.0.1", self._target.port))
                connection.sendall(self._target.request("GET", PATH))
                self._read(connection)

    def _read(self, connection: socket.socket) -> None:
        head = connection.recv(4096)
        self.status = int(head.split(b" ", 2)[1]) if head else 0
        self.refused += self.status == 503
        while connection.recv(4096) and not self._is_over.wait(1) and self.status == 200:
            pass
        self._is_over.wait(1)


def _fill(target: Target) -> None:
    """Write the messages of a session, two in each request."""
    with target.connect() as connection:
        for _ in range(MESSAGES // 2):
            body = messages("x" * 2_450_000)
            assert target.ask(connection, target.request("POST", "/v1/sessions/long/messages", body)) == 201


def main(
    readers: Annotated[int, typer.Option(help="who read slowly at once")] = 64,
    seconds: Annotated[float, typer.Option(help="how long they do")] = 15,
) -> None:
    """Measure the memory that slow readers of large pages take."""
    with ExitStack() as stack:
        conninfo = stack.enter_context(scratch_database())
        process, port = stack.enter_context(_served(conninfo))
        database = Database(conninfo)
        database.open()
        stack.callback(database.close)
        scopes = ["read", "write"]
        targets = [
            Target(port, create_key(database, project=project, scopes=scopes)[1])
            for project in ("one", "two", "quiet")
        ]
        for target in targets[:2]:
            _fill(target)
        time.sleep(SETTLE_SECONDS)
        Path(f"/proc/{process}/clear_refs").write_text("5")  # the peak is counted from now on
        before = _memory(process, "VmRSS")
        is_over = threading.Event()
        crowd = [_Reader(targets[number % 2], is_over) for number in range(readers)]
        for reader in crowd:
            reader.start()
        waits = list(_small_reads(targets[2], seconds))
        statuses = Counter(reader.status for reader in crowd)
        is_over.set()
        for reader in crowd:
            reader.join(10)
        peak = _memory(process, "VmHWM")
        time.sleep(SETTLE_SECONDS)
        after = _memory(process, "VmRSS")
        print_conditions(conninfo)
    figures = [f"{before:.0f}", f"{peak:.0f}", f"{after:.0f}", f"{statuses[200]}", f"{statuses[503]}"]
    print_table(
        f"{readers} slow readers of pages of 4.9 MB",
        ["before, MiB", "peak", "after", "answered", "503", "other project p50, ms", "slowest"],
        [[*figures, f"{median(waits) * 1000:.0f}", f"{max(waits) * 1000:.0f}"]],
    )


def _small_reads(target: Target, seconds: float) -> Iterator[float]:
    """Yield how long each small read of a quiet project took, ten a second."""
    end = time.monotonic() + seconds
    with target.connect() as connection:
        while time.monotonic() < end:
            begun = time.monotonic()
            assert target.ask(connection, target.request("GET", "/v1/sessions")) == 200
            yield time.monotonic() - begun
            time.sleep(0.1)


if __name__ == "__main__":
    run(main)
