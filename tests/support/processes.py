"""Several writers at once: threads of this process, and processes of their own."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from multiprocessing.synchronize import Barrier
from typing import Any, TypeVar

from recountdb.domain.events import Context, Idempotency
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Addresses, Database
from recountdb.projections.views.registry import CoreViews

PATIENCE_SECONDS = 60
"""How long is waited for others before a test fails; never how long one must wait."""

T = TypeVar("T")

_gate: list[Barrier] = []


@contextmanager
def recount_on(where: Addresses | str) -> Iterator[Recount]:
    """An application of its own, as another process would open it: nothing cached."""
    database = Database(where)
    database.open()
    application = Recount(database, CoreViews(database))
    try:
        yield application
    finally:
        application.close()
        database.close()


def context(key: str | None = None, *, fingerprint: str = "", project: str = "default") -> Context:
    idempotency = Idempotency(key=key, fingerprint=fingerprint) if key else None
    return Context(project=project, actor="test", at=datetime.now(UTC), idempotency=idempotency)


def in_processes(work: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
    """Call ``work`` once for each of ``arguments``, each in a new process, all starting together.

    ``work`` calls ``wait_for_others`` when it is ready to begin.
    """
    spawning = multiprocessing.get_context("spawn")
    count = len(arguments)
    barrier = spawning.Barrier(count)
    with ProcessPoolExecutor(count, spawning, initializer=_enter, initargs=(barrier,)) as pool:
        results = [pool.submit(work, *some) for some in arguments]
        return [result.result(PATIENCE_SECONDS) for result in results]


def _enter(barrier: Barrier) -> None:
    _gate.append(barrier)


def wait_for_others() -> None:
    _gate[0].wait(PATIENCE_SECONDS)


def wait_until(holds: Callable[[], bool]) -> None:
    """Return as soon as it holds; fails when it does not for a long time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def flat(lists: Iterable[Iterable[T]]) -> list[T]:
    return list(chain.from_iterable(lists))


def in_threads(work: Callable[..., T], arguments: Iterable[tuple[Any, ...]]) -> list[T]:
    """Call ``work`` once for each of ``arguments``, all at the same time."""
    calls = list(arguments)
    with ThreadPoolExecutor(len(calls)) as pool:
        return [result.result(PATIENCE_SECONDS) for result in [pool.submit(work, *some) for some in calls]]
