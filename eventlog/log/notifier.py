"""Notifications of commits, for followers that wait in other processes."""

from __future__ import annotations

import threading

import psycopg

from recountdb.domain.errors import Unavailable
from recountdb.eventlog.postgres.channels import notify
from recountdb.eventlog.postgres.database import WATCH, Connection, connect

EVENTS_CHANNEL = "recount_events"


class Notifier(threading.Thread):
    """Thread that tells followers in other processes of commits, at most once per pause.

    A NOTIFY inside an append would make every commit wait for the one before; here it is a small
    transaction of its own that many appends share.
    """

    def __init__(self, conninfo: str, *, pause_seconds: float = 0.02) -> None:
        super().__init__(name="recount-notifier", daemon=True)
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
                notify(connection, EVENTS_CHANNEL)
            except (psycopg.Error, Unavailable):
                connection = None  # followers poll as well
            self._stopped.wait(self._pause_seconds)
        if connection is not None:
            connection.close()

    def stop(self) -> None:
        self._stopped.set()
        self._news.set()
        self.join()
