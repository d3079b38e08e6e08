"""Sessions of PostgreSQL that others wait for, described for the log: never with their queries or data."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from recountdb.eventlog.postgres.connect import CLIENT
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "sessions")

STANDSTILL_SECONDS = 5.0  # the time that others must have waited for a session

logger = logging.getLogger(__name__)


class RunningAppend(NamedTuple):
    """An append that is under way: its session, None before it has one, and its duration."""

    pid: int | None
    seconds: float


def describe_sessions(connection: Connection, pids: Sequence[int]) -> str:
    """Describe these sessions, with how long each has been in its state."""
    rows = connection.execute(SQL["describe_sessions"], [list(pids)]).fetchall()
    return "; ".join(describe(*row) for row in rows) or "a session that has ended"


def end_standing_still(connection: Connection, pids: Sequence[int]) -> None:
    """End those of these sessions, which others wait for, that wait for Recount in the midst of a statement.

    A process that was stopped within a COPY, or while it sent a large request, leaves such a session.
    PostgreSQL's limits, which end an idle session, do not apply there.
    """
    if connection.execute(SQL["end_standing_still"], [list(pids), CLIENT["application_name"]]).fetchall():
        logger.warning("ended a session whose process stands still and that others waited for")


def find_blockers(connection: Connection, pid: int) -> Sequence[int]:
    """Return the sessions that hold a lock that session ``pid`` waits for."""
    ((pids,),) = connection.execute(SQL["select_blockers"], [pid]).fetchall()
    return list(pids)


def describe(
    pid: int, application: str, address: str | None, state: str | None, seconds: float | None
) -> str:
    """Describe one session. ``state`` is PostgreSQL's term, such as "idle in transaction"."""
    whence = f" at {address}" if address else ""
    since = f" for {seconds:.0f} s" if seconds is not None else ""
    return f"session {pid} ({application or 'without a name'}{whence}), {state or 'another user'}{since}"
