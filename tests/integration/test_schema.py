"""The database's schema: what it is (schema.json says so), and how it comes about.

Whoever changes it adds a migration and writes the new schema down:
``python -m tests.integration.test_schema > tests/integration/schema.json``
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, LiteralString

import pytest
from psycopg.conninfo import make_conninfo

from recountdb.api.runtime import all_migrations, migrate_database
from recountdb.domain.errors import SchemaMismatch, Unavailable
from recountdb.eventlog.postgres.database import Connection, connect
from recountdb.eventlog.postgres.schema import Migration, check_schema, load_applied, migrate
from tests.support.postgres import embedded_server, new_database
from tests.support.processes import in_processes, wait_for_others

WRITTEN_DOWN = Path(__file__).with_name("schema.json")

COLUMNS: LiteralString = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
           CASE WHEN a.attnotnull THEN 'not null' ELSE 'null' END,
           CASE a.attidentity WHEN 'a' THEN 'generated always' ELSE pg_get_expr(d.adbin, d.adrelid) END
      FROM pg_class c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
     ORDER BY c.relname, a.attnum
"""
# PostgreSQL 18 lists NOT NULL as a constraint; the columns tell it on every version.
CONSTRAINTS: LiteralString = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
      FROM pg_constraint
     WHERE connamespace = current_schema()::regnamespace AND contype <> 'n'
     ORDER BY 1, 2
"""
INDEXES: LiteralString = """
    SELECT tablename, indexname, indexdef
      FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1, 2
"""
VIEWS: LiteralString = """
    SELECT viewname, definition FROM pg_views WHERE schemaname = current_schema() ORDER BY 1
"""
OPTIONS: LiteralString = """
    SELECT relname, reloptions FROM pg_class
     WHERE relnamespace = current_schema()::regnamespace AND reloptions IS NOT NULL
     ORDER BY 1
"""
OTHERS: LiteralString = """
    SELECT kind || ' ' || name
      FROM (SELECT 'function', proname::text FROM pg_proc
             WHERE pronamespace = current_schema()::regnamespace
            UNION ALL
            SELECT 'trigger', tgname::text FROM pg_trigger WHERE NOT tgisinternal
            UNION ALL
            SELECT 'sequence', sequencename::text FROM pg_sequences WHERE schemaname = current_schema()
            UNION ALL
            SELECT 'extension', extname::text FROM pg_extension) AS other (kind, name)
     ORDER BY 1
"""


def catalog(connection: Connection) -> dict[str, Any]:
    """What the database consists of, in words that are the same on every version of PostgreSQL."""
    tables: dict[str, dict[str, str]] = {}
    for table, column, type_, nullability, default in connection.execute(COLUMNS):
        told = " ".join(filter(None, [type_, nullability, default]))
        tables.setdefault(table, {})[column] = told
    return {
        "columns": tables,
        "constraints": [" ".join(row) for row in connection.execute(CONSTRAINTS)],
        "indexes": [definition for _, _, definition in connection.execute(INDEXES)],
        "views": {name: normalised(definition, tables) for name, definition in connection.execute(VIEWS)},
        "options": dict(connection.execute(OPTIONS).fetchall()),
        "others": [other for (other,) in connection.execute(OTHERS)],
    }


def normalised(definition: str, tables: dict[str, Any]) -> str:
    """Without line breaks, and without the qualifiers that only older versions print."""
    return re.sub(rf"\b(?:{'|'.join(tables)})\.(?=\w)", "", " ".join(definition.split()))


@pytest.fixture
def empty(server: str) -> Iterator[str]:
    """A database without any schema."""
    with new_database(server) as name:
        yield make_conninfo(server, dbname=name)


@pytest.fixture
def connection(empty: str) -> Iterator[Connection]:
    with connect(empty) as connection:
        yield connection


def broken(sql: str = "CREATE TABLE half (id int); SELECT 1 / 0") -> Migration:
    last = max(m.number for m in all_migrations() if m.component == "api")
    return Migration("api", last + 1, "broken", sql)


def tables(connection: Connection) -> set[str]:
    return set(catalog(connection)["columns"])


def test_the_schema_is_the_one_that_is_written_down(connection: Connection) -> None:
    migrate_database(connection)
    assert catalog(connection) == json.loads(WRITTEN_DOWN.read_text(encoding="utf-8")), __doc__


def test_migrations_one_by_one_lead_to_the_same(connection: Connection) -> None:
    migrations = all_migrations()
    for count, newest in enumerate(migrations, start=1):
        assert migrate(connection, migrations[:count]) == [newest]
    assert catalog(connection) == json.loads(WRITTEN_DOWN.read_text(encoding="utf-8"))
    check_schema(connection, migrations)


def test_migrations_that_are_there_are_not_applied_again(connection: Connection) -> None:
    assert migrate_database(connection) == all_migrations()
    assert migrate_database(connection) == []
    assert load_applied(connection) == {(m.component, m.number) for m in all_migrations()}


def migrate_from_here(conninfo: str) -> list[str]:
    with connect(conninfo) as connection:
        wait_for_others()
        return [f"{m.component} {m.number}" for m in migrate_database(connection)]


def test_processes_that_migrate_at_once_take_turns(empty: str, connection: Connection) -> None:
    done = in_processes(migrate_from_here, [(empty,)] * 4)
    wanted = [f"{m.component} {m.number}" for m in all_migrations()]
    assert sorted(done) == sorted([wanted, [], [], []])
    check_schema(connection, all_migrations())


class TestCheck:
    def test_an_empty_database_is_refused_with_what_to_do(self, connection: Connection) -> None:
        with pytest.raises(SchemaMismatch, match=r"lacks \d+ migration.*'recount migrate'"):
            check_schema(connection, all_migrations())
        assert tables(connection) == set()

    def test_a_missing_migration_is_refused(self, connection: Connection) -> None:
        migrate(connection, all_migrations()[:-1])
        with pytest.raises(SchemaMismatch, match=r"lacks 1 migration.*'recount migrate'"):
            check_schema(connection, all_migrations())

    @pytest.mark.parametrize("refuse", [check_schema, migrate])
    def test_a_newer_schema_is_refused_and_left_alone(
        self, connection: Connection, refuse: Callable[[Connection, list[Migration]], object]
    ) -> None:
        newer = broken("CREATE TABLE newer (id int)")
        migrate(connection, [*all_migrations(), newer])
        before = catalog(connection)
        with pytest.raises(SchemaMismatch, match="newer Recount"):
            refuse(connection, all_migrations())
        assert catalog(connection) == before
        assert not holds_a_lock(connection)


class TestFailure:
    def test_a_migration_that_fails_leaves_nothing_behind(self, connection: Connection) -> None:
        migrations = all_migrations()
        with pytest.raises(Unavailable):
            migrate(connection, [*migrations[:-1], broken(), migrations[-1]])
        assert "half" not in tables(connection)
        assert load_applied(connection) == set()
        assert not holds_a_lock(connection)

    def test_it_can_be_tried_again(self, connection: Connection) -> None:
        with pytest.raises(Unavailable):
            migrate(connection, [*all_migrations(), broken()])
        mended = broken("CREATE TABLE half (id int)")
        assert migrate(connection, [*all_migrations(), mended]) == [*all_migrations(), mended]
        assert "half" in tables(connection)

    def test_a_connection_that_breaks_lets_others_go_on(self, empty: str, connection: Connection) -> None:
        kill = broken("CREATE TABLE half (id int); SELECT pg_terminate_backend(pg_backend_pid())")
        with connect(empty) as dying, pytest.raises(Unavailable):
            migrate(dying, [*all_migrations(), kill])
        assert migrate_database(connection) == all_migrations()
        assert "half" not in tables(connection)


def holds_a_lock(connection: Connection) -> bool:
    locks = connection.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'").fetchall()
    return bool(locks)


def written_anew() -> str:
    with (
        embedded_server() as server,
        new_database(server) as name,
        connect(make_conninfo(server, dbname=name)) as connection,
    ):
        migrate_database(connection)
        return json.dumps(catalog(connection), indent=2)


if __name__ == "__main__":
    print(written_anew())  # noqa: T201

pytestmark = pytest.mark.sql
