"""Fair sharing: each project does a few things at a time, and projects that wait take turns."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import TypeVar

R = TypeVar("R")


NEIGHBOUR_SECONDS = 5.0
"""How long a project counts as a neighbour after its last request."""


class Neighbours:
    """Memory of whether several projects send requests at this time."""

    def __init__(self) -> None:
        self._last: str | None = None
        self._until = 0.0

    def note(self, project: str) -> None:
        """Note a request of ``project``."""
        if project != self._last:
            if self._last is not None:
                self._until = time.monotonic() + NEIGHBOUR_SECONDS
            self._last = project

    @property
    def are_active(self) -> bool:
        """Return whether several projects have sent requests lately."""
        return time.monotonic() < self._until


class Turns:
    """A limit of ``at_once`` things at a time, at most ``each`` of them for one project.

    While several projects send requests, a project has ``each_beside`` at most. Those that wait take turns,
    however many requests of each are waiting. Use it on the event loop only: it has no lock.
    """

    def __init__(
        self,
        at_once: int,
        each: int,
        each_beside: int | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._free = at_once
        self._each_alone = each
        self._each_beside = each if each_beside is None else each_beside
        self._neighbours = Neighbours() if neighbours is None else neighbours
        self._busy: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, project: str) -> None:
        """Wait for a turn of ``project``, which the caller must give back."""
        self._neighbours.note(project)
        if self._free > 0 and self._busy[project] < self._each:
            self._begin(project)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(project, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(project)  # the turn came just now
            raise

    def give_back(self, project: str) -> None:
        """End a turn of ``project``, and let the next one begin."""
        self._free += 1
        self._busy[project] -= 1
        if not self._busy[project]:
            del self._busy[project]
        while self._free > 0 and (following := self._next()) is not None:
            project, turn = following
            self._begin(project)
            turn.set_result(None)

    @property
    def _each(self) -> int:
        return self._each_beside if self._neighbours.are_active else self._each_alone

    def _begin(self, project: str) -> None:
        self._free -= 1
        self._busy[project] += 1

    def _next(self) -> tuple[str, asyncio.Future[None]] | None:
        """Return the first turn to give: of the project that has waited longest and may have one."""
        for project in list(self._waiting):
            waiting = self._waiting[project]
            while waiting and waiting[0].done():  # cancelled because the caller hung up
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
    """A pool of threads that projects share fairly, by ``turns``."""

    def __init__(self, threads: Executor, turns: Turns) -> None:
        self._threads = threads
        self._turns = turns

    async def call(self, project: str, function: Callable[[], R]) -> R:
        """Call ``function`` in a thread when it is the turn of ``project``, and return its result."""
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
