"""The schema of PostgreSQL that holds a store's tables, found by the connection's search path.

A new store is made in the first schema of the path. An existing one stays where it is, even when another
schema comes first in the path by now.
"""

from __future__ import annotations

from collections.abc import Collection

from recountdb.domain.errors import DatabaseUnfit
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "home")

PUT_FIRST = (
    "put its schema first in the search path, by '?options=-csearch_path%3D…' in the address or by"
    " ALTER ROLE … SET search_path = …"
)


def find_home(connection: Connection) -> str | None:
    """Return the schema of the store that the search path finds first; None when it finds none.

    Other programs have a table ``schema_migrations``, too: ours records the component of each migration.
    """
    for (schema,) in connection.execute(SQL["find_home"]):
        return str(schema)
    return None


def create_at_home(connection: Connection) -> None:
    """Make the rest of the transaction create tables in the store's schema, first in the path or not."""
    home = find_home(connection)
    if home is not None:
        connection.execute(SQL["create_in"], [home])


def refuse_strangers(connection: Connection, tables: Collection[str]) -> None:
    """Refuse a search path on which another program's tables are in the way of the store's.

    Raises DatabaseUnfit.
    """
    # This comes before looking for the store: another process may be making it.
    taken = connection.execute(SQL["taken"], [list(tables)]).fetchall()
    home = find_home(connection)
    if home is not None:
        _refuse_hidden(connection, home, tables)
    elif taken:
        ((schema, _),) = taken[:1]
        names = ", ".join(name for _, name in taken)
        raise DatabaseUnfit(
            f"the schema {schema} has tables of another program that are called {names}: give the store a"
            f" schema of its own, with CREATE SCHEMA … AUTHORIZATION …, and {PUT_FIRST}"
        )


def _refuse_hidden(connection: Connection, home: str, tables: Collection[str]) -> None:
    """Refuse a search path that finds another program's table before one of the store's."""
    for name, schema in connection.execute(SQL["hidden"], {"home": home, "tables": list(tables)}):
        raise DatabaseUnfit(
            f"the table {name} of the schema {schema} hides that of the store, which is in the schema {home}:"
            f" {PUT_FIRST}"
        )
