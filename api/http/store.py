"""The store: everything that lives as long as a server process, for the code that answers requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ParamSpec, TypeVar

from fastapi import Request

from recountdb.api.background.log_watcher import LogWatcher
from recountdb.api.http.incoming import IS_LARGE, Intake
from recountdb.api.http.long_answers import LongAnswers
from recountdb.api.http.metrics import Metrics
from recountdb.api.http.positions import note_position, position_in, refuse_lost
from recountdb.api.http.replica import Replica
from recountdb.api.http.turns import FairThreads, Turns
from recountdb.api.services.keys import KeyRing
from recountdb.api.services.rebuild import BackgroundRebuild
from recountdb.api.settings import Settings
from recountdb.domain.commands.base import Command
from recountdb.domain.errors import RecountError
from recountdb.domain.events import Context
from recountdb.eventlog.application import Recount
from recountdb.eventlog.log.epoch import Epochs
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.monitor import DatabaseMonitor
from recountdb.eventlog.tracing import span
from recountdb.eventlog.write.ports import Outcome

P = ParamSpec("P")
R = TypeVar("R")

PROJECT: ContextVar[str] = ContextVar("project")
"""The project of the request, once it is known: projects share the threads that wait for the database."""


@dataclass(frozen=True)
class Store:
    """Everything that lives as long as the server process (see api.app, which makes it)."""

    settings: Settings
    database: Database
    application: Recount
    bulk: Recount
    """Carries out the commands of large requests, beside ``application``, so that no other waits for them."""
    keys: KeyRing
    tail: LogWatcher
    metrics: Metrics
    threads: ThreadPoolExecutor
    fair: FairThreads
    writes: Turns
    intake: Intake
    rebuilding: BackgroundRebuild
    answers: LongAnswers
    monitor: DatabaseMonitor
    replica: Replica | None = None

    def at_replica(self, replica: Replica) -> Store:
        """Return a copy of this store that reads at the replica."""
        return replace(self, database=replica.database, application=replica.application)

    async def for_read(self, request: Request) -> Store:
        """Return the store for a read: this one, or the replica's if that has all that the read must see.

        Raises PositionInvalid, and OlderEpoch when what it must see may be lost.
        """
        place = position_in(request)
        if place is None:
            return self
        if self.tail.epochs is not None:
            refuse_lost(self.tail.epochs, place)
        if self.replica is not None and await self.replica.has(place):
            return self.at_replica(self.replica)
        return self

    async def newest_position(self) -> str | None:
        """Return how far the log is settled, as text; None while that cannot be found out."""
        with suppress(RecountError):
            position, epochs = await self.call(self.application.log.settled)
            return epochs.spell(position)
        return None

    def now(self) -> datetime:
        """Return the time by the database's clock."""
        return self.database.clock.now()

    async def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``function`` in one of our threads, where it may wait for the database; return its result.

        Raises Unavailable at once while the database is known to be silent.

        FastAPI's own way, a route that is no coroutine, takes more layers and as many threads as there
        are requests, which would be a third of the cost of reading messages.
        """
        self.monitor.refuse_silent()

        def call() -> R:
            self.monitor.refuse_silent()  # the database may have gone silent while this waited for a thread
            return function(*args, **kwargs)

        project = PROJECT.get(None)
        with span("query", function=function):
            if project is None:
                return await asyncio.get_running_loop().run_in_executor(self.threads, call)
            return await self.fair.call(project, call)

    async def execute(self, command: Command, context: Context) -> Outcome:
        """Carry out a command. Raises Refused, NotFound or Unavailable."""
        self.monitor.refuse_silent()
        await self.writes.take(context.project)
        try:
            application = self.bulk if IS_LARGE.get() else self.application
            outcome = await self._carried_out(application, command, context)
        finally:
            self.writes.give_back(context.project)
        if not outcome.is_repeat:
            self.metrics.events_recorded.inc(len(outcome.events))
        await self._note(outcome, application.epochs)
        return outcome

    async def _carried_out(self, application: Recount, command: Command, context: Context) -> Outcome:
        self.monitor.refuse_silent()  # the database may have gone silent while this waited for its turn
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Outcome] = loop.create_future()

        def answer(answer: Outcome | BaseException) -> None:
            with suppress(RuntimeError):  # the loop was closed, so nobody waits any more
                loop.call_soon_threadsafe(_settle, answered, answer)

        with span("execute", command=type(command).__name__):
            application.send(command, context, answer)
            return await answered

    async def _note(self, outcome: Outcome, epochs: Epochs | None) -> None:
        """Remember, for the answer, where the outcome is recorded; if it changed nothing, the log's end."""
        if outcome.position is None or epochs is None:
            note_position(await self.newest_position())
        else:
            note_position(epochs.spell(outcome.position))


def _settle(answered: asyncio.Future[Outcome], answer: Outcome | BaseException) -> None:
    if answered.done():  # the caller hung up
        return
    if isinstance(answer, BaseException):
        answered.set_exception(answer)
    else:
        answered.set_result(answer)
