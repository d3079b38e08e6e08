"""Tables where followers of tests note what they see, and what holds their leases."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.errors import Unavailable, VersionConflict
from recountdb.domain.messages import Message
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from tests.support.processes import PATIENCE_SECONDS, context


def make_note_tables(database: Database) -> None:
    """Create the tables that followers of tests write into."""
    with database.connection() as connection:
        connection.execute(
            "CREATE TABLE seen (number bigint GENERATED ALWAYS AS IDENTITY, position bigint,"
            " stream_id uuid, version bigint)"
        )
        connection.execute("CREATE TABLE naive (position bigint)")


def noted_positions(database: Database) -> list[int]:
    """Return the positions that a follower noted, in the order it saw them."""
    return [position for (position,) in database.fetch("SELECT position FROM seen ORDER BY number")]


def add_texts(application: Recount, session: str, *contents: str) -> UUID:
    """Add a message for each text to a session; return the id of its stream."""
    for content in contents:
        message = Message(id=uuid4(), role="user", content=content)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                command = AddMessages(kind="session", name=session, messages=[message])
                outcome = application.execute(command, context())
                break
            except (VersionConflict, Unavailable):
                assert time.monotonic() < deadline
    return outcome.state.id


def lock_holders(database: Database) -> list[int]:
    """Return the process ids of connections that hold a lease, by their locks."""
    rows = database.fetch(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return [pid for (pid,) in rows]


def end_connection(database: Database, pid: int) -> None:
    """End the connection that the process ``pid`` of PostgreSQL serves."""
    database.fetch("SELECT pg_terminate_backend(%s)", [pid])
