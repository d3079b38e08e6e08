"""Watching the log: one thread in each process wakes everyone who waits for new events."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from recountdb.eventlog.log.epoch import Epochs
from recountdb.eventlog.log.settled_positions import SettledPositions


class LogWatcher:
    """Watcher that knows how far the log is settled, in which epoch, and lets coroutines wait for more."""

    def __init__(self, conninfo: str, loop: asyncio.AbstractEventLoop, *, notes: bool = True) -> None:
        self.loop = loop
        self.settled = 0
        self.epochs: Epochs | None = None
        self.is_stopped = False
        self._positions = SettledPositions(conninfo, notes=notes)
        self._thread = threading.Thread(target=self._follow, name="recount-tail", daemon=True)
        self._grown = asyncio.Event()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Wake everyone who waits, so that streams end."""
        self.is_stopped = True
        self._positions.stop()
        self._grown.set()

    def _follow(self) -> None:
        for position in self._positions:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self.loop.call_soon_threadsafe(self._announce, position, self._positions.epochs)

    def _announce(self, position: int, epochs: Epochs | None) -> None:
        self.settled = position
        self.epochs = epochs
        self._grown.set()
        self._grown = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        """Return whether the database answered last time."""
        return self._positions.is_connected

    def is_beyond(self, epochs: Epochs) -> bool:
        """Return whether the log is known to be in a later epoch than the last of ``epochs``."""
        return self.epochs is not None and self.epochs.current.number > epochs.current.number

    async def wait_beyond(self, position: int, *, timeout_seconds: float) -> bool:
        """Return True once the log is settled beyond ``position``, False when the time is up."""
        if self.settled > position:
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._grown.wait(), timeout_seconds)
        return self.settled > position


@contextmanager
def stop_on_signals(tail: LogWatcher) -> Iterator[None]:
    """Stop ``tail`` as soon as the process is told to end.

    A server waits for open answers before it shuts the application down, and a live stream would
    never end. The server's own handlers are called too; only the main thread may set handlers.
    """
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        handlers = {number: handler for number, handler in found.items() if callable(handler)}

    def release(number: int, frame: FrameType | None) -> None:
        tail.loop.call_soon_threadsafe(tail.stop)
        handlers[signal.Signals(number)](number, frame)

    for number in handlers:
        signal.signal(number, release)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
