"""A server process for fault tests: the real program, on a data directory of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx2

PATIENCE_SECONDS = 60


@contextmanager
def serving(data: Path) -> Iterator[httpx2.Client]:
    """A server process of its own on ``data``; yields a client of it."""
    with started("--data", str(data)) as client:
        yield client


@contextmanager
def started(
    *options: str, log: int | IO[str] = subprocess.DEVNULL, **settings: str
) -> Iterator[httpx2.Client]:
    """A server process with these options and settings, which logs to ``log``; yields a client of it."""
    command = [str(Path(sys.executable).with_name("recount")), "serve", "--port", "0", *options]
    environment = {**os.environ, **settings}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            address = next(line.split()[1] for line in server.stdout if line.strip().startswith("address"))
            with httpx2.Client(base_url=address, timeout=30) as client:
                wait_until_ready(client)
                yield client
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(PATIENCE_SECONDS)


def wait_until_ready(client: httpx2.Client) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if client.get("/v1/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        assert time.monotonic() < deadline, "the server did not become ready"
        time.sleep(0.1)


def add(client: httpx2.Client, text: str) -> httpx2.Response:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
    return client.post("/v1/sessions/lasting/messages", json=body)
