"""Connecting to PostgreSQL: the settings of a session, and how long it may wait or be waited for."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import set_json_loads
from pydantic_core import from_json

from recountdb.eventlog.postgres.failures import (
    DatabaseSilent,
    describe_unreachable,
    translate_error,
    translate_errors,
)


@dataclass(frozen=True)
class Limits:
    """Time limits of one kind of work, in seconds; None means no limit.

    PostgreSQL itself enforces ``statement``, ``lock``, ``idle_in_transaction`` and ``idle`` (between two
    statements). ``silence``: how long the connection waits for a sign of life before it gives up; it is
    longer than ``statement``, so that PostgreSQL ends statements that merely take long. When a statement has
    no limit, PostgreSQL is asked on another connection whether the session still exists.
    """

    statement: float | None
    lock: float | None
    idle_in_transaction: float | None
    idle: float | None
    silence: float | None


READ = Limits(statement=8, lock=5, idle_in_transaction=5, idle=None, silence=8.5)
APPEND = Limits(statement=8, lock=8, idle_in_transaction=5, idle=None, silence=8.5)
WATCH = Limits(statement=8, lock=5, idle_in_transaction=5, idle=None, silence=8.5)
FOLLOW = Limits(statement=30, lock=8, idle_in_transaction=5, idle=None, silence=35)
LEAD = Limits(statement=30, lock=8, idle_in_transaction=5, idle=5, silence=35)
MAINTENANCE = Limits(statement=None, lock=60, idle_in_transaction=60, idle=None, silence=10)

CONNECTING_SECONDS_MAX = 5
RESTED_SECONDS = 1.0  # a connection idle for longer is tested before use
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
"""Parameters of libpq, unless the address sets them."""

TRACKED = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
}
"""Settings of a session that a transaction pooler carries from one server connection to the next."""

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
    # CLIENT's counterpart on PostgreSQL's side: locks of a client that is gone are free after ten seconds.
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""Settings that Recount relies on, whatever the database, the role or the environment say.

``default_transaction_read_only`` is not among them: whoever sets it means it.
"""


BEGIN_SESSION = """
    SELECT pg_backend_pid(), CASE WHEN current_setting('synchronous_commit') = 'off'
                                  THEN set_config('synchronous_commit', 'on', false) END
"""
"""Setting under which acknowledged writes survive a crash. Other values that promise so are left alone."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """Connection that waits for PostgreSQL no longer than ``silence_seconds`` at a time.

    As a context manager it closes itself at the end, and PostgreSQL's errors leave it translated to ours.
    """

    session_pid = 0
    """Process number in PostgreSQL, as in pg_locks; behind a pooler, ``info.backend_pid`` differs."""

    silence_seconds: float | None = None
    is_there: Callable[[], bool] | None = None
    _heard_at = 0.0

    def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        """Wait as psycopg does. Raises DatabaseSilent, and then closes: nobody reads a late answer."""
        if self.silence_seconds is not None:
            gen = _impatient(gen, self.silence_seconds, self.is_there)
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
            raise translate_error(error) from error

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Wait no longer than ``seconds`` at a time, within the block."""
        before = self.silence_seconds, self.is_there
        self.silence_seconds, self.is_there = seconds, None
        try:
            yield
        finally:
            self.silence_seconds, self.is_there = before

    def is_alive(self) -> bool:
        """Return whether PostgreSQL is still there; it is asked only when there is reason to doubt it.

        Call it outside of a transaction. A dead connection is closed; the caller can take another, because
        nothing was sent yet.
        """
        if self.closed:
            return False
        has_rested = time.monotonic() - self._heard_at > RESTED_SECONDS
        if not has_rested and not _has_news(self):  # an end of the session is news, too
            return True
        try:
            with self.patience(PING_SECONDS_MAX):
                self.execute("SELECT 1")
        except psycopg.Error:
            self.close()
        return not self.closed


def _impatient(gen: PQGen[RV], seconds: float, is_there: Callable[[], bool] | None) -> PQGen[RV]:
    """Run ``gen`` as long as data comes or goes, or ``is_there`` says that PostgreSQL is at work on it.

    Raises DatabaseSilent.
    """
    deadline = time.monotonic() + seconds
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready and time.monotonic() > deadline and not (is_there and is_there()):
                raise DatabaseSilent("no sign of life in time")
            if ready or time.monotonic() > deadline:
                deadline = time.monotonic() + seconds
            state = gen.send(ready)
    except StopIteration as end:
        result: RV = end.value
        return result


def _has_news(connection: Connection) -> bool:
    """Return whether anything arrived that was not asked for."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def connect(
    address: str, limits: Limits = MAINTENANCE, *, settings: Mapping[str, str] | None = None
) -> Connection:
    """Connect outside the pool, for a caller who keeps the connection. Raises Unavailable.

    ``settings``: those of the session, besides the ones that Recount relies on.
    """
    try:
        connection = Connection.connect(with_defaults(address), autocommit=True)
    except psycopg.Error as error:
        raise describe_unreachable(error) from error
    if limits.statement is None:
        connection.is_there = lambda: answers(address)
    try:
        with translate_errors():
            set_up(connection, limits, settings)
    except BaseException:
        connection.close()
        raise
    return connection


def answers(address: str) -> bool:
    """Return whether the address accepts a new connection."""
    try:
        psycopg.connect(with_defaults(address)).close()
    except psycopg.Error:
        return False
    return True


def with_defaults(address: str) -> str:
    """Return ``address`` with our defaults for libpq."""
    given = conninfo_to_dict(address)
    return make_conninfo(address, **{name: value for name, value in CLIENT.items() if name not in given})


def set_up(connection: Connection, limits: Limits, settings: Mapping[str, str] | None = None) -> None:
    """Apply a new session's settings with SET, because poolers refuse them as startup parameters."""
    prepare(connection, limits)
    newer = {"transaction_timeout": "0"} if connection.info.server_version >= 170_000 else {}
    # The limits come first: those of the role or database apply until then.
    _put_settings(connection, _timeouts(limits) | SESSION | newer | dict(settings or {}))
    ((connection.session_pid, _),) = connection.execute(BEGIN_SESSION).fetchall()


def set_up_pooled(connection: Connection, limits: Limits) -> None:
    """Set up a session whose transactions may each run on another server connection (see ``set_up``)."""
    prepare(connection, limits)
    connection.prepare_threshold = None
    _put_settings(connection, TRACKED)


def prepare(connection: Connection, limits: Limits) -> None:
    connection.silence_seconds = limits.silence
    set_json_loads(from_json, connection)  # JSON is read exactly: big integers stay integers


def _put_settings(connection: Connection, settings: Mapping[str, str]) -> None:
    connection.execute("; ".join(f"SET {name} TO '{value}'" for name, value in settings.items()))


def _timeouts(limits: Limits) -> dict[str, str]:
    """Return PostgreSQL's settings that keep ``limits``; 0 for no limit, even if a DBA set one."""
    seconds = {
        "statement_timeout": limits.statement,
        "lock_timeout": limits.lock,
        "idle_in_transaction_session_timeout": limits.idle_in_transaction,
        "idle_session_timeout": limits.idle,
    }
    return {name: f"{int((value or 0) * 1000)}ms" for name, value in seconds.items()}
