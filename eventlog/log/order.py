"""The order of the whole log, and how far it is settled.

Positions are drawn from a sequence and commit out of order, so "greater than my last" would pass
over an event whose transaction is still open. Each append therefore holds a shared advisory lock
from before it draws its position until it ends; a position is settled when every session that held
the lock after the position had been drawn has released it.

No wait is without limit. PostgreSQL ends the session of an append that stands still (see
eventlog.postgres.database.Limits), which settles the log within seconds; if it does not, the wait is
given up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from recountdb.domain.errors import Unavailable
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.sessions import STANDSTILL_SECONDS, describe_sessions, end_standing_still
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "log")

WAIT_SECONDS_MAX = 8.0
NOTICE_SECONDS = 2.0  # an append takes milliseconds, so one that takes this long stands still
POLL_SECONDS = 0.002

Holders = Mapping[str, int]
"""The number of each backend's transaction, for backends that hold the append lock.

The number reads 0 from when a transaction ends until its locks are released.
"""

logger = logging.getLogger(__name__)


def settled_position(connection: Connection, *, wait_seconds_max: float = WAIT_SECONDS_MAX) -> int:
    """Return a position up to which every event there will ever be can be read now; 0 for an empty log.

    Wait for the appends that are under way at the call, not for later ones. Raises Unavailable when one of
    them does not end in time, and logs which session it is. On a standby, which sees neither appends nor
    drawn positions, return the position that the primary recorded (see eventlog.log.epoch.note_settled).
    """
    ((last, is_standby),) = connection.execute(SQL["last_drawn"], prepare=True).fetchall()
    if last is None or is_standby:
        return last or 0
    began = time.monotonic()
    is_noticed = is_ended = False
    awaited = _find_holders(connection)
    while awaited:
        waited_seconds = time.monotonic() - began
        if waited_seconds > NOTICE_SECONDS and not is_noticed:
            is_noticed = True
            logger.warning(
                "the log waits for an append that stands still: %s",
                describe_sessions(connection, _backends(awaited)),
            )
        if waited_seconds > STANDSTILL_SECONDS and not is_ended:
            is_ended = True
            end_standing_still(connection, _backends(awaited))
        if waited_seconds > wait_seconds_max:
            raise Unavailable("an append that stands still keeps the log from being read; retry")
        time.sleep(POLL_SECONDS)
        awaited = select_still_held(awaited, _find_holders(connection))
    return int(last)


def _find_holders(connection: Connection) -> Holders:
    """Return the sessions that hold the append lock now."""
    return dict(connection.execute(SQL["holders"], prepare=True).fetchall())


def select_still_held(awaited: Holders, now: Holders) -> Holders:
    """Return those of ``awaited`` that still hold the lock, according to ``now``.

    A holder is gone when its backend no longer holds the lock, or holds it in another transaction.
    A number that reads 0 now is no other transaction: its events may not be readable yet.
    """
    return {
        backend: number
        for backend, number in awaited.items()
        if backend in now and now[backend] in (number, 0)
    }


def _backends(holders: Holders) -> list[int]:
    """Return the process numbers of ``holders``."""
    return [int(backend) for backend in holders if backend.isdigit()]
