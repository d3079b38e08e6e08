"""Channels of PostgreSQL's NOTIFY, one set per store: stores in one database do not wake each other."""

from __future__ import annotations

from psycopg import sql

from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "channels")


def listen(connection: Connection, channel: str) -> None:
    """Subscribe the connection to this store's ``channel``."""
    ((name,),) = connection.execute(SQL["channel_name"], [channel]).fetchall()
    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(name)))


def notify(connection: Connection, channel: str) -> None:
    """Notify this store's ``channel`` when the transaction commits."""
    connection.execute(SQL["notify"], [channel])
