"""Following the log: every event once, in order, as soon as its position is settled."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import psycopg
from eventsourcing.persistence import Notification, Subscription

from recountdb.domain.errors import Unavailable
from recountdb.eventlog.log.epoch import (
    Epochs,
    LogPosition,
    enter_epoch,
    is_standby,
    load_epochs,
    note_settled,
)
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.postgres.channels import listen, notify
from recountdb.eventlog.postgres.database import WATCH, Connection, connect

if TYPE_CHECKING:
    from recountdb.eventlog.log.recorder import LogEntry, LogRecorder

CHANNEL = "recount_events"
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
                listen(self._connection, CHANNEL)
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


class LogSubscription(Subscription["LogRecorder"]):
    """The library's subscription, over settled positions only. For one consuming thread."""

    def __init__(self, recorder: LogRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        super().__init__(recorder, gt=gt, topics=topics)
        self._positions = SettledPositions(recorder.database.conninfo, gt=gt or 0)
        self._epochs: Epochs | None = None
        self._read_to = gt or 0
        self._settled = gt or 0
        self._entries: Iterator[LogEntry] = iter(())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            entry = next(self._entries, None)
            if entry is not None:
                return entry
            if self._read_to >= self._settled:
                self._settled = next(self._positions)
                self._check_epoch()
            try:
                self._entries = iter(self._page())
            except Unavailable:
                self._positions.pause()
        self._positions.close()
        raise StopIteration

    def _check_epoch(self) -> None:
        """Raise OlderEpoch when the log is in another epoch than when the subscription began."""
        epochs = self._positions.epochs
        assert epochs is not None
        if self._epochs is not None:
            epochs.check(LogPosition(self._epochs.current.name, self._read_to))
        self._epochs = epochs

    def _page(self, limit: int = 500) -> Sequence[LogEntry]:
        page = self._recorder.select_notifications(
            self._read_to, limit, self._settled, self._topics, inclusive_of_start=False
        )
        # Otherwise there is nothing more of these topics up to the settled position.
        has_more = page.is_cut or len(page) == limit
        self._read_to = page[-1].id if has_more else self._settled
        return page

    def stop(self) -> None:
        super().stop()
        self._positions.stop()

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        super().__exit__(*args, **kwargs)
        self._positions.close()


class Herald(threading.Thread):
    """Thread that tells followers in other processes of commits, at most once per pause.

    A NOTIFY inside an append would make every commit wait for the one before; here it is a small
    transaction of its own that many appends share.
    """

    def __init__(self, conninfo: str, *, pause_seconds: float = 0.02) -> None:
        super().__init__(name="recount-herald", daemon=True)
        self._conninfo = conninfo
        self._pause_seconds = pause_seconds
        self._news = threading.Event()
        self._stopped = threading.Event()

    def announce(self) -> None:
        self._news.set()

    def run(self) -> None:
        connection: Connection | None = None
        while self._news.wait() and not self._stopped.is_set():
            self._news.clear()
            try:
                connection = connection or connect(self._conninfo, WATCH)
                notify(connection, CHANNEL)
            except (psycopg.Error, Unavailable):
                connection = None  # followers poll as well
            self._stopped.wait(self._pause_seconds)
        if connection is not None:
            connection.close()

    def stop(self) -> None:
        self._stopped.set()
        self._news.set()
        self.join()
