"""Connections to PostgreSQL: where to, with which settings, and how long each may wait or be waited for."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import psycopg
import psycopg_pool
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import kwargs_row
from psycopg.types.json import set_json_loads
from pydantic_core import from_json

from eventlog.failures import UNFINISHED_IMPORT as UNFINISHED_IMPORT
from eventlog.failures import DatabaseSilent as DatabaseSilent
from eventlog.failures import told as told
from eventlog.failures import translated, unreachable

T = TypeVar("T")

# The pool logs each lost connection by itself; callers of ours are told once, in our words.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Addresses:
    """Where the database is, each as a URL or a conninfo.

    ``primary``: for ordinary reads; a pooler of transactions may stand there. ``direct``: where a session
    lasts as long as its connection, for writes, locks, LISTEN and maintenance. ``read``: a replica.
    """

    primary: str
    direct: str = ""
    read: str | None = None

    def __post_init__(self) -> None:
        if not self.direct:
            object.__setattr__(self, "direct", self.primary)

    @property
    def is_pooled(self) -> bool:
        """Whether the primary must be taken for a pooler of transactions."""
        return self.direct != self.primary


@dataclass(frozen=True)
class Limits:
    """How long one kind of work may take, in seconds; None: as long as it takes.

    ``statement``, ``lock``, ``idle_in_transaction`` and ``idle`` (between two statements) are kept by
    PostgreSQL itself. ``silence``: how long the connection waits for a sign of life before it gives up;
    longer than ``statement``, so that it is PostgreSQL that ends what only takes long.
    """

    statement: float | None
    lock: float | None
    idle_in_transaction: float | None
    idle: float | None
    silence: float | None


READ = Limits(statement=8, lock=5, idle_in_transaction=5, idle=None, silence=9)
APPEND = Limits(statement=8, lock=8, idle_in_transaction=5, idle=None, silence=9)
WATCH = Limits(statement=8, lock=5, idle_in_transaction=5, idle=None, silence=9)
FOLLOW = Limits(statement=30, lock=8, idle_in_transaction=5, idle=None, silence=35)
LEAD = Limits(statement=30, lock=8, idle_in_transaction=5, idle=5, silence=35)
MAINTENANCE = Limits(statement=None, lock=60, idle_in_transaction=60, idle=None, silence=None)

CONNECTING_SECONDS_MAX = 5
RESTED_SECONDS = 1.0  # after which a connection is asked whether it is still there
PING_SECONDS_MAX = 1.5

CLIENT: dict[str, str | int] = {
    "application_name": "recount",
    "connect_timeout": CONNECTING_SECONDS_MAX,
    # A network that was cut shows after about ten seconds, not after two hours.
    "keepalives": 1,
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 9000,
}
"""What libpq is told, where the address does not say otherwise."""

TRACKED = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
}
"""Settings of a session that a pooler of transactions brings along from one server connection to the next."""

SESSION = TRACKED | {
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    "transform_null_equals": "off",
    "exit_on_error": "off",
    "gin_fuzzy_search_limit": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    # As CLIENT has it, from PostgreSQL's side: what a client that is gone held is free after ten seconds.
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""What Recount relies upon, whatever the database, the role or the environment say.

``default_transaction_read_only`` is not among it: who sets that means it.
"""


DURABLE = """
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
"""What was acknowledged outlives a crash. Other values promise that, too, and are left as they are."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits for PostgreSQL no longer than ``silence_seconds`` at a time.

    As a context manager it closes itself at the end, and errors of PostgreSQL leave it in our words.
    """

    silence_seconds: float | None = None
    _heard_at = 0.0

    def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        """As psycopg's. Raises DatabaseSilent, and is closed then: what comes later answers nobody."""
        if self.silence_seconds is not None:
            gen = impatient(gen, self.silence_seconds)
        try:
            return super().wait(gen, *args, **kwargs)
        except DatabaseSilent:
            self.close()
            raise
        finally:
            self._heard_at = time.monotonic()

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        super().__exit__(kind, error, traceback)
        if isinstance(error, psycopg.Error):
            raise translated(error) from error

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Wait no longer than that at a time, within the block."""
        before, self.silence_seconds = self.silence_seconds, seconds
        try:
            yield
        finally:
            self.silence_seconds = before

    def is_alive(self) -> bool:
        """Return whether PostgreSQL is still there; it is asked only where there is reason to doubt it.

        For a connection outside of a transaction. Who finds it dead closes it and takes another:
        nothing was sent yet.
        """
        if self.closed:
            return False
        has_rested = time.monotonic() - self._heard_at > RESTED_SECONDS
        if not has_rested and not has_news(self):  # an end of the session is news, too
            return True
        try:
            with self.patience(PING_SECONDS_MAX):
                self.execute("SELECT 1")
        except psycopg.Error:
            self.close()
        return not self.closed


def impatient(gen: PQGen[RV], seconds: float) -> PQGen[RV]:
    """Go on like ``gen`` as long as something comes or goes. Raises DatabaseSilent."""
    deadline = time.monotonic() + seconds
    try:
        state = next(gen)
        while True:
            ready = yield state
            now = time.monotonic()
            if ready:
                deadline = now + seconds
            elif now > deadline:
                raise DatabaseSilent("no sign of life in time")
            state = gen.send(ready)
    except StopIteration as end:
        result: RV = end.value
        return result


def has_news(connection: Connection) -> bool:
    """Return whether anything came that was not asked for."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def connect(
    address: str, limits: Limits = MAINTENANCE, *, settings: Mapping[str, str] | None = None
) -> Connection:
    """Connect outside the pool, for one who keeps the connection. Raises Unavailable.

    ``settings``: of the session, besides those that Recount relies upon.
    """
    try:
        connection = Connection.connect(with_defaults(address), autocommit=True)
    except psycopg.Error as error:
        raise unreachable(error) from error
    try:
        with told():
            set_up(connection, limits, settings)
    except BaseException:
        connection.close()
        raise
    return connection


def with_defaults(address: str) -> str:
    """Return ``address`` with what we tell libpq besides."""
    given = conninfo_to_dict(address)
    return make_conninfo(address, **{name: value for name, value in CLIENT.items() if name not in given})


def set_up(connection: Connection, limits: Limits, settings: Mapping[str, str] | None = None) -> None:
    """Give a new session its settings; by SET, for poolers refuse them among the startup parameters."""
    prepare(connection, limits)
    newer = {"transaction_timeout": "0"} if connection.info.server_version >= 170_000 else {}
    put_settings(connection, SESSION | timeouts(limits) | newer | dict(settings or {}))
    connection.execute(DURABLE)


def set_up_pooled(connection: Connection, limits: Limits) -> None:
    """As ``set_up``, for a session whose every transaction may run on another server connection."""
    prepare(connection, limits)
    connection.prepare_threshold = None
    put_settings(connection, TRACKED)


def prepare(connection: Connection, limits: Limits) -> None:
    connection.silence_seconds = limits.silence
    set_json_loads(from_json, connection)  # JSON is read exactly: big integers stay integers


def put_settings(connection: Connection, settings: Mapping[str, str]) -> None:
    connection.execute("; ".join(f"SET {name} TO '{value}'" for name, value in settings.items()))


def timeouts(limits: Limits) -> dict[str, str]:
    """Return PostgreSQL's settings that keep ``limits``; 0, without one, also where a DBA set one."""
    seconds = {
        "statement_timeout": limits.statement,
        "lock_timeout": limits.lock,
        "idle_in_transaction_session_timeout": limits.idle_in_transaction,
        "idle_session_timeout": limits.idle,
    }
    return {name: f"{int((value or 0) * 1000)}ms" for name, value in seconds.items()}


class Database:
    """A pool of connections to one database. ``open`` before use, ``close`` after."""

    def __init__(
        self,
        addresses: Addresses | str,
        *,
        connections_max: int = 10,
        timeout_seconds: float = 5,
        limits: Limits = READ,
    ) -> None:
        self.addresses = Addresses(addresses) if isinstance(addresses, str) else addresses
        self._pool = psycopg_pool.ConnectionPool(
            with_defaults(self.addresses.primary),
            connection_class=Connection,
            kwargs={"autocommit": True},
            configure=partial(set_up_pooled if self.addresses.is_pooled else set_up, limits=limits),
            min_size=1,
            max_size=connections_max,
            timeout=timeout_seconds,
            max_waiting=1000,
            open=False,
        )

    @property
    def conninfo(self) -> str:
        """The address for whoever needs a session of its own: see Addresses."""
        return self.addresses.direct

    def open(self) -> None:
        with told():
            self._pool.open(wait=True, timeout=30)

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def connection(self, *, timeout_seconds: float | None = None) -> Iterator[Connection]:
        """Lend a connection of the pool, in autocommit mode. Errors come in our words."""
        with told():
            connection = self._take(timeout_seconds or self._pool.timeout)
            try:
                with connection:
                    yield connection
            finally:
                self._pool.putconn(connection)

    def _take(self, timeout_seconds: float) -> Connection:
        """Return a connection that is there; dead ones are given back, and the pool replaces them."""
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
        """Return all rows of one read. A connection found dead is replaced, unseen by the caller.

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
        """Return what ``read`` finds; it is called again, once, where its connection broke on the way."""
        with self.connection() as connection:
            try:
                return read(connection)
            except psycopg.OperationalError as error:
                if not connection.closed or isinstance(error, DatabaseSilent):
                    raise
        with self.connection() as connection:
            return read(connection)
