"""Scrubbing, which removes what was erased from the pages of all tables, and from files no longer used."""

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

OLDER_SECONDS_MAX = 60.0  # that scrubbing waits for transactions that began before it


def scrub(connection: Connection, tables: Sequence[str]) -> list[str]:
    """Rewrite the store's ``tables`` and their indexes, so that nothing erased is left on their pages.

    Each table is locked while it is rewritten. The planner's statistics, which hold values, are renewed, too.
    Returns descriptions of the steps that this role has no right to. Raises Unavailable when an open
    transaction can still see what was erased.
    """
    _wait_for_older_transactions(connection)
    denied = []
    for schema, table in connection.execute(SQL["tables"], [list(tables)]).fetchall():
        if not _is_allowed(
            connection, sql.SQL("VACUUM (FULL, ANALYZE) {}").format(Identifier(schema, table))
        ):
            denied.append(f"rewriting {table}, which its owner may, and the database's")
    # A checkpoint removes the old files.
    if not _is_allowed(connection, sql.SQL("CHECKPOINT")):
        denied.append("CHECKPOINT, which GRANT pg_checkpoint allows: old files stay until the next one")
    return denied


def _is_allowed(connection: Connection, work: sql.SQL | sql.Composed) -> bool:
    """Execute ``work``, and return whether this role had the right to.

    Warnings are counted as refusals, because VACUUM only warns when it skips a table.
    """
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
    """Wait for transactions that are open now. Raises Unavailable when they take too long.

    A rewritten table keeps all rows that an open transaction may still see.
    """
    ((following, unseen),) = connection.execute(SQL["begin"]).fetchall()
    deadline = time.monotonic() + OLDER_SECONDS_MAX
    bound = {"next": following, "unseen": unseen}
    while connection.execute(SQL["older_transactions"], bound).fetchone() != (0,):
        if time.monotonic() > deadline:
            raise Unavailable("a transaction from before the purge is still open: scrub when it has ended")
        time.sleep(0.1)
