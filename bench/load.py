"""The client of the HTTP benchmark: connections that each send a request, wait for the answer and repeat.

A client that costs more than the server would measure itself. So this one sends bytes prepared beforehand,
reads only the status and the length of an answer, and is meant to run in a process of its own.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

WARM_UP_SHARE = 0.2  # of the measured time, before it starts
SUCCESS = re.compile(rb"HTTP/1\.1 2.*?\r\ncontent-length: (\d+)", re.DOTALL)


class NoSuccess(Exception):
    """Error that says that the server did not answer, or not with 2xx."""


@dataclass(frozen=True)
class Load:
    """Answers per second, and their median and 99th percentile latency in seconds."""

    rate: float
    p50: float
    p99: float


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Return a request as a client sends it, in bytes."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "User-Agent: recount-bench",
        "Accept: application/json",
        "Accept-Encoding: gzip, deflate",
    ]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def put_under_load(port: int, requests: Sequence[Sequence[bytes]], seconds: float) -> Load:
    """Send requests over one connection for each of ``requests``, again and again. Raises NoSuccess."""
    return uvloop.run(_under_load(port, requests, seconds))


async def _under_load(port: int, requests: Sequence[Sequence[bytes]], seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    connections = []
    for cycle in requests:
        _, connection = await loop.create_connection(lambda: _Connection(cycle), "127.0.0.1", port)  # noqa: B023
        connections.append(connection)
    gc.collect()
    gc.disable()
    for connection in connections:
        connection.ask()
    await _watched(connections, seconds * WARM_UP_SHARE)
    for connection in connections:
        connection.latencies.clear()
    start = time.perf_counter()
    await _watched(connections, seconds)
    took = time.perf_counter() - start
    latencies = sorted(seconds for connection in connections for seconds in connection.latencies)
    for connection in connections:
        connection.close()
    gc.enable()
    if not latencies:
        raise NoSuccess("no answer came in time")
    count = len(latencies)
    return Load(count / took, latencies[count // 2], latencies[count * 99 // 100])


async def _watched(connections: Sequence[_Connection], seconds: float) -> None:
    """Wait for ``seconds``. Raises NoSuccess as soon as one of the connections fails."""
    failures = [connection.failed for connection in connections]
    done, _ = await asyncio.wait(failures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for failure in done:
        failure.result()


class _Connection(asyncio.Protocol):
    """A keep-alive connection of HTTP/1.1."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self.latencies: list[float] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = itertools.cycle(requests)
        self._received = b""
        self._asked_at = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def ask(self) -> None:
        self._received = b""
        self._asked_at = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        head_end = received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        success = SUCCESS.match(received, 0, head_end)
        if success is None:
            self._fail(received[:1000].decode(errors="replace"))
        elif len(received) >= head_end + 4 + int(success[1]):
            self.latencies.append(time.perf_counter() - self._asked_at)
            self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail("the server closed the connection")

    def close(self) -> None:
        self.failed.cancel()
        self._transport.abort()

    def _fail(self, reason: str) -> None:
        if not self.failed.done():
            self.failed.set_exception(NoSuccess(reason))
