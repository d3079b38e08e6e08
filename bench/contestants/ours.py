"""Recount as a contestant: one message at a time, with the writers in one process or in several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection as Pipe

from bench.common import application_on, context, message
from bench.contestants import CONTENT, Append, rate_of
from recountdb.domain.commands.conversations import AddMessages
from recountdb.eventlog.application import Recount


class Ours:
    """Contestant whose writers are threads of this process."""

    name = "Recount"

    def __init__(self, application: Recount) -> None:
        self._application = application

    def rate(self, writers: int, seconds: float) -> float:
        return rate_of(self.appends(range(writers)), seconds)

    def appends(self, numbers: Sequence[int]) -> list[Append]:
        return [self._append_to(f"session of writer {number}") for number in numbers]

    def _append_to(self, session: str) -> Append:
        def append() -> None:
            command = AddMessages(kind="session", name=session, messages=[message(CONTENT)])
            self._application.execute(command, context())

        return append


class OursInProcesses:
    """Contestant whose writers are spread over several processes, each with an application of its own."""

    def __init__(self, conninfo: str, processes: int) -> None:
        self.name = f"Recount, {processes} processes"
        self._pipes: list[Pipe] = []
        self._resources = ExitStack()
        spawning = multiprocessing.get_context("spawn")
        for _ in range(processes):
            pipe, theirs = spawning.Pipe()
            process = spawning.Process(target=_work, args=(conninfo, theirs), daemon=True)
            process.start()
            theirs.close()
            self._resources.callback(process.join)
            self._pipes.append(pipe)

    def rate(self, writers: int, seconds: float) -> float:
        pipes = self._pipes[:writers]
        for number, pipe in enumerate(pipes):
            pipe.send((range(number, writers, len(self._pipes)), seconds))
        for pipe in pipes:
            pipe.recv()  # its writers are ready
        for pipe in pipes:
            pipe.send("go")
        return float(sum(pipe.recv() for pipe in pipes))

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        self._resources.close()


def _work(conninfo: str, pipe: Pipe) -> None:
    """Run a process of OursInProcesses: measure on request, and end when the pipe is closed."""

    def gate() -> None:
        pipe.send("ready")
        pipe.recv()

    with suppress(EOFError, OSError, KeyboardInterrupt), application_on(conninfo) as application:
        while True:
            numbers, seconds = pipe.recv()
            pipe.send(rate_of(Ours(application).appends(numbers), seconds, gate))
