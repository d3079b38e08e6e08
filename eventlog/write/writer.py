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
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from recountdb.domain.commands import AddMessages, Name
from recountdb.domain.errors import RecountError, Unavailable, VersionConflict
from recountdb.eventlog.log.epoch import Epochs, enter_epoch
from recountdb.eventlog.log.subscription import Herald
from recountdb.eventlog.postgres.database import APPEND, Connection, connect, told
from recountdb.eventlog.tracing import span
from recountdb.eventlog.write.ports import Outcome, StreamChange
from recountdb.eventlog.write.transaction import NameCache, Request, Transaction

if TYPE_CHECKING:
    from recountdb.eventlog.application import Recount

logger = logging.getLogger(__name__)

BATCH_MAX = 256  # commands in one transaction
MESSAGES_MAX = 500  # in one transaction, unless a single command brings more; keeps snapshots close together
WAITING_MAX = 10_000  # commands that may wait before callers are turned away
GATHER_SECONDS = 0.0003
STANDSTILL_SECONDS = 2.0  # the age from which a failed batch counts as having stood still
ATTEMPTS_MAX = 12


class AppendingConnection:
    """The connection that appends; it is replaced when it breaks."""

    # Appends reach every row by its key. A plan made while a table was small would scan the table, and
    # would be kept long after it has grown.
    SETTINGS: ClassVar = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}

    def __init__(self, conninfo: str, on_new_epoch: Callable[[], None]) -> None:
        self._conninfo = conninfo
        self._connection: Connection | None = None
        self._on_new_epoch = on_new_epoch
        self.epochs: Epochs | None = None

    def get(self) -> Connection:
        """Return a live connection; one that was lost before anything was sent is replaced silently.

        Raises Unavailable, also when the database is a standby.
        """
        if self._connection is None or not self._connection.is_alive():
            connection = connect(self._conninfo, APPEND, settings=self.SETTINGS)
            try:
                with told():
                    self._enter(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _enter(self, connection: Connection) -> None:
        epochs = enter_epoch(connection)
        if self.epochs is None or epochs.current.name != self.epochs.current.name:
            self._on_new_epoch()
        self.epochs = epochs

    @property
    def pid(self) -> int | None:
        """Return the process number of its session of PostgreSQL; None without a session."""
        connection = self._connection
        return None if connection is None or connection.closed else connection.session_pid

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class Append(NamedTuple):
    """A batch that is under way: its session of PostgreSQL, None before it has one, and its duration."""

    pid: int | None
    seconds: float


class Committed(NamedTuple):
    """The result of one transaction: an answer for each request, and the changes that the log now has."""

    answers: Sequence[Outcome | RecountError]
    changes: Sequence[StreamChange]


class Writer:
    """Writer that carries out commands on a thread of its own."""

    def __init__(self, application: Recount) -> None:
        self._application = application
        self._waiting: deque[Request] = deque()
        self._arrived = threading.Condition()
        self._closing = False
        self._streams = NameCache()
        self._connection = AppendingConnection(application.database.conninfo, self._forget_all)
        self._gathered = deque([0, 0], maxlen=2)
        self._began: float | None = None
        self._herald = Herald(application.database.conninfo)
        self._thread = threading.Thread(target=self._run, name="recount-writer", daemon=True)
        self._thread.start()
        self._herald.start()

    @property
    def epochs(self) -> Epochs | None:
        """Return the epochs of the log (see eventlog.application.Recount.epochs)."""
        return self._connection.epochs

    def send(self, request: Request) -> None:
        """Have ``request`` carried out and answered. Raises Unavailable when no requests are taken."""
        with self._arrived:
            if self._closing:
                raise Unavailable("the store is shutting down")
            if len(self._waiting) >= WAITING_MAX:
                raise Unavailable("too many writes are waiting")
            self._waiting.append(request)
            self._arrived.notify()

    def close(self) -> None:
        with self._arrived:
            self._closing = True
            self._arrived.notify()
        self._thread.join()
        self._connection.close()
        self._herald.stop()

    @property
    def under_way(self) -> Append | None:
        """Return the batch that is being decided and appended; None when there is none."""
        began = self._began
        return None if began is None else Append(self._connection.pid, time.monotonic() - began)

    def _run(self) -> None:
        while requests := self._take():
            self._began = time.monotonic()
            self._carry_out(requests)
            self._began = None

    def _take(self) -> list[Request]:
        """Return the waiting requests that fit into one transaction; empty when closing."""
        with self._arrived:
            while not self._waiting and not self._closing:
                self._arrived.wait()
            self._gather()
            batch: list[Request] = []
            touched: set[Name] = set()
            keys: set[tuple[str, str]] = set()
            messages = 0
            while self._waiting and len(batch) < BATCH_MAX:
                request = self._waiting[0]
                key = _idempotency_key(request)
                messages += messages_in(request)
                is_full = messages > MESSAGES_MAX
                if batch and (is_full or key in keys or _must_see_committed(request, touched)):
                    break
                batch.append(self._waiting.popleft())
                touched.update(request.names)
                if key is not None:
                    keys.add(key)
                if request.command.STANDS_ALONE:
                    break
            return batch

    def _gather(self) -> None:
        """Wait a moment for as many callers as wrote together lately, when there were several.

        Callers just answered are about to write again; without this, batches would be small and
        large by turns, and half of the commits wasted. A lone writer never waits.
        """
        expected = max(self._gathered)
        deadline = time.monotonic() + GATHER_SECONDS
        while len(self._waiting) < expected and not self._closing:
            if not self._arrived.wait(max(0, deadline - time.monotonic())):
                break
        self._gathered.append(min(len(self._waiting), BATCH_MAX))

    def _carry_out(self, requests: list[Request]) -> None:
        try:
            committed = self._attempt_twice(requests)
        except Unavailable as error:
            self._forget(requests)
            _answer_all([*requests, *self._waiting_in_vain()], error)
        except Exception:
            # A conflict or fault of one command must not fail the others.
            for request in requests:
                self._carry_out_alone(request)
        else:
            self._conclude(requests, committed)

    def _waiting_in_vain(self) -> list[Request]:
        """Return the requests that waited while a batch stood still: the next batch would fail as slowly."""
        assert self._began is not None
        if time.monotonic() - self._began < STANDSTILL_SECONDS:
            return []
        with self._arrived:
            waiting = list(self._waiting)
            self._waiting.clear()
        return waiting

    def _attempt_twice(self, requests: Sequence[Request]) -> Committed:
        """Run ``_attempt``; after a conflict, load what other writers recorded and run it once more."""
        try:
            return self._attempt(requests)
        except VersionConflict:
            streams = [self._streams.get(name) for request in requests for name in request.names]
            self._application.catch_up({stream_id for stream_id in streams if stream_id is not None})
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
            Transaction(self._application, self._streams, self._connection.get()) as transaction,
        ):
            transaction.lock_counters(requests)
            answers = [transaction.decide(request) for request in requests]
            changes = transaction.commit()
            measured.set_attribute("recount.streams", len(changes))
        return Committed([transaction.with_position(answer) for answer in answers], changes)

    def _conclude(self, requests: Sequence[Request], committed: Committed) -> None:
        """Remember the recorded states, answer the requests and announce the events."""
        for state in (change.state for change in committed.changes):
            if state.is_purged:
                self._forget(requests)  # a purge is the only command of its transaction
            else:
                self._application.remember(state)
                self._streams.put(Name(state.project, state.KIND, state.scope, state.name), state.id)
        for request, answer in zip(requests, committed.answers, strict=True):
            request.answer(answer)
        if committed.changes:
            self._herald.announce()
            self._application.take_snapshots(committed.changes)

    def _forget_all(self) -> None:
        """Drop everything held in memory: in another epoch, the log may lack the events it was made of."""
        self._streams.clear()
        self._application.forget_all()

    def _forget(self, requests: Sequence[Request]) -> None:
        for name in (name for request in requests for name in request.names):
            stream_id = self._streams.pop(name)
            if stream_id is not None:
                self._application.forget(stream_id)


def _must_see_committed(request: Request, touched: Collection[Name]) -> bool:
    """Return whether the command looks at rows that an earlier command of the batch may change."""
    command = request.command
    if command.STANDS_ALONE:
        return True
    return command.looks_up_messages() and request.name in touched


def messages_in(request: Request) -> int:
    return len(request.command.messages) if isinstance(request.command, AddMessages) else 0


def _idempotency_key(request: Request) -> tuple[str, str] | None:
    idempotency = request.context.idempotency
    return (request.context.project, idempotency.key) if idempotency else None


def _answer_all(requests: Sequence[Request], error: BaseException) -> None:
    for request in requests:
        request.answer(error)
