"""Opening the database with the right schema; what the server and every command of the line begin with."""

from __future__ import annotations

from domain.errors import RecountError
from eventlog.archive.importing import refuse_unfinished
from eventlog.database import Connection, Database
from eventlog.schema import Migration, check_schema, migrate, migrations_of


def all_migrations() -> list[Migration]:
    """The migrations of every room, in the order they are applied."""
    return [m for room in ("eventlog", "projections", "api") for m in migrations_of(room)]


def migrate_database(connection: Connection) -> list[Migration]:
    """Bring the database's schema up to this program's. Raises SchemaMismatch where it is newer."""
    return migrate(connection, all_migrations())


def open_database(conninfo: str, *, connections_max: int, is_importing: bool = False) -> Database:
    """An open database with the right schema, and a whole log unless ``is_importing`` one.

    Raises Unavailable, SchemaMismatch, ImportUnfinished.
    """
    database = Database(conninfo, connections_max=connections_max)
    database.open()
    try:
        with database.connection() as connection:
            check_schema(connection, all_migrations())
            if not is_importing:
                refuse_unfinished(connection)
    except RecountError:
        database.close()
        raise
    return database
