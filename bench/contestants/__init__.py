"""The contestants whose appends are compared, and the measurement of their rates.

Each commits one event per append, durably, on the same server. A writer is a thread with a stream of its
own; connecting and starting the stream are not counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from bench.common import texts

Append = Callable[[], object]
CONTENT = next(text for text in texts(seed=1) if len(text) > 100)


class Contestant(Protocol):
    name: str

    def rate(self, writers: int, seconds: float) -> float | None:
        """Return appends per second by ``writers`` threads; None when the contestant cannot run."""


def rate_of(appends: Sequence[Append], seconds: float, gate: Append = lambda: None) -> float:
    """Return how many appends are done per second when one thread repeats each of ``appends``.

    Each is done once beforehand. Then ``gate`` is called, and the time starts when it returns.
    """
    ready, go, halt = threading.Barrier(len(appends) + 1), threading.Event(), threading.Event()

    def repeat(append: Append) -> int:
        try:
            append()
        except BaseException:
            ready.abort()
            raise
        ready.wait()
        go.wait()
        count, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end and not halt.is_set():
            append()
            count += 1
        return count

    with ThreadPoolExecutor(len(appends)) as pool:
        futures = [pool.submit(repeat, append) for append in appends]
        try:
            with suppress(threading.BrokenBarrierError):  # then one of the futures has the cause
                ready.wait()
                gate()
            start = time.perf_counter()
            go.set()
            count = sum(future.result() for future in futures)
            return count / (time.perf_counter() - start)
        finally:
            halt.set()
            go.set()
            ready.abort()
