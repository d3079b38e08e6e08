"""The wiring of a store: database, views, application; for the server, the command line, in-process use.

Nothing else constructs the application.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from recountdb import api, eventlog, projections
from recountdb.domain.errors import RecountError
from recountdb.eventlog.application import Recount
from recountdb.eventlog.archive.import_log import refuse_unfinished
from recountdb.eventlog.log.epoch import is_standby
from recountdb.eventlog.postgres.database import READ, Addresses, Connection, Database, connect
from recountdb.eventlog.postgres.preflight import refuse_pooler, refuse_two_databases, refuse_unfit
from recountdb.eventlog.postgres.schema import Migration, check_schema, created_tables, migrate, migrations_of
from recountdb.projections.views.registry import CoreViews
from recountdb.projections.views.tables import NOTES, SETS, TABLES


@contextmanager
def open_store(
    where: Addresses | str, *, connections_max: int, is_importing: bool = False
) -> Iterator[Recount]:
    """Open the store at ``where``: yield its application, whose ``database`` is open as well.

    Raises what ``open_database`` raises.
    """
    database = open_database(where, connections_max=connections_max, is_importing=is_importing)
    try:
        with open_application(database) as application:
            yield application
    finally:
        database.close()


@contextmanager
def open_application(database: Database) -> Iterator[Recount]:
    """Yield the application on an open database. It is closed at the end, the database is not."""
    application = Recount(database, CoreViews(database))
    try:
        yield application
    finally:
        application.close()


def open_database(where: Addresses | str, *, connections_max: int, is_importing: bool = False) -> Database:
    """Open a database that has the right schema and, unless ``is_importing``, a complete log.

    Raises Unavailable, SchemaMismatch, ImportUnfinished, DatabaseUnfit.
    """
    addresses = Addresses.of(where)
    with connect(addresses.direct, READ) as direct:  # fails at once, where a pool would go on trying
        refuse_unfit(direct)
        refuse_pooler(direct, addresses)
        check_schema(direct, all_migrations())
        if not is_importing:
            refuse_unfinished(direct)
        database = Database(addresses, connections_max=connections_max)
        try:
            database.open()
            if addresses.is_pooled:
                with database.connection() as primary:
                    refuse_two_databases(direct, primary)
        except RecountError:
            database.close()
            raise
    return database


def all_migrations() -> list[Migration]:
    """Return the migrations of every package, in the order they are applied."""
    return [m for room in (eventlog, projections, api) for m in migrations_of(room)]


def store_tables() -> list[str]:
    """Return the names of all tables that a store may have, also those of rebuilds."""
    of_rebuilds = [f"{prefix}{table}" for prefix in SETS for table in (*TABLES, *NOTES)]
    return [*dict.fromkeys(created_tables(all_migrations()) + of_rebuilds)]


def migrate_database(connection: Connection) -> list[Migration]:
    """Migrate the database to this program's schema, or check that of a standby, which has its primary's.

    Raises SchemaMismatch when the schema is newer, DatabaseUnfit when the database cannot be used or the role
    lacks a right.
    """
    if is_standby(connection):
        check_schema(connection, all_migrations())
        return []
    return migrate(connection, all_migrations())


def migrate_at(addresses: Addresses) -> list[Migration]:
    """Migrate the database at ``addresses`` as ``migrate_database`` does. Raises Unavailable as well."""
    with connect(addresses.direct) as connection:
        refuse_pooler(connection, addresses)
        return migrate_database(connection)
