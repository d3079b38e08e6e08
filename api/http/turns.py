"""Fair shares: each project does a few things at a time, and those that wait take turns."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import TypeVar

R = TypeVar("R")


class Turns:
    """Lets ``at_once`` things be done at a time, ``each`` of them for one project at most.

    Projects that wait take turns, however many requests of each are waiting. Used on the event loop
    alone, so it needs no lock.
    """

    def __init__(self, at_once: int, each: int) -> None:
        self._free = at_once
        self._each = each
        self._busy: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, project: str) -> None:
        """Wait for a turn of ``project``, which whoever took it gives back."""
        if self._free > 0 and self._busy[project] < self._each:
            self._begin(project)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(project, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(project)  # it came just now
            raise

    def give_back(self, project: str) -> None:
        """End a turn of ``project``; whoever is next begins."""
        self._free += 1
        self._busy[project] -= 1
        if not self._busy[project]:
            del self._busy[project]
        while self._free > 0 and (following := self._next()) is not None:
            project, turn = following
            self._begin(project)
            turn.set_result(None)

    def _begin(self, project: str) -> None:
        self._free -= 1
        self._busy[project] += 1

    def _next(self) -> tuple[str, asyncio.Future[None]] | None:
        """The first who waits of the project that waits longest for a turn it may have."""
        for project in list(self._waiting):
            waiting = self._waiting[project]
            while waiting and waiting[0].done():  # cancelled: the caller hung up
                waiting.popleft()
            if waiting and self._busy[project] >= self._each:
                continue
            del self._waiting[project]
            if waiting:
                turn = waiting.popleft()
                if waiting:
                    self._waiting[project] = waiting  # at the end of the line
                return project, turn
        return None


class FairThreads:
    """Threads that projects share fairly: none has more than ``each`` of them at a time."""

    def __init__(self, threads: Executor, at_once: int, each: int) -> None:
        self._threads = threads
        self._turns = Turns(at_once, each)

    async def call(self, project: str, function: Callable[[], R]) -> R:
        """Return what ``function`` returns, called in a thread when it is the turn of ``project``."""
        await self._turns.take(project)
        try:
            running = self._threads.submit(function)
        except BaseException:
            self._turns.give_back(project)
            raise
        try:
            return await asyncio.wrap_future(running)
        finally:
            if running.done():
                self._turns.give_back(project)
            else:  # the caller hung up, and the thread goes on
                loop = asyncio.get_running_loop()
                running.add_done_callback(lambda _: self._give_back_from_thread(loop, project))

    def _give_back_from_thread(self, loop: asyncio.AbstractEventLoop, project: str) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(self._turns.give_back, project)
