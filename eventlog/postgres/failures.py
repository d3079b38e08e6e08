"""Translation of PostgreSQL's errors into ours, by SQLSTATE: their texts are in the server's language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg_pool
from psycopg import errors

from recountdb.domain.errors import (
    InvalidInput,
    RecountError,
    SchemaMismatch,
    Unavailable,
    VersionConflict,
)

READ_ONLY = (
    "the database is read-only, as a standby is: write to the primary, or turn off"
    " default_transaction_read_only; nothing was recorded"
)
UNFINISHED_IMPORT = "an import of the log was interrupted: run 'recount log import' with the same file again"
BUSY = "the database does not answer, or all its connections are busy"

HINTS = {
    r"password authentication failed|no password supplied": "correct the user or the password",
    r"database .* does not exist": "make it with 'createdb', or name another one",
    r"role .* does not exist": "make it with 'createuser', or name another user",
    r"connection refused|no such file or directory|is the server running": "see whether it runs there",
    r"could not translate host name|name or service not known": "correct the host",
    r"no pg_hba\.conf entry|pg_hba\.conf rejects": "its pg_hba.conf must let this machine and user in",
    r"unsupported startup parameter: options": (
        "a pooler takes no 'options': leave them out of the address and of PGOPTIONS,"
        " and give them to the role with ALTER ROLE"
    ),
    r"too many (connections|clients)|remaining connection slots|connection limit|no more connections": (
        "close others, or raise max_connections or the limit of the role or database"
    ),
    r"is not permitted to log in": "ALTER ROLE … LOGIN, or name another user",
    r"not currently accepting connections": "ALTER DATABASE … ALLOW_CONNECTIONS true, or name another one",
    r"server does not support SSL": "set ssl = on there, or another sslmode",
    r"certificate (file|verify)|root certificate": "correct sslrootcert, or sslmode",
    r"definition of service": "correct the service, or PGSERVICEFILE",
    r"session is (not )?read-only|in hot standby": "correct target_session_attrs, or the hosts",
    r"permission denied for database": "GRANT CONNECT ON DATABASE … TO …",
    r"timeout expired": "see whether it runs there, and whether a firewall is between",
}
"""Advice for libpq's reasons, found by text: there is no SQLSTATE before a session begins."""


class DatabaseSilent(psycopg.OperationalError):
    """PostgreSQL, or the way there, gave no sign of life in time; its connection was closed."""


OUTAGES = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.InsufficientPrivilege,
    errors.ReadOnlySqlTransaction,
    errors.IdleInTransactionSessionTimeout,
    Unavailable,
)
"""Errors that the work did not cause, and that end once the database, or a right on it, is there again."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate PostgreSQL's errors into ours (see domain.errors), never showing a row's content."""
    try:
        yield
    except psycopg.Error as error:
        raise translate_error(error) from error


def translate_error(error: psycopg.Error) -> RecountError:
    """Return our error that tells a caller what ``error`` means."""
    match error:
        case psycopg_pool.PoolTimeout() | psycopg_pool.TooManyRequests():
            return Unavailable(BUSY)
        case DatabaseSilent():
            return Unavailable("the database is silent: it took the request and gave no answer in time")
        case errors.UniqueViolation() | errors.DeadlockDetected() | errors.SerializationFailure():
            return VersionConflict()
        case errors.CheckViolation() if error.diag.constraint_name == "import_unfinished":
            return Unavailable(UNFINISHED_IMPORT)
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.UndefinedFunction():
            return SchemaMismatch("the database lacks a table or column: run 'recount migrate'")
        case errors.ProgramLimitExceeded():  # an index takes less than 2704 bytes
            return InvalidInput("request", "a name, scope or user id in it is too long to be looked up by")
        case errors.InsufficientPrivilege():
            return _right_missing(error)
        case _:
            return _unavailable(error)


def _unavailable(error: psycopg.Error) -> Unavailable:
    match error:
        case errors.DiskFull():
            reason = "the database's disk is full: make room there; nothing was recorded"
            return Unavailable(reason, retry_after_seconds=30)
        case errors.OutOfMemory() | errors.ConfigurationLimitExceeded():
            reason = "the database has too little memory, or room for temporary files: raise temp_file_limit"
            return Unavailable(f"{reason}, or free some; nothing was recorded", retry_after_seconds=30)
        case errors.IoError() | errors.DataCorrupted() | errors.IndexCorrupted():
            return Unavailable("the database cannot read or write its files: see what its log says")
        case errors.ReadOnlySqlTransaction():
            return Unavailable(READ_ONLY)
        case errors.TooManyConnections():
            return Unavailable("the database has no connection left: raise max_connections, or close others")
        case errors.IdleSessionTimeout() | errors.IdleInTransactionSessionTimeout():
            return Unavailable("the database ended a connection that rested for too long; try again")
        case errors.LockNotAvailable():
            return Unavailable("another transaction holds what this one waited for; nothing was recorded")
        case errors.QueryCanceled():
            return Unavailable("the database took too long, and was stopped; nothing was recorded")
        case errors.AdminShutdown() | errors.CrashShutdown() | errors.CannotConnectNow():
            return Unavailable("the database is being restarted, or ended the connection; try again")
        case errors.ProtocolViolation() if "query_wait_timeout" in str(error):  # PgBouncer's only reason
            return Unavailable("the pooler has no connection free: raise its default_pool_size")
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return Unavailable("the database does not answer")
        case _ if error.sqlstate is None:  # the driver's own, where a connection broke in the midst
            return Unavailable("the database does not answer")
        case _:
            return Unavailable(f"the database refused ({error.sqlstate})")


def _right_missing(error: psycopg.Error) -> Unavailable:
    """Return an error that names the missing right as PostgreSQL does: a table or schema, and no content."""
    reason = error.diag.message_primary or "a right is missing"
    why = (
        f"the database refused: {reason}: let its owner GRANT that to Recount's role; of tables and schemas,"
        " 'recount migrate' says how"
    )
    return Unavailable("the database's role lacks a right that this needs", why=why)


def describe_unreachable(error: psycopg.Error) -> Unavailable:
    """Return our error for a failed connection, with libpq's own reason, which holds no password."""
    reason = reason_of(str(error))
    hint = next((hint for text, hint in HINTS.items() if re.search(text, reason, re.IGNORECASE)), None)
    why = f"cannot connect to the database: {reason}" + (f": {hint}" if hint else "")
    return Unavailable("the database does not answer", why=why)


def reason_of(text: str) -> str:
    """Return libpq's reason on one line; for several hosts, each with its own."""
    lines = text.strip().splitlines()
    attempts = [line.partition(": connection")[2] for line in lines if line.startswith("- host: ")]
    reasons = [f"connection{attempt}" for attempt in attempts] or lines[:1]
    return "; ".join(re.sub(r"^connection (failed|is bad): (?=connection|could)", "", one) for one in reasons)
