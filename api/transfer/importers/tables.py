"""Read access to the databases of other programs, SQLite and PostgreSQL, a few rows at a time."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.rows import dict_row
from psycopg.types.datetime import DateLoader, TimestampLoader, TimestamptzLoader
from psycopg.types.json import set_json_loads

from recountdb.api.transfer.cleaning import loads
from recountdb.api.transfer.importers.source import SourceFailed

ROWS_AT_ONCE = 1000
FORMAT_OF_WRITES = 18  # byte of a SQLite file's header: 2 in WAL mode
POSTGRES = ("postgresql://", "postgres://")
NO_ADDRESS = "this is no address of a PostgreSQL: postgresql://user@host/database"
SQLITE = "sqlite:///"
DRIVER = re.compile(r"(postgresql|postgres|sqlite)\+\w+://")

Row = dict[str, Any]


class Tables(Protocol):
    """A database that is open for reading."""

    dialect: str

    def columns(self, table: str) -> set[str]:
        """Return the names of the table's columns; empty if there is no such table."""

    def rows(self, statement: str) -> Iterator[Row]: ...


@contextmanager
def opened_tables(place: str) -> Iterator[Tables]:
    """Open the database at ``place``: an SQLite file, or a PostgreSQL address. Raises SourceFailed."""
    place = without_driver(place)
    is_file = Path(place).is_file()  # tested first: a file's name may look like an address
    is_server = not is_file and (place.startswith(POSTGRES) or "=" in place)
    opened = _postgres(place) if is_server else _sqlite(Path(place))
    with opened as tables:
        yield tables


def without_driver(place: str) -> str:
    """Return an address of SQLAlchemy, as postgresql+psycopg://, without the driver; for SQLite the file."""
    if found := DRIVER.match(place):
        place = f"{found[1]}://{place[found.end() :]}"
    return place.removeprefix(SQLITE)


class _SqliteTables:
    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def columns(self, table: str) -> set[str]:
        with _told_of_sqlite():
            found = self._connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
            return {row["name"] for row in found}

    def rows(self, statement: str) -> Iterator[Row]:
        with _told_of_sqlite():
            for row in self._connection.execute(statement):
                yield dict(row)


@contextmanager
def _sqlite(path: Path) -> Iterator[_SqliteTables]:
    if not path.is_file():
        raise SourceFailed("there is no such file of SQLite's")
    with _told_of_sqlite(), closing(sqlite3.connect(sqlite_address(path), uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        # Bytes that are not UTF-8 become surrogates, so that replacing them later is noticed.
        connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
        connection.execute("BEGIN")  # all reads see the same state
        yield _SqliteTables(connection)


def sqlite_address(path: Path) -> str:
    """Return the address at which SQLite opens the file read-only.

    A file in WAL mode that nobody has open is taken as immutable, or reading would leave files beside it.
    If a -wal file is beside it, the newest rows are in there, and others may be writing.
    """
    has_log = path.with_name(f"{path.name}-wal").exists()
    is_left_alone = not has_log and _is_in_wal_mode(path)
    return f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if is_left_alone else ''}"


def _is_in_wal_mode(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(FORMAT_OF_WRITES + 1)
    return header[FORMAT_OF_WRITES:] == b"\x02"


@contextmanager
def _told_of_sqlite() -> Iterator[None]:
    """Raise SQLite's errors as SourceFailed, in our own words, for its own may quote content."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        reason = error.sqlite_errorname if hasattr(error, "sqlite_errorname") else "not a database"
        raise SourceFailed(f"the file of SQLite's cannot be read ({reason})") from None


class _PostgresTables:
    dialect = "postgres"

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        self._cursors = 0

    def columns(self, table: str) -> set[str]:
        statement = (
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = ANY (current_schemas(false)) AND table_name = %s"
        )
        with _told_of_postgres():
            return {row["column_name"] for row in self._connection.execute(statement, (table,))}

    def rows(self, statement: str) -> Iterator[Row]:
        self._cursors += 1
        with _told_of_postgres(), self._connection.cursor(f"recount_{self._cursors}") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            cursor.execute(statement.encode())
            yield from cursor


def _tolerant(loader: type[Loader]) -> type[Loader]:
    """Return a loader that leaves times as text that Python lacks: infinity, and years before 1."""

    class Tolerant(loader):  # type: ignore[misc,valid-type]
        def load(self, data: Buffer) -> Any:
            try:
                return super().load(data)
            except psycopg.DataError:
                return bytes(data).decode(errors="replace")

    return Tolerant


MOMENTS = {
    "date": _tolerant(DateLoader),
    "timestamp": _tolerant(TimestampLoader),
    "timestamptz": _tolerant(TimestamptzLoader),
}


@contextmanager
def _postgres(place: str) -> Iterator[_PostgresTables]:
    with _told_of_postgres():
        try:
            connection = psycopg.connect(place, row_factory=dict_row, application_name="recount import")
        except psycopg.ProgrammingError:
            raise SourceFailed(NO_ADDRESS) from None
    with closing(connection):
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SET DateStyle = ISO")
        set_json_loads(loads, connection)
        for name, loader in MOMENTS.items():
            connection.adapters.register_loader(name, loader)
        yield _PostgresTables(connection)


@contextmanager
def _told_of_postgres() -> Iterator[None]:
    """Raise PostgreSQL's errors as SourceFailed, in our own words, for its own may quote content."""
    try:
        yield
    except psycopg.OperationalError:
        raise SourceFailed("the source's PostgreSQL cannot be reached, or went away") from None
    except psycopg.Error as error:
        raise SourceFailed(f"the source's PostgreSQL refused to be read ({type(error).__name__})") from None


def need_columns(tables: Tables, table: str, *names: str) -> set[str]:
    """Return the columns of ``table``. Raises SourceFailed where it lacks one of ``names``."""
    columns = tables.columns(table)
    if not columns:
        raise SourceFailed(f"the source has no table {table}")
    if missing := sorted(set(names) - columns):
        raise SourceFailed(f"the source's table {table} has no column {missing[0]}")
    return columns


def count_of(tables: Tables, statements: Mapping[str, str]) -> int:
    """Return the number of messages, by the statement ``count_messages``."""
    return int(next(tables.rows(statements["count_messages"]))["messages"])
