"""Continuous checks that the database answers: for readiness, for health, and for the clock.

Requests that wait for a silent database would use up all threads and connections one by one. Instead, one
thread with a connection of its own asks, so that the others can be refused at once. It also finds the
sessions that appends wait for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import psycopg

from recountdb.domain.errors import Unavailable
from recountdb.eventlog.postgres.clock import Clock
from recountdb.eventlog.postgres.database import WATCH, Connection, connect
from recountdb.eventlog.postgres.failures import DatabaseSilent
from recountdb.eventlog.postgres.sessions import (
    STANDSTILL_SECONDS,
    RunningAppend,
    describe_sessions,
    end_standing_still,
    find_blockers,
)

PAUSE_SECONDS = 0.5
SILENCE_SECONDS = 4.0  # without an answer to a question that takes a millisecond
APPEND_SECONDS_MAX = 2.0  # after which the database is asked what the append waits for

SILENT = "the database is silent: it takes requests and gives no answers"
STUCK = "writes wait for another session of PostgreSQL, which stands still"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trouble:
    """The reason why the server cannot work, and since when by the database's clock. Anybody may read it."""

    since: datetime
    reason: str


class DatabaseMonitor(threading.Thread):
    """Thread that asks the database for its time continuously, and at once when a caller wants to know.

    ``running_append`` returns the append of this process's writer, None while the writer waits for work.
    """

    def __init__(
        self, conninfo: str, clock: Clock, running_append: Callable[[], RunningAppend | None]
    ) -> None:
        super().__init__(name="recount-monitor", daemon=True)
        self.trouble: Trouble | None = None
        self._conninfo = conninfo
        self._clock = clock
        self._running_append = running_append
        self._connection: Connection | None = None
        self._unanswered_since: float | None = None
        self._wanted = threading.Event()
        self._mutex = threading.Lock()
        self._waiting: list[Future[object]] = []
        self._stopped = False

    @property
    def is_silent(self) -> bool:
        """Return whether the database has not answered for so long that nobody should wait for it."""
        since = self._unanswered_since
        return since is not None and time.monotonic() - since > SILENCE_SECONDS

    def refuse_silent(self) -> None:
        """Raise Unavailable at once when waiting would be in vain."""
        if self.is_silent:
            raise Unavailable(SILENT if self.trouble is None else self.trouble.reason)

    def check_now(self) -> Future[object]:
        """Ask now. The future raises Unavailable when there is no answer, or when appends stand still."""
        future: Future[object] = Future()
        with self._mutex:
            self._waiting.append(future)
        self._wanted.set()
        return future

    def run(self) -> None:
        while not self._stopped:
            self._wanted.wait(PAUSE_SECONDS)
            self._wanted.clear()
            with self._mutex:
                waiting, self._waiting = self._waiting, []
            error = self._ask()
            for future in waiting:
                if future.set_running_or_notify_cancel():
                    future.set_result(None) if error is None else future.set_exception(error)
        self._disconnect()

    def stop(self) -> None:
        self._stopped = True
        self._wanted.set()
        self.join(SILENCE_SECONDS)

    def _ask(self) -> Unavailable | None:
        """Ask once. Return why the server is not ready; None when it is."""
        if self._unanswered_since is None:
            self._unanswered_since = time.monotonic()
        try:
            stuck = self._examine()
        except Unavailable as error:
            self._note(SILENT if self.is_silent else "the database does not answer", str(error))
        else:
            self._unanswered_since = None
            self._note(None if stuck is None else STUCK, stuck)
        return None if self.trouble is None else Unavailable(self.trouble.reason)

    def _examine(self) -> str | None:
        """Return the reason why appends stand still; None when they do not. Raises Unavailable."""
        try:
            return self._examine_once(self._connection or self._connect())
        except DatabaseSilent as error:
            self._disconnect()
            raise Unavailable(SILENT) from error
        except psycopg.Error:
            self._disconnect()
        try:  # a lost connection is replaced without reporting trouble
            return self._examine_once(self._connect())
        except psycopg.Error as error:
            self._disconnect()
            raise Unavailable("the database does not answer") from error

    def _examine_once(self, connection: Connection) -> str | None:
        with connection.patience(SILENCE_SECONDS):
            self._clock.measure(connection)
            append = self._running_append()
            if append is None or append.pid is None or append.seconds < APPEND_SECONDS_MAX:
                return None
            blockers = find_blockers(connection, append.pid)
            if append.seconds > STANDSTILL_SECONDS:
                end_standing_still(connection, blockers)
            return describe_sessions(connection, blockers) if blockers else None

    def _connect(self) -> Connection:
        self._connection = connect(self._conninfo, WATCH)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _note(self, reason: str | None, detail: str | None) -> None:
        """Remember the trouble and since when it lasts, and log it once. Only the log gets the ``detail``."""
        before = self.trouble
        if reason is None:
            if before is not None:
                logger.warning("over: %s", before.reason)
            self.trouble = None
        elif before is None or before.reason != reason:
            logger.warning("%s (%s)", reason, detail)
            self.trouble = Trouble(self._clock.now() if before is None else before.since, reason)
