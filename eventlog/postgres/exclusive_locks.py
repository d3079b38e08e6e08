"""Advisory locks of a session that cannot hold up others for ever.

The lock belongs to a connection, and everything its holder writes should go through that very connection:
then a holder that loses the lock also loses the power to write. A holder that stands still (a
stopped process, a paused machine, a network that was cut) would keep the lock for good. So each holder's
session has PostgreSQL end it after some seconds of silence, and a thread beside the work prevents
silence; a process that stands still stops that thread, too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg.pq import TransactionStatus

from recountdb.domain.errors import Unavailable
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.sessions import describe_sessions
from recountdb.eventlog.postgres.statements import Statements

SILENCE_SECONDS_MAX = 5  # then PostgreSQL ends the session of a holder
PING_SECONDS = 1.0
POLL_SECONDS = 0.05
NOTICE_SECONDS = 2.0  # of waiting; then the log names the holder

SQL = Statements(__name__, "exclusive_locks")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lock:
    """An advisory lock.

    ``key``: its purpose (see eventlog.postgres.advisory_locks). ``owner``: the oid of what it belongs to.
    """

    key: int
    owner: int


def store_lock(connection: Connection, key: int) -> Lock:
    """Return a lock of this store."""
    ((owner,),) = connection.execute(SQL["store_owner"]).fetchall()
    return Lock(key, owner)


def schema_lock(connection: Connection, key: int) -> Lock:
    """Return a lock of the schema that tables are made in, for when there are none yet."""
    ((owner,),) = connection.execute(SQL["schema_owner"]).fetchall()
    return Lock(key, owner)


@contextmanager
def exclusive(
    connection: Connection, lock: Lock, *, refusal: Unavailable, patience_seconds: float = 0.0
) -> Iterator[None]:
    """Hold ``lock`` alone, through ``connection``, which must be the caller's own (none of a pool).

    Raises ``refusal`` when another session holds it and does not release it in time. When the lock is lost
    within the block, so is the connection: its next statement raises psycopg.OperationalError.
    """
    _wait_for_lock(connection, lock, refusal, patience_seconds)
    try:
        with keep_alive(connection):
            yield
    finally:
        if not connection.closed:
            with suppress(psycopg.Error):  # it is lost, and the lock with it
                connection.execute(SQL["unlock"], [lock.key, lock.owner])


def _wait_for_lock(connection: Connection, lock: Lock, refusal: Unavailable, patience_seconds: float) -> None:
    began = time.monotonic()
    is_noticed = False
    while not try_lock(connection, lock):
        waited_seconds = time.monotonic() - began
        if waited_seconds >= min(NOTICE_SECONDS, patience_seconds) and not is_noticed:
            is_noticed = True
            holders = describe_sessions(connection, holders_of(connection, lock))
            logger.warning("another process holds the lock that this one needs: %s", holders)
        if waited_seconds >= patience_seconds:
            raise refusal
        time.sleep(POLL_SECONDS)


def try_lock(connection: Connection, lock: Lock) -> bool:
    """Take ``lock`` if nobody else holds it."""
    ((is_ours,),) = connection.execute(SQL["try_lock"], [lock.key, lock.owner]).fetchall()
    return bool(is_ours)


def holders_of(connection: Connection, lock: Lock) -> list[int]:
    """Return the sessions that hold ``lock``: one, or none."""
    return [pid for (pid,) in connection.execute(SQL["holders"], [lock.key, lock.owner]).fetchall()]


@contextmanager
def keep_alive(connection: Connection) -> Iterator[None]:
    """Have PostgreSQL end the session soon after this process stands still, and not before."""
    ((idle, idle_in_transaction),) = connection.execute(SQL["patience"]).fetchall()
    connection.execute(SQL["set_patience"], [f"{SILENCE_SECONDS_MAX}s"] * 2)
    pinging = _Pinging(connection)
    pinging.start()
    try:
        yield
    finally:
        pinging.stop()
        if not connection.closed:
            with suppress(psycopg.Error):  # it is lost, or in a transaction that failed
                connection.execute(SQL["set_patience"], [idle, idle_in_transaction])


class _Pinging(threading.Thread):
    """Thread that sends a query to PostgreSQL whenever nothing is under way on the connection."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(name="recount-ping", daemon=True)
        self._connection = connection
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(PING_SECONDS) and not self._connection.closed:
            # Within a COPY, or a transaction that failed, there is nothing to say; nor is silence near.
            status = self._connection.info.transaction_status
            if status in (TransactionStatus.IDLE, TransactionStatus.INTRANS):
                with suppress(psycopg.Error):  # the holder meets the same at its next statement
                    self._connection.execute("SELECT 1")

    def stop(self) -> None:
        self._stopped.set()
        self.join()
