"""One at a time: work that any number of processes stand ready for, and one of them does.

Who holds an advisory lock of PostgreSQL has the lead. The lock belongs to a connection of its own, and
all that the work writes goes through that connection: who loses it loses the lead, and an unfinished
transaction with it, so two never write as leaders. A leader that stands still loses it after some seconds
(see eventlog.postgres.exclusive_locks), and finds that out at its next statement.
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

from recountdb.eventlog.postgres.database import LEAD, Connection, connect, translated
from recountdb.eventlog.postgres.exclusive_locks import kept_alive
from recountdb.eventlog.postgres.failures import OUTAGES
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "leader")

TRY_SECONDS = 1.0  # from one try for the lead to the next, and from a failure to the next try
STOP_SECONDS_MAX = 5.0
WELL_SECONDS = 10.0  # without a failure; the next one is another outage

logger = logging.getLogger(__name__)


class _Bell:
    """Wakes the one thread that waits for it; ringing it early is as good."""

    def __init__(self) -> None:
        self._inside, self._outside = socket.socketpair()
        self._inside.setblocking(False)
        self._outside.setblocking(False)

    def ring(self) -> None:
        """May be called by any thread."""
        with suppress(OSError):  # full: it rings already; closed: nobody waits
            self._outside.send(b"!")

    def wait(self, seconds: float, connection: Connection | None = None) -> None:
        """Return once it rings, ``connection`` has something to say, or time is up."""
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


class Lead:
    """Held by the work that is under way: its connection, and whether it is to end."""

    def __init__(self, connection: Connection, bell: _Bell, stopped: threading.Event) -> None:
        self.connection = connection
        self.ring = bell.ring
        self._bell = bell
        self._stopped = stopped

    @property
    def is_over(self) -> bool:
        return self._stopped.is_set()

    def wait(self, seconds: float) -> None:
        """Return at a notification, a ring, the end, or when time is up.

        Raises psycopg.OperationalError where the connection was lost, and the lead with it.
        """
        # One that came in with an answer, before we listened for it, shows on no socket.
        if not self.is_over and not self._was_notified():
            self._bell.wait(seconds, self.connection)
            self._was_notified()

    def _was_notified(self) -> bool:
        return bool(list(self.connection.notifies(timeout=0)))


class Leader(threading.Thread):
    """Does ``work`` wherever, and for as long as, this process has the lead of ``name``.

    ``work`` returns when its lead is over. Whatever it raises costs it the lead, for a second at least.
    """

    def __init__(self, conninfo: str, name: str, work: Callable[[Lead], None]) -> None:
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
        """Wait for the lead and work. Raises whatever costs the lead."""
        with closing(connect(self._conninfo, LEAD)) as connection:
            while not self._stopped.is_set():
                ((is_ours,),) = connection.execute(SQL["try_lead"], [self._lock_name]).fetchall()
                if is_ours:
                    self.has_lead = True
                    with kept_alive(connection):
                        self._work(Lead(connection, self._bell, self._stopped))
                    return
                self._bell.wait(TRY_SECONDS)

    def _tell_of_outage(self, error: Exception) -> None:
        """Once, however long it lasts."""
        outage = translated(error) if isinstance(error, psycopg.Error) else error
        reason = str(getattr(outage, "why", None) or outage)
        if reason != self._told and not self._stopped.is_set():
            logger.warning("%s waits: %s", self.name, reason)
        self._told = reason

    def tell_to_stop(self) -> None:
        self._stopped.set()
        self._bell.ring()

    def stop(self) -> None:
        """Have the work end, and wait for it; no longer than five seconds."""
        self.tell_to_stop()
        self.join(STOP_SECONDS_MAX)
