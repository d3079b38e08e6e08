"""The log of the embedded PostgreSQL, and the failures in it that a person can fix."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from recountdb.eventlog.postgres.programs import EmbeddedPostgresFailed, user_name

_LOG_BYTES_MAX = 10_000_000

_ADVICE = (
    (re.compile("No space left|quota", re.I), "The disk is full: make room and start again."),
    (
        re.compile("permission|not permitted", re.I),
        "Give the data directory, and what is in it, back to the user named there as its owner,"
        " closed to all others (chmod 700).",
    ),
    (
        re.compile("shared memory|semaphore|allocate memory", re.I),
        "Allow this machine or container more shared memory (/dev/shm, kernel.shmmax),"
        " or lower shared_buffers.",
    ),
    (re.compile("configuration", re.I), "Correct or remove the setting named above it in the log."),
)


class ServerLog:
    """The file postgres.log. Lines written after ``mark_start`` belong to the start under way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0

    def mark_start(self) -> None:
        self._start = _size(self.path)

    def rotate_if_long(self) -> None:
        if self._start > _LOG_BYTES_MAX:
            self.path.replace(self.path.with_name("postgres.log.1"))
            self._start = 0

    @contextlib.contextmanager
    def open_file(self) -> Iterator[int]:
        """Open the log; PostgreSQL inherits the file, so it need not reach it by name."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def failure(self, what: str) -> EmbeddedPostgresFailed:
        """Return the exception to raise, with the log's reason when a person can fix it."""
        for line in reversed(_failure_lines(self.path, self._start)):
            for pattern, advice in _ADVICE:
                if pattern.search(line):
                    return EmbeddedPostgresFailed(f"{what}: {line} {advice} The log is {self.path}.")
        return EmbeddedPostgresFailed(f"{what}. The last lines of its log say why: {self.path}.")

    @contextlib.contextmanager
    def attach_log_to_failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = _explained(error, self.path.parent)
            raise EmbeddedPostgresFailed(f"{reason} PostgreSQL's log is {self.path}.") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _failure_lines(log: Path, start: int) -> list[str]:
    """Return the lines from ``start`` on that report a failure; search the last 64 KiB at most."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - 65_536))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if re.search("FATAL|PANIC|error:", line)]


def _explained(error: OSError, directory: Path) -> str:
    """Return what the operating system refused, and what to do about it."""
    culprit = Path(os.fsdecode(error.filename)) if error.filename else directory
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"The disk that holds {directory} is full: make room and start again."
        case errno.EACCES | errno.EPERM:
            return (
                f"The user {user_name(os.geteuid())} may not use {culprit}{_owned_by(culprit)}:"
                f" start Recount as its owner, or name a directory that this user may write."
            )
        case errno.EROFS:
            return f"{culprit} cannot be written (read-only file system): name another directory."
        case errno.ENOTDIR | errno.EEXIST:
            return f"{culprit} is not a directory: move it away, or name another directory."
        case _:
            reason = error.strerror or error
            return f"{culprit} cannot be used ({reason}): mend that, or name another directory."


def _owned_by(path: Path) -> str:
    """Return the owner of the path, or of the nearest existing directory above, as a remark."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            return f" ({place} belongs to {user_name(place.stat().st_uid)})"
    return ""
