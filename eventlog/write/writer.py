"""The only place where events are written: gathers commands, decides them, commits them together.

A commit costs about the same for one event or for fifty, and so does a round trip. One thread
takes all commands that wait, decides them one after the other on the states it holds, and appends
their events in one transaction. If that transaction meets a conflict, each command is tried again
by itself, so one caller's conflict is never another's. Other processes may write too: a state that
went stale shows as a version that exists already.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from recountdb.domain.errors import RecountError, Unavailable, VersionConflict
from recountdb.eventlog.log.epoch import Epochs
from recountdb.eventlog.log.notifier import Notifier
from recountdb.eventlog.postgres.sessions import RunningAppend
from recountdb.eventlog.tracing import span
from recountdb.eventlog.write.connection import WriterConnection
from recountdb.eventlog.write.ports import Outcome, StreamChange
from recountdb.eventlog.write.requests import Request, RequestQueue
from recountdb.eventlog.write.transaction import Resources, Transaction

logger = logging.getLogger(__name__)

STANDSTILL_SECONDS = 2.0  # the age from which a failed batch counts as having stood still
ATTEMPTS_MAX = 12


class Committed(NamedTuple):
    """The result of one transaction: an answer for each request, and the changes that the log now has."""

    answers: Sequence[Outcome | RecountError]
    changes: Sequence[StreamChange]


class Writer:
    """Writer that carries out commands on a thread of its own. ``conninfo``: a session's own address."""

    def __init__(self, conninfo: str, resources: Resources) -> None:
        self._resources = resources
        self._states = resources.states
        self._queue = RequestQueue()
        self._connection = WriterConnection(conninfo, self._forget_all)
        self._notifier = Notifier(conninfo)
        self._began: float | None = None
        self._thread = threading.Thread(target=self._run, name="recount-writer", daemon=True)
        self._thread.start()
        self._notifier.start()

    @property
    def epochs(self) -> Epochs | None:
        """Return the epochs of the log (see eventlog.application.Recount.epochs)."""
        return self._connection.epochs

    @property
    def running_append(self) -> RunningAppend | None:
        """Return the batch that is being decided and appended; None when there is none."""
        began = self._began
        return None if began is None else RunningAppend(self._connection.pid, time.monotonic() - began)

    def send(self, request: Request) -> None:
        """Have ``request`` carried out and answered. Raises Unavailable when no requests are taken."""
        self._queue.put(request)

    def close(self) -> None:
        """Carry out what waits, then stop."""
        self._queue.close()
        self._thread.join()
        self._connection.close()
        self._notifier.stop()

    def _run(self) -> None:
        while requests := self._queue.take_batch():
            self._began = time.monotonic()
            self._carry_out(requests)
            self._began = None

    def _carry_out(self, requests: list[Request]) -> None:
        try:
            committed = self._attempt_twice(requests)
        except Unavailable as error:
            # A commit whose answer was lost may have been made, so the cached states may be stale.
            self._forget(requests)
            _answer_all([*requests, *self._take_hopeless()], error)
        except Exception:
            # A conflict or fault of one command must not fail the others.
            for request in requests:
                self._carry_out_alone(request)
        else:
            self._conclude(requests, committed)

    def _take_hopeless(self) -> list[Request]:
        """Return the requests that waited while a batch stood still: the next batch would fail as slowly."""
        assert self._began is not None
        stood_still = time.monotonic() - self._began >= STANDSTILL_SECONDS
        return self._queue.take_all() if stood_still else []

    def _attempt_twice(self, requests: Sequence[Request]) -> Committed:
        """Run ``_attempt``; after a conflict, load what other writers recorded and run it once more."""
        try:
            return self._attempt(requests)
        except VersionConflict:
            self._states.catch_up(name for request in requests for name in request.names)
            return self._attempt(requests)

    def _carry_out_alone(self, request: Request) -> None:
        for attempt in range(ATTEMPTS_MAX):
            self._forget([request])
            try:
                committed = self._attempt([request])
            except VersionConflict:
                # Back off for a random time, so that two processes do not collide again at once.
                time.sleep(random.uniform(0, 0.002) * attempt)  # noqa: S311
            except Exception as error:
                if not isinstance(error, RecountError):
                    logger.exception("a write failed unexpectedly")
                return request.answer(error)
            else:
                return self._conclude([request], committed)
        return request.answer(VersionConflict())

    def _attempt(self, requests: Sequence[Request]) -> Committed:
        """Decide and commit ``requests`` in one transaction. Raises VersionConflict, Unavailable."""
        causes = [request.cause for request in requests]
        with (
            span("append", causes=causes, commands=len(requests)) as measured,
            Transaction(self._resources, self._connection.get()) as transaction,
        ):
            answers = transaction.decide_all(requests)
            changes = transaction.commit()
            measured.set_attribute("recount.streams", len(changes))
        return Committed([transaction.with_position(answer) for answer in answers], changes)

    def _conclude(self, requests: Sequence[Request], committed: Committed) -> None:
        """Remember the recorded states, answer the requests and announce the events."""
        for change in committed.changes:
            if change.state.is_purged:
                self._forget(requests)  # a purge is the only command of its transaction
            else:
                self._states.remember(change.state)
        # States first: a caller may send its next command as soon as it has its answer.
        for request, answer in zip(requests, committed.answers, strict=True):
            request.answer(answer)
        if committed.changes:
            # What nobody waits for comes last: a snapshot must not delay an answer.
            self._notifier.announce()
            self._states.take_snapshots(committed.changes)

    def _forget(self, requests: Sequence[Request]) -> None:
        self._states.forget_names(name for request in requests for name in request.names)

    def _forget_all(self) -> None:
        """Drop everything held in memory: in another epoch, the log may lack the events it was made of."""
        self._states.clear()
        self._resources.chain.forget()


def _answer_all(requests: Sequence[Request], error: BaseException) -> None:
    for request in requests:
        request.answer(error)
