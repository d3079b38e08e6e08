"""Connections to PostgreSQL, and PostgreSQL's errors in our words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import psycopg_pool
from psycopg import errors
from psycopg.rows import kwargs_row
from psycopg.types.json import set_json_loads
from pydantic_core import from_json

from domain.errors import InvalidInput, RecountError, SchemaMismatch, Unavailable, VersionConflict

UNFINISHED_IMPORT = "an import of the log was interrupted: run 'recount log import' with the same file again"

Connection = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")

SETTINGS: dict[str, Any] = {
    "autocommit": True,
    "application_name": "recount",
    "options": "-c timezone=UTC",
}

# The pool logs each lost connection by itself; callers of ours are told once, in our words.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


def configure(connection: Connection) -> None:
    """JSON is read exactly: big integers stay integers."""
    set_json_loads(from_json, connection)


def connect(conninfo: str, *, options: str = "") -> Connection:
    """A connection outside the pool, for one who keeps it. Raises Unavailable.

    ``options``: settings of the session, as ``-c name=value``.
    """
    with told():
        settings = SETTINGS | {"options": f"{SETTINGS['options']} {options}"}
        connection = psycopg.connect(conninfo, **settings)
        configure(connection)
        return connection


@contextmanager
def told() -> Iterator[None]:
    """Turn PostgreSQL's errors into ours (see domain.errors); never shows a row's content."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error) from error
    except psycopg_pool.PoolTimeout as error:
        raise Unavailable("the database does not answer, or all its connections are busy") from error


def translated(error: psycopg.Error) -> RecountError:
    """The error of ours that ``error`` means to a caller."""
    match error:
        case psycopg_pool.PoolTimeout() | psycopg_pool.TooManyRequests():
            return Unavailable("the database does not answer, or all its connections are busy")
        case errors.UniqueViolation() | errors.DeadlockDetected() | errors.SerializationFailure():
            return VersionConflict()
        case errors.CheckViolation() if error.diag.constraint_name == "import_unfinished":
            return Unavailable(UNFINISHED_IMPORT)
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.UndefinedFunction():
            return SchemaMismatch("the database lacks a table or column: run 'recount migrate'")
        case errors.DiskFull():
            return Unavailable(
                "the database's disk is full: make room there; nothing was recorded",
                retry_after_seconds=30,
            )
        case errors.ProgramLimitExceeded():  # an index takes less than 2704 bytes
            return InvalidInput("request", "a name, scope or user id in it is too long to be looked up by")
        case errors.ReadOnlySqlTransaction():
            return Unavailable("the database is read-only just now; nothing was recorded")
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return Unavailable("the database does not answer")
        case _:
            return Unavailable(f"the database refused ({error.sqlstate or type(error).__name__})")


class Database:
    """A pool of connections to one database. ``open`` before use, ``close`` after."""

    def __init__(self, conninfo: str, *, connections_max: int = 10, timeout_seconds: float = 5) -> None:
        self.conninfo = conninfo
        self._pool = psycopg_pool.ConnectionPool(
            conninfo,
            kwargs=SETTINGS,
            configure=configure,
            min_size=1,
            max_size=connections_max,
            timeout=timeout_seconds,
            max_waiting=1000,
            open=False,
        )

    def open(self) -> None:
        with told():
            self._pool.open(wait=True, timeout=30)

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection of the pool, in autocommit mode. Errors come in our words."""
        with told(), self._pool.connection() as connection:
            yield connection

    def fetch(
        self, sql: str, parameters: Sequence[Any] | dict[str, Any] = (), *, prepare: bool = True
    ) -> list[tuple[Any, ...]]:
        """All rows of one read. A connection found dead is replaced, once, unseen by the caller.

        ``prepare=False`` has the statement planned anew for its values: for one whose best plan
        depends on which filters are given.
        """
        return self.read(lambda connection: connection.execute(sql, parameters, prepare=prepare).fetchall())

    def fetch_as(
        self, make: Callable[..., T], sql: str, parameters: dict[str, Any], *, prepare: bool = True
    ) -> list[T]:
        """As ``fetch``, with ``make`` called for each row, its columns as keyword arguments."""

        def read(connection: Connection) -> list[T]:
            with connection.cursor(row_factory=kwargs_row(make)) as cursor:
                return cursor.execute(sql, parameters, prepare=prepare).fetchall()

        return self.read(read)

    def read(self, read: Callable[[Connection], T]) -> T:
        """What ``read`` finds; it is called again, once, where its connection was found dead."""
        with told():
            connection = None
            try:
                with self._pool.connection() as connection:
                    return read(connection)
            except psycopg.OperationalError:
                if connection is None or not connection.closed:
                    raise
            # Idle connections die with a restarted server; have the pool weed them all out.
            self._pool.check()
            with self._pool.connection() as connection:
                return read(connection)
