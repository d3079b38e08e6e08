"""Scrubbing: nothing of what was erased is left on the pages of any table, nor in files no longer used."""

from __future__ import annotations

import time
from collections.abc import Sequence

from psycopg import errors, sql
from psycopg.errors import Diagnostic
from psycopg.sql import Identifier

from recountdb.domain.errors import Unavailable
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "scrub")

OLDER_SECONDS_MAX = 60.0  # that scrubbing waits for transactions from before


def scrub(connection: Connection, tables: Sequence[str]) -> list[str]:
    """Rewrite the store's ``tables`` and their indexes, so that nothing erased is left on their pages.

    Whoever uses a table waits while it is rewritten. What the planner remembers of values is made again, too.
    Returns what this role has no right to, in words. Raises Unavailable where a transaction is open that can
    still see what was erased.
    """
    _wait_for_older_transactions(connection)
    denied = []
    for schema, table in connection.execute(SQL["tables"], [list(tables)]).fetchall():
        if not _is_allowed(
            connection, sql.SQL("VACUUM (FULL, ANALYZE) {}").format(Identifier(schema, table))
        ):
            denied.append(f"rewriting {table}, which its owner may, and the database's")
    # The old files go with it.
    if not _is_allowed(connection, sql.SQL("CHECKPOINT")):
        denied.append("CHECKPOINT, which GRANT pg_checkpoint allows: old files stay until the next one")
    return denied


def _is_allowed(connection: Connection, work: sql.SQL | sql.Composed) -> bool:
    """Do ``work``; return whether this role has the right to. VACUUM only warns, and passes a table over."""
    warnings: list[Diagnostic] = []

    def note(diagnostic: Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "WARNING":
            warnings.append(diagnostic)

    connection.add_notice_handler(note)
    try:
        connection.execute(work)
    except errors.InsufficientPrivilege:
        return False
    finally:
        connection.remove_notice_handler(note)
    return not warnings


def _wait_for_older_transactions(connection: Connection) -> None:
    """A table that is rewritten keeps all rows that an open transaction may still look at."""
    ((following, unseen),) = connection.execute(SQL["begin"]).fetchall()
    deadline = time.monotonic() + OLDER_SECONDS_MAX
    bound = {"next": following, "unseen": unseen}
    while connection.execute(SQL["older_transactions"], bound).fetchone() != (0,):
        if time.monotonic() > deadline:
            raise Unavailable("a transaction from before the purge is still open: scrub when it has ended")
        time.sleep(0.1)
