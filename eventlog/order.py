"""The order of the whole log, and how far it is settled.

Positions are drawn from a sequence and commit out of order, so "greater than my last" would pass
over an event whose transaction is still open. Each append therefore holds a shared advisory lock
from before it draws its position until it ends; a position is settled when everyone is gone who
held that lock after the position had been drawn.
"""

from __future__ import annotations

import time

from eventlog.database import Connection
from eventlog.statements import Statements

SQL = Statements("eventlog", "log")


def settled_position(connection: Connection, *, poll_seconds: float = 0.002) -> int:
    """A position up to which every event there will ever be can be read now; 0 for an empty log.

    Waits for the appends that are under way as it is called, not for later ones.
    """
    ((last,),) = connection.execute(SQL["last_drawn"], prepare=True).fetchall()
    if last is None:
        return 0
    awaited = holders(connection)
    while awaited:
        time.sleep(poll_seconds)
        awaited &= holders(connection)
    return int(last)


def holders(connection: Connection) -> set[str]:
    """The transactions that hold the append lock."""
    return {holder for (holder,) in connection.execute(SQL["holders"], prepare=True).fetchall()}
