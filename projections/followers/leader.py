"""Leader election: work that any number of processes are ready for, and one of them does at a time.

The process that holds an advisory lock of PostgreSQL has the lead. The lock belongs to a connection of its
own, and the work writes only through that connection: a process that loses the connection loses the lead,
and an unfinished transaction with it, so two leaders never write at the same time. A leader that stands
still loses the connection after some seconds (see eventlog.postgres.exclusive_locks), and learns of it at its
next statement.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress

import psycopg

from recountdb.eventlog.postgres.database import LEAD, Connection, connect, translate_error
from recountdb.eventlog.postgres.exclusive_locks import keep_alive
from recountdb.eventlog.postgres.failures import OUTAGES
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "leader")

TRY_SECONDS = 1.0  # between attempts to get the lead, and after a failure
STOP_SECONDS_MAX = 5.0
WELL_SECONDS = 10.0  # without a failure, after which the next failure counts as a new outage

logger = logging.getLogger(__name__)


class _Bell:
    """Signal that wakes the one thread that waits for it, also when it is rung before the wait."""

    def __init__(self) -> None:
        self._inside, self._outside = socket.socketpair()
        self._inside.setblocking(False)
        self._outside.setblocking(False)

    def ring(self) -> None:
        """Wake the waiting thread. May be called by any thread."""
        with suppress(OSError):  # full: it rings already; closed: no thread waits
            self._outside.send(b"!")

    def wait(self, seconds: float, connection: Connection | None = None) -> None:
        """Return when the bell rings, ``connection`` has data to read, or the time is up."""
        poll = select.poll()
        poll.register(self._inside, select.POLLIN)
        if connection is not None:
            poll.register(connection.fileno(), select.POLLIN)
        poll.poll(max(0, seconds) * 1000)
        with suppress(BlockingIOError):
            self._inside.recv(1024)

    def close(self) -> None:
        self._inside.close()
        self._outside.close()


class Lease:
    """Lead that the running work holds: its connection, and whether the work is to end."""

    def __init__(self, connection: Connection, bell: _Bell, stopped: threading.Event) -> None:
        self.connection = connection
        self.ring = bell.ring
        self._bell = bell
        self._stopped = stopped

    @property
    def is_over(self) -> bool:
        return self._stopped.is_set()

    def wait(self, seconds: float) -> None:
        """Return at a notification, a ring, the end of the lead, or when the time is up.

        Raises psycopg.OperationalError when the connection was lost, and the lead with it.
        """
        # A notification that arrived with an earlier answer does not make the socket readable.
        if not self.is_over and not self._was_notified():
            self._bell.wait(seconds, self.connection)
            self._was_notified()

    def _was_notified(self) -> bool:
        return bool(list(self.connection.notifies(timeout=0)))


class Leader(threading.Thread):
    """Thread that does ``work`` while this process has the lead of ``name``.

    ``work`` must return when its lead is over. Any exception that it raises costs it the lead, for a second
    at least.
    """

    def __init__(self, conninfo: str, name: str, work: Callable[[Lease], None]) -> None:
        super().__init__(name=f"recount-{name}", daemon=True)
        self.has_lead = False
        self._told: str | None = None
        self._conninfo = conninfo
        self._lock_name = f"recount {name}"
        self._work = work
        self._bell = _Bell()
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                self._compete()
            except OUTAGES as error:
                if time.monotonic() - began > WELL_SECONDS:
                    self._told = None
                self._tell_of_outage(error)
            except Exception:
                logger.exception("%s failed, and is tried again", self.name)
            finally:
                self.has_lead = False
            self._bell.wait(0 if self._stopped.is_set() else TRY_SECONDS)
        self._bell.close()

    def _compete(self) -> None:
        """Wait for the lead, then work. Raises the error that ends the lead."""
        with closing(connect(self._conninfo, LEAD)) as connection:
            while not self._stopped.is_set():
                ((is_ours,),) = connection.execute(SQL["try_lead"], [self._lock_name]).fetchall()
                if is_ours:
                    self.has_lead = True
                    with keep_alive(connection):
                        self._work(Lease(connection, self._bell, self._stopped))
                    return
                self._bell.wait(TRY_SECONDS)

    def _tell_of_outage(self, error: Exception) -> None:
        """Log a warning once for each outage, however long it lasts."""
        outage = translate_error(error) if isinstance(error, psycopg.Error) else error
        reason = str(getattr(outage, "why", None) or outage)
        if reason != self._told and not self._stopped.is_set():
            logger.warning("%s waits: %s", self.name, reason)
        self._told = reason

    def tell_to_stop(self) -> None:
        self._stopped.set()
        self._bell.ring()

    def stop(self) -> None:
        """Tell the work to end, and wait for it for at most STOP_SECONDS_MAX."""
        self.tell_to_stop()
        self.join(STOP_SECONDS_MAX)
