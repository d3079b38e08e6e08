"""A database that goes away for a while, and connections that end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from starlette.testclient import TestClient


@contextmanager
def database_gone(server: str, conninfo: str) -> Iterator[None]:
    """End all connections to the database, and refuse new ones."""
    name = str(conninfo_to_dict(conninfo)["dbname"])
    with psycopg.connect(server, autocommit=True) as admin:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        admin.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            admin.execute(allow.format(sql.Identifier(name), sql.Literal(True)))


def give_up_soon(client: TestClient) -> None:
    """Have the server of ``client`` wait for a connection for a fifth of a second only."""
    client.app.state.store.database._pool.timeout = 0.2  # type: ignore[attr-defined]


END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
"""A statement that ends all other connections to its database."""
