"""The database's schema: numbered migrations, applied by one explicit step.

Each room with tables of its own is a *component* with a folder of files ``0001_what.sql``. The table
``schema_migrations`` records which were applied; all missing ones are applied, and recorded, in one
transaction.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from types import ModuleType

from psycopg import errors
from psycopg.sql import SQL, Identifier

from recountdb.domain.errors import SchemaMismatch, Unavailable
from recountdb.eventlog.postgres.advisory_locks import MIGRATE_LOCK
from recountdb.eventlog.postgres.database import Connection, translate_errors
from recountdb.eventlog.postgres.home import create_at_home, find_home, refuse_strangers
from recountdb.eventlog.postgres.preflight import (
    load_facts,
    refuse_missing_rights,
    refuse_nowhere_to_create,
    refuse_unfit,
)

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
LOCK = "SELECT pg_advisory_xact_lock(%s, quote_ident(current_schema())::regnamespace::oid::int)"

FROZEN_SECONDS = 10  # the longest pause between two statements of a migration

CREATED = re.compile(r"^CREATE (?:TABLE|VIEW) (\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Migration:
    component: str
    number: int
    name: str
    sql: str


def migrations_of(room: ModuleType) -> list[Migration]:
    """Return the migrations in the package ``component``, in order. Their numbers must run from 1."""
    component = room.__name__.rpartition(".")[2]
    found = []
    for file in files(room).joinpath("migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name):
            sql = file.read_text(encoding="utf-8")
            found.append(Migration(component, int(match[1]), match[2], sql))
    found.sort(key=lambda migration: migration.number)
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
    return found


def created_tables(migrations: Sequence[Migration]) -> list[str]:
    """Return the names of all tables and views that ``migrations`` create, including the migrations' own."""
    return [
        "schema_migrations",
        *(name for migration in migrations for name in CREATED.findall(migration.sql)),
    ]


def load_applied(connection: Connection) -> set[tuple[str, int]]:
    """Return the (component, number) of all migrations that the database has seen."""
    home = find_home(connection)
    if home is None:
        return set()
    statement = SQL("SELECT component, number FROM {}").format(Identifier(home, "schema_migrations"))
    return set(connection.execute(statement).fetchall())


def migrate(connection: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """Apply the missing migrations, all or none; return them.

    Raises SchemaMismatch when the database is newer, DatabaseUnfit when the role lacks a right.
    """
    facts = refuse_unfit(connection)
    with translate_errors():
        refuse_strangers(connection, created_tables(migrations))
        if find_home(connection) is not None:
            refuse_missing_rights(connection, facts, created_tables(migrations))
        if not _missing_from(connection, migrations):
            return []
        with connection.transaction():
            create_at_home(connection)
            refuse_nowhere_to_create(load_facts(connection))
            _take_turns(connection)
            connection.execute(NOTES)
            missing = _missing_from(connection, migrations)  # another process may have been faster
            for migration in missing:
                _apply(connection, migration)
    return missing


def _missing_from(connection: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """Return the migrations that the database has not seen. Raises SchemaMismatch when it is newer."""
    done = load_applied(connection)
    _refuse_newer(done, migrations)
    return [migration for migration in migrations if (migration.component, migration.number) not in done]


def _take_turns(connection: Connection) -> None:
    """Wait until no other process migrates, and make others wait until the end of this transaction.

    PostgreSQL ends a transaction that its process has forgotten, or cannot end because it is frozen.
    """
    connection.execute(f"SET LOCAL idle_in_transaction_session_timeout TO '{FROZEN_SECONDS}s'")
    try:
        connection.execute(LOCK, (MIGRATE_LOCK,))
    except errors.LockNotAvailable as error:
        raise Unavailable(
            "another process has been migrating this database for a minute: try again"
        ) from error


def _apply(connection: Connection, migration: Migration) -> None:
    connection.execute(migration.sql)
    connection.execute(
        "INSERT INTO schema_migrations (component, number, name) VALUES (%s, %s, %s)",
        (migration.component, migration.number, migration.name),
    )


def check_schema(connection: Connection, migrations: Sequence[Migration]) -> None:
    """Raise SchemaMismatch, saying what to do, unless the database has just these migrations."""
    with translate_errors():
        missing = _missing_from(connection, migrations)
        if find_home(connection) is not None:
            refuse_strangers(connection, created_tables(migrations))
    if missing:
        raise SchemaMismatch(f"the database lacks {len(missing)} migration(s): run 'recount migrate' first")


def _refuse_newer(done: set[tuple[str, int]], migrations: Sequence[Migration]) -> None:
    if done - {(migration.component, migration.number) for migration in migrations}:
        raise SchemaMismatch("the database was upgraded by a newer Recount: use that version, or a newer one")
