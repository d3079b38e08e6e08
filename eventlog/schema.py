"""The database's schema: numbered migrations, applied by one explicit step.

Each room with tables of its own is a *component* with a folder of files ``0001_what.sql``. The table
``schema_migrations`` says which were applied; each is applied with that note in one transaction.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import psycopg

from domain.errors import SchemaMismatch
from eventlog.advisory import MIGRATE_LOCK
from eventlog.database import Connection, told

NOTES = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        component  text        NOT NULL,
        number     integer     NOT NULL,
        name       text        NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (component, number)
    )
"""


# Of the schema that the tables are made in: there is no table yet to name the store by.
LOCK = "SELECT pg_advisory_lock(%s, quote_ident(current_schema())::regnamespace::oid::int)"
UNLOCK = "SELECT pg_advisory_unlock(%s, quote_ident(current_schema())::regnamespace::oid::int)"


@dataclass(frozen=True)
class Migration:
    component: str
    number: int
    name: str
    sql: str


def migrations_of(component: str) -> list[Migration]:
    """The migrations in the package ``component``, in order. Their numbers must run from 1."""
    found = []
    for file in files(component).joinpath("migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name):
            sql = file.read_text(encoding="utf-8")
            found.append(Migration(component, int(match[1]), match[2], sql))
    found.sort(key=lambda migration: migration.number)
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
    return found


def applied(connection: Connection) -> set[tuple[str, int]]:
    """The (component, number) of all migrations that the database has seen."""
    if connection.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,):
        return set()
    rows = connection.execute("SELECT component, number FROM schema_migrations").fetchall()
    return {(component, number) for component, number in rows}


def migrate(connection: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """Apply what is missing; returns it. Raises SchemaMismatch when the database is newer."""
    with told():
        connection.execute(LOCK, (MIGRATE_LOCK,))
        try:
            done = applied(connection)
            refuse_newer(done, migrations)
            missing = [m for m in migrations if (m.component, m.number) not in done]
            connection.execute(NOTES)
            for migration in missing:
                apply(connection, migration)
        finally:
            if not connection.closed:
                connection.execute(UNLOCK, (MIGRATE_LOCK,))
    return missing


def apply(connection: psycopg.Connection[tuple[object, ...]], migration: Migration) -> None:
    with connection.transaction():
        connection.execute(migration.sql)
        connection.execute(
            "INSERT INTO schema_migrations (component, number, name) VALUES (%s, %s, %s)",
            (migration.component, migration.number, migration.name),
        )


def check_schema(connection: Connection, migrations: Sequence[Migration]) -> None:
    """Raises SchemaMismatch, saying what to do, unless the database has just these migrations."""
    with told():
        done = applied(connection)
    refuse_newer(done, migrations)
    if missing := {(m.component, m.number) for m in migrations} - done:
        raise SchemaMismatch(f"the database lacks {len(missing)} migration(s): run 'recount migrate' first")


def refuse_newer(done: set[tuple[str, int]], migrations: Sequence[Migration]) -> None:
    if done - {(migration.component, migration.number) for migration in migrations}:
        raise SchemaMismatch("the database was upgraded by a newer Recount: use that version, or a newer one")
