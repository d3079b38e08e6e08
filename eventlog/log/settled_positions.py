"""Watching how far the log is settled: the clock of everything that follows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import psycopg

from recountdb.domain.errors import Unavailable
from recountdb.eventlog.log.epoch import (
    Epochs,
    enter_epoch,
    is_standby,
    load_epochs,
    note_settled,
)
from recountdb.eventlog.log.notifier import EVENTS_CHANNEL
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.postgres.channels import listen
from recountdb.eventlog.postgres.database import WATCH, Connection, connect

POLL_SECONDS = 0.5  # notifications can be lost, so followers also poll
STANDBY_POLL_SECONDS = 0.05  # a standby takes no LISTEN
NOTE_SECONDS = 0.05  # the shortest time between two notes for standbys
RECONNECT_SECONDS = 1.0
LOOK_SECONDS = 0.01  # the shortest time between two reads: a busy log is read in larger pieces


class SettledPositions(Iterator[int]):
    """Iterator of settled positions: yields one whenever the log has grown or is in another epoch.

    It reconnects when the database comes back, and follows it into another epoch, where the position may be
    less than before; ``epochs`` are those that the last position belongs to. It ends within half a second
    after ``stop``. With ``notes`` it records how far the log is settled, for standbys.
    """

    def __init__(self, conninfo: str, *, gt: int = 0, notes: bool = False) -> None:
        self.epochs: Epochs | None = None
        self._conninfo = conninfo
        self._last = gt
        self._connection: Connection | None = None
        self._is_standby = False
        self._looked_at = 0.0
        self._notes = notes
        self._noted = 0
        self._noted_at = 0.0
        self._stopped = threading.Event()

    def __next__(self) -> int:
        while not self._stopped.is_set():
            try:
                return self._wait_for_growth()
            except StopIteration:
                break
            except (psycopg.Error, Unavailable):  # a right that was taken away may be given back
                self._disconnect()
                self.pause()
        self._disconnect()
        raise StopIteration

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    def _wait_for_growth(self) -> int:
        connection = self._listen()
        while not self._stopped.wait(max(0, self._looked_at + LOOK_SECONDS - time.monotonic())):
            settled = settled_position(connection)
            self._looked_at = time.monotonic()
            if self._is_standby:
                connection = self._follow_standby(connection)
            self._note(connection, settled)
            if settled > self._last:
                self._last = settled
                return settled
            self._wait(connection)
        raise StopIteration

    def _wait(self, connection: Connection) -> None:
        """Wait for a notification, or until it is time to poll."""
        if self._is_standby:
            self._stopped.wait(STANDBY_POLL_SECONDS)
            return
        is_noted = not self._notes or self._noted >= self._last
        for _ in connection.notifies(timeout=POLL_SECONDS if is_noted else NOTE_SECONDS, stop_after=1):
            pass

    def _note(self, connection: Connection, settled: int) -> None:
        if not self._notes or self._is_standby or settled <= self._noted:
            return
        if time.monotonic() >= self._noted_at + NOTE_SECONDS:
            note_settled(connection, settled)
            self._noted, self._noted_at = settled, time.monotonic()

    def _listen(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._conninfo, WATCH)
            self._is_standby = is_standby(self._connection)
            if not self._is_standby:
                listen(self._connection, EVENTS_CHANNEL)
                self._enter(enter_epoch(self._connection))
            else:
                self._enter(load_epochs(self._connection))
        return self._connection

    def _follow_standby(self, connection: Connection) -> Connection:
        """Load a standby's epochs; once it is promoted, reconnect and listen as to any primary."""
        if is_standby(connection):
            self._enter(load_epochs(connection))
            return connection
        self._disconnect()
        return self._listen()

    def _enter(self, epochs: Epochs) -> None:
        if self.epochs is not None and epochs.current.name != self.epochs.current.name:
            self._last = self._noted = -1
        self.epochs = epochs

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def pause(self) -> None:
        """Wait for a lost database to come back, until ``stop`` at the latest."""
        self._stopped.wait(RECONNECT_SECONDS)

    def stop(self) -> None:
        """End the iteration. Any thread may call this."""
        self._stopped.set()

    def close(self) -> None:
        """Stop, and close the connection. Call it on the thread that consumes."""
        self.stop()
        self._disconnect()
