"""Locks between processes with flock(2): the kernel releases them at any death, so no entry goes stale.

A process that stands still lives, and keeps its locks. So the file holds the number of the process that
has the lock, which touches the file every second; a waiting process gives up once that stops.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from recountdb.domain.errors import Unavailable

TOUCH_SECONDS = 1.0
STANDSTILL_SECONDS = 10.0  # without a touch
POLL_SECONDS = 0.05

logger = logging.getLogger(__name__)


class HolderStandsStill(Unavailable):
    """The process that holds a lock stands still."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(
            f"process {holder or '(unknown)'} holds {path} and stands still: have it go on (kill -CONT) or"
            " end it, then try again"
        )


def open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def try_lock(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock alone, waiting as long as its holder takes. Raises HolderStandsStill."""
    descriptor = open_lock(path)
    try:
        _wait_for(descriptor, path)
        with _touched(descriptor):
            yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, path: Path) -> None:
    is_told = False
    touched, since = os.fstat(descriptor).st_mtime_ns, time.monotonic()
    while not try_lock(descriptor, fcntl.LOCK_EX):
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        if not is_told:
            logger.info("waiting for process %s, which holds %s", holder, path)
            is_told = True
        last_touched = os.fstat(descriptor).st_mtime_ns
        if last_touched != touched:
            touched, since = last_touched, time.monotonic()
        elif time.monotonic() - since > STANDSTILL_SECONDS:
            raise HolderStandsStill(path, holder)
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def _touched(descriptor: int) -> Iterator[None]:
    """Write the holder's number to the file, and touch the file regularly, for the block."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    stopped = threading.Event()

    def touch() -> None:
        while not stopped.wait(TOUCH_SECONDS):
            with contextlib.suppress(OSError):  # the error shows in the work that the lock protects
                os.utime(descriptor)

    touching = threading.Thread(target=touch, name="recount-lock", daemon=True)
    touching.start()
    try:
        yield
    finally:
        stopped.set()
        touching.join()
