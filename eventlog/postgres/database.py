"""The database: a pool of connections for reading, and addresses for other connections."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import psycopg
import psycopg_pool
from psycopg.rows import kwargs_row

from recountdb.eventlog.postgres.addresses import Addresses
from recountdb.eventlog.postgres.clock import Clock
from recountdb.eventlog.postgres.connect import (
    APPEND,
    FOLLOW,
    LEAD,
    MAINTENANCE,
    READ,
    WATCH,
    Connection,
    Limits,
    connect,
    set_up,
    set_up_pooled,
    with_defaults,
)
from recountdb.eventlog.postgres.failures import (
    UNFINISHED_IMPORT,
    DatabaseSilent,
    translate_error,
    translate_errors,
)

__all__ = [
    "APPEND",
    "FOLLOW",
    "LEAD",
    "MAINTENANCE",
    "READ",
    "UNFINISHED_IMPORT",
    "WATCH",
    "Addresses",
    "Connection",
    "Database",
    "DatabaseSilent",
    "Limits",
    "connect",
    "translate_error",
    "translate_errors",
]

T = TypeVar("T")

# The driver and its pool log each lost connection themselves; our callers get one error of ours.
logging.getLogger("psycopg").setLevel(logging.ERROR)


class Database:
    """A pool of connections to one database. ``open`` it before use, ``close`` it after."""

    def __init__(
        self,
        addresses: Addresses | str,
        *,
        connections_max: int = 10,
        timeout_seconds: float = 5,
        limits: Limits = READ,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.addresses = Addresses.of(addresses)
        self._pool = psycopg_pool.ConnectionPool(
            with_defaults(self.addresses.primary),
            connection_class=Connection,
            kwargs={"autocommit": True},
            configure=partial(self._set_up, limits=limits),
            min_size=1,
            max_size=connections_max,
            timeout=timeout_seconds,
            max_waiting=1000,
            open=False,
        )

    @property
    def conninfo(self) -> str:
        """Return the address for callers that need a session of their own (see Addresses)."""
        return self.addresses.direct

    def _set_up(self, connection: Connection, *, limits: Limits) -> None:
        (set_up_pooled if self.addresses.is_pooled else set_up)(connection, limits)
        self.clock.measure(connection)

    def open(self, *, waits: bool = True) -> None:
        """Connect. Raises Unavailable when that takes too long; with ``waits=False``, return at once."""
        with translate_errors():
            self._pool.open(wait=waits, timeout=30)

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def connection(self, *, timeout_seconds: float | None = None) -> Iterator[Connection]:
        """Lend a connection of the pool, in autocommit mode. Errors are translated to ours."""
        with translate_errors():
            connection = self._take(timeout_seconds or self._pool.timeout)
            try:
                with connection:
                    yield connection
            finally:
                self._pool.putconn(connection)

    def _take(self, timeout_seconds: float) -> Connection:
        """Return a live connection; dead ones are given back, and the pool replaces them."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            connection = self._pool.getconn(deadline - time.monotonic())
            if connection.is_alive():
                return connection
            self._pool.putconn(connection)

    def ping(self, *, timeout_seconds: float = 2) -> None:
        """Return if the database answers in about that time. Raises Unavailable."""
        lent = self.connection(timeout_seconds=timeout_seconds)
        with lent as connection, connection.patience(timeout_seconds):
            connection.execute("SELECT 1")

    def fetch(
        self, sql: str, parameters: Sequence[Any] | dict[str, Any] = (), *, prepare: bool = True
    ) -> list[tuple[Any, ...]]:
        """Return all rows of one read. A dead connection is replaced without the caller noticing.

        ``prepare=False`` has the statement planned for its values each time: for one whose best plan depends
        on which filters are given.
        """
        return self.read(lambda connection: connection.execute(sql, parameters, prepare=prepare).fetchall())

    def fetch_as(
        self, make: Callable[..., T], sql: str, parameters: dict[str, Any], *, prepare: bool = True
    ) -> list[T]:
        """Return the rows of ``fetch``, each made by ``make`` with its columns as keyword arguments."""

        def read(connection: Connection) -> list[T]:
            with connection.cursor(row_factory=kwargs_row(make)) as cursor:
                return cursor.execute(sql, parameters, prepare=prepare).fetchall()

        return self.read(read)

    def read(self, read: Callable[[Connection], T]) -> T:
        """Return the result of ``read``; call it once more when its connection broke on the way."""
        with self.connection() as connection:
            try:
                return read(connection)
            except psycopg.OperationalError as error:
                if not connection.closed or isinstance(error, DatabaseSilent):
                    raise
        with self.connection() as connection:
            return read(connection)
