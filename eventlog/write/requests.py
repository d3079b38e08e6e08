"""Commands that wait for the writer, and how many of them go into one transaction."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from recountdb.domain.commands.base import Command, Name
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.errors import Unavailable
from recountdb.domain.events import Context
from recountdb.eventlog.postgres.clock import elapsed_seconds
from recountdb.eventlog.tracing import current
from recountdb.eventlog.write.ports import Outcome

BATCH_MAX = 256  # commands in one transaction
MESSAGES_MAX = 500  # in one transaction, unless a single command brings more; keeps snapshots close together
WAITING_MAX = 10_000  # commands that may wait before callers are turned away
GATHER_SECONDS = 0.0003

Answer = Callable[[Outcome | BaseException], None]
"""Callback with the outcome, or the reason why there is none, on the writer's thread. Never raises."""


class Request:
    """A command that waits for its turn. ``names``: those of all streams that it may change.

    ``made_at``: as eventlog.postgres.clock.elapsed_seconds counts. ``cause``: the span that made it, if any.
    """

    __slots__ = ("answer", "cause", "command", "context", "made_at", "name", "names")

    def __init__(self, command: Command, context: Context, answer: Answer) -> None:
        self.command = command
        self.context = context
        self.answer = answer
        self.made_at = elapsed_seconds()
        self.cause = current()
        self.name = _stream_name(command, context)
        self.names = [self.name, *(_stream_name(other, context) for other in command.along())]

    @property
    def key(self) -> tuple[str, str] | None:
        """Return the project and the idempotency key; None without a key."""
        idempotency = self.context.idempotency
        return (self.context.project, idempotency.key) if idempotency else None


def _stream_name(command: Command, context: Context) -> Name:
    return Name(context.project, command.kind, command.scope, command.name)


class RequestQueue:
    """Queue that any thread adds requests to, and one thread takes in batches."""

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()
        self._arrived = threading.Condition()
        self._is_closed = False
        self._sizes = deque([0, 0], maxlen=2)  # of the last two batches

    def put(self, request: Request) -> None:
        """Add ``request``. Raises Unavailable when the queue is full or closed."""
        with self._arrived:
            if self._is_closed:
                raise Unavailable("the store is shutting down")
            if len(self._waiting) >= WAITING_MAX:
                raise Unavailable("too many writes are waiting; retry")
            self._waiting.append(request)
            self._arrived.notify()

    def close(self) -> None:
        """Take no more requests; those that wait are still handed out."""
        with self._arrived:
            self._is_closed = True
            self._arrived.notify()

    def take_batch(self) -> list[Request]:
        """Wait for requests; return those that fit into one transaction, none once the queue is closed."""
        batch = _Batch()
        with self._arrived:
            while not self._waiting and not self._is_closed:
                self._arrived.wait()
            self._gather()
            while self._waiting and batch.admits(self._waiting[0]):
                batch.add(self._waiting.popleft())
        return batch.requests

    def take_all(self) -> list[Request]:
        """Return all requests that wait, without waiting for more."""
        with self._arrived:
            waiting = list(self._waiting)
            self._waiting.clear()
        return waiting

    def _gather(self) -> None:
        """Wait a moment for as many callers as wrote together lately, when there were several.

        Callers just answered are about to write again; without this, batches would be small and
        large by turns, and half of the commits wasted. A lone writer never waits.
        """
        expected = max(self._sizes)
        deadline = time.monotonic() + GATHER_SECONDS
        while len(self._waiting) < expected and not self._is_closed:
            if not self._arrived.wait(max(0, deadline - time.monotonic())):
                break
        self._sizes.append(min(len(self._waiting), BATCH_MAX))


class _Batch:
    """Requests for one transaction, decided one after the other before any of them is committed."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._names: set[Name] = set()
        self._keys: set[tuple[str, str]] = set()
        self._messages = 0

    def admits(self, request: Request) -> bool:
        """Return whether ``request`` can be decided in the same transaction as the requests so far."""
        if not self.requests:
            return True  # one that is too large for any batch is carried out by itself
        if len(self.requests) >= BATCH_MAX or self._messages + _count_messages(request) > MESSAGES_MAX:
            return False
        if request.command.STANDS_ALONE or self.requests[-1].command.STANDS_ALONE:
            return False
        if request.key in self._keys:
            return False  # its answer is the first one's, which is found once that is committed
        # Messages are looked up in the views, which do not have those of this transaction yet.
        return not (request.name in self._names and request.command.looks_up_messages())

    def add(self, request: Request) -> None:
        self.requests.append(request)
        self._names.update(request.names)
        self._messages += _count_messages(request)
        if request.key is not None:
            self._keys.add(request.key)


def _count_messages(request: Request) -> int:
    return len(request.command.messages) if isinstance(request.command, AddMessages) else 0
