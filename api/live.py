"""Wakes those who wait for new events: one thread a process watches the log for all of them."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from eventlog.subscription import SettledPositions


class Tail:
    """Knows how far the log is settled, and lets coroutines wait for more."""

    def __init__(self, conninfo: str) -> None:
        self.settled = 0
        self.is_stopped = False
        self._positions = SettledPositions(conninfo)
        self._thread = threading.Thread(target=self._follow, name="recount-tail", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._grown = asyncio.Event()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        """Let go of everyone who waits; streams end."""
        self.is_stopped = True
        self._positions.stop()
        self._grown.set()

    def _follow(self) -> None:
        assert self._loop is not None
        for position in self._positions:
            with suppress(RuntimeError):  # the loop was closed as we stop
                self._loop.call_soon_threadsafe(self._announce, position)

    def _announce(self, position: int) -> None:
        self.settled = position
        self._grown.set()
        self._grown = asyncio.Event()

    async def wait_beyond(self, position: int, *, timeout_seconds: float) -> bool:
        """Return True once the log is settled beyond ``position``, False when time is up."""
        if self.settled > position:
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._grown.wait(), timeout_seconds)
        return self.settled > position
