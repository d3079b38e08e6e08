"""The lock that allows one server per data directory. The kernel releases it however the process ends.

The file names the process that holds the lock and its address; its content counts only while it is locked.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from recountdb.domain.errors import Refused

FILE = "serve.lock"
PATIENCE_SECONDS = 0.5  # find_server takes the lock for a moment, too


@dataclass(frozen=True)
class RunningServer:
    """A server that holds the lock. ``address`` is None while it is starting."""

    process: int
    address: str | None = None


SERVER = TypeAdapter(RunningServer)


class DirectoryIsServed(Refused):
    """Another server runs on the data directory."""

    def __init__(self, directory: Path, server: RunningServer | None) -> None:
        where = f" at {server.address}" if server and server.address else ""
        who = f" (process {server.process})" if server else ""
        super().__init__(
            f"a server runs on {directory} already{where}{who}: use that one, stop it first,"
            " or name another directory with --data"
        )


@contextmanager
def claim_directory(directory: Path) -> Iterator[Callable[[str], None]]:
    """Hold the lock of ``directory``; yields a function to announce the address. Raises DirectoryIsServed."""
    descriptor = _open_lock(directory)
    try:
        if not _locked(descriptor, fcntl.LOCK_EX, patience_seconds=PATIENCE_SECONDS):
            raise DirectoryIsServed(directory, _read(descriptor))
        _write(descriptor, RunningServer(os.getpid()))
        yield lambda address: _write(descriptor, RunningServer(os.getpid(), address))
    finally:
        os.close(descriptor)


def find_server(directory: Path) -> RunningServer | None:
    """Return the server that runs on ``directory``, or None."""
    if not (directory / FILE).exists():
        return None
    descriptor = _open_lock(directory)
    try:
        return None if _locked(descriptor, fcntl.LOCK_SH) else _read(descriptor)
    finally:
        os.close(descriptor)


def _open_lock(directory: Path) -> int:
    return os.open(directory / FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _locked(descriptor: int, mode: int, *, patience_seconds: float = 0) -> bool:
    """Take the lock, waiting up to ``patience_seconds`` for its holder. Returns False if it stayed taken."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(0.05)


def _write(descriptor: int, server: RunningServer) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, SERVER.dump_json(server), 0)


def _read(descriptor: int) -> RunningServer | None:
    """Return what the file says, or None while the holder has not written it yet."""
    try:
        return SERVER.validate_json(os.pread(descriptor, 4096, 0))
    except ValidationError:
        return None
