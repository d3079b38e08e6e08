"""Sessions of PostgreSQL that others wait for, described for the log: never what they say or ask."""

from __future__ import annotations

from collections.abc import Sequence

from eventlog.database import Connection
from eventlog.statements import Statements

SQL = Statements("eventlog", "sessions")


def describe_sessions(connection: Connection, pids: Sequence[int]) -> str:
    """Name these sessions, and say for how long each has been doing what it does."""
    rows = connection.execute(SQL["describe_sessions"], [list(pids)]).fetchall()
    return "; ".join(describe(*row) for row in rows) or "a session that has ended"


def describe_blockers(connection: Connection, pid: int) -> str | None:
    """Name the sessions that hold a lock that session ``pid`` waits for; None where it waits for none."""
    ((pids,),) = connection.execute(SQL["select_blockers"], [pid]).fetchall()
    return describe_sessions(connection, pids) if pids else None


def describe(
    pid: int, application: str, address: str | None, state: str | None, seconds: float | None
) -> str:
    """``state``: as PostgreSQL calls it, such as "idle in transaction"."""
    whence = f" at {address}" if address else ""
    since = f" for {seconds:.0f} s" if seconds is not None else ""
    return f"session {pid} ({application or 'without a name'}{whence}), {state or 'another user'}{since}"
