"""Databases that cannot be used as they are: found out before anything is made, each told in one sentence."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from recountdb.api import cli
from recountdb.api.runtime import migrate_at, open_database
from recountdb.domain.errors import DatabaseUnfit, RecountError, Unavailable
from recountdb.eventlog.postgres.database import Addresses, connect
from recountdb.projections.lists.paging import Window
from recountdb.projections.views.messages import page_messages
from tests.acceptance.test_cli import Ended
from tests.support.messages import add_hello
from tests.support.postgres import installed_server, migrated_template
from tests.support.processes import context, recount_on
from tests.support.programs import need_postgres_15

SECRET = "xyzzy"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A server that lets in other roles, and has databases of other encodings: not the embedded one."""
    with installed_server(need_postgres_15()) as server:
        yield server


@pytest.fixture(scope="session")
def template(server: str) -> Iterator[str]:
    with migrated_template(server) as name:
        yield name


Recount = Callable[..., Ended]


@pytest.fixture
def recount(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Recount]:
    """Runs the program in this process, with just these settings in its environment."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*arguments: object, **environment: str) -> Ended:
        for name in [name for name in os.environ if name.startswith(("RECOUNT_", "PG", "DATABASE_URL"))]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit:
            cli.main([str(argument) for argument in arguments])
        return Ended(exit.value.code, *capfd.readouterr())

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


def run(conninfo: str, statement: LiteralString, **names: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as admin:
        parts = {name: sql.Identifier(value) for name, value in names.items()}
        admin.execute(sql.SQL(statement).format(**parts))


@pytest.fixture
def role(server: str, conninfo: str) -> Iterator[str]:
    """A role without any right of its own; dropped at the end, with what it owns in the test's database."""
    name = f"app_{uuid4().hex}"
    run(server, "CREATE ROLE {role} LOGIN", role=name)
    yield name
    run(conninfo, "DROP OWNED BY {role} CASCADE; DROP ROLE {role}", role=name)


@pytest.fixture
def empty(conninfo: str) -> str:
    """A database of the test's own without a table."""
    run(conninfo, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return conninfo


@contextmanager
def encoded(server: str, encoding: str) -> Iterator[str]:
    name = f"recount_test_{uuid4().hex}"
    statement = (
        f"CREATE DATABASE {{name}} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    run(server, statement, name=name)
    try:
        yield make_conninfo(server, dbname=name)
    finally:
        run(server, "DROP DATABASE {name} WITH (FORCE)", name=name)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_an_encoding_that_cannot_hold_every_text(server: str, encoding: str, recount: Recount) -> None:
    with encoded(server, encoding) as conninfo:
        for start in (migrate_at, lambda addresses: open_database(addresses, connections_max=1)):
            with pytest.raises(DatabaseUnfit, match=rf"encoding is {encoding}, and must be UTF8.*createdb"):
                start(Addresses(conninfo))
        ended = recount("serve", "--port", "0", RECOUNT_DATABASE_URL=conninfo)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert f"encoding is {encoding}" in ended.err
        with psycopg.connect(conninfo) as connection:
            assert connection.execute(
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            ).fetchone() == (0,)


class TestRights:
    def refused(self, recount: Recount, conninfo: str, role: str) -> str:
        """Return what ``recount migrate`` says, which begins with ending in 2."""
        with pytest.raises(DatabaseUnfit) as refusal:
            migrate_at(Addresses(make_conninfo(conninfo, user=role)))
        ended = recount("migrate", RECOUNT_DATABASE_URL=make_conninfo(conninfo, user=role))
        assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
        assert ended.err.lower().rstrip(".\n") == str(refusal.value).lower()
        return str(refusal.value)

    def test_to_make_tables_is_named_with_the_grant_that_gives_it(
        self, empty: str, role: str, recount: Recount
    ) -> None:
        run(empty, "GRANT USAGE ON SCHEMA public TO {role}", role=role)
        sentence = self.refused(recount, empty, role)
        assert "may not make tables in the schema public: let its owner run" in sentence
        assert f"'GRANT CREATE ON SCHEMA public TO {role}'" in sentence
        run(empty, "GRANT CREATE ON SCHEMA public TO {role}", role=role)
        assert migrate_at(Addresses(make_conninfo(empty, user=role)))

    def test_no_schema_at_all(self, empty: str, role: str, recount: Recount) -> None:
        run(empty, "DROP SCHEMA public")
        sentence = self.refused(recount, empty, role)
        assert "no schema of the search path" in sentence
        run(empty, "CREATE SCHEMA AUTHORIZATION {role}", role=role)
        assert migrate_at(Addresses(make_conninfo(empty, user=role)))

    def test_a_schema_that_may_not_be_used(self, empty: str, role: str, recount: Recount) -> None:
        run(empty, "CREATE SCHEMA chat")
        sentence = self.refused(recount, make_conninfo(empty, options="-csearch_path=chat"), role)
        assert "no schema of the search path (chat)" in sentence
        assert "GRANT USAGE, CREATE ON SCHEMA" in sentence

    def test_tables_that_another_role_made(self, conninfo: str, role: str, recount: Recount) -> None:
        run(conninfo, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}", role=role)
        sentence = self.refused(recount, conninfo, role)
        assert "lacks INSERT, UPDATE, DELETE on" in sentence
        assert f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}" in sentence
        grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
        run(conninfo, grant, role=role)
        assert "lacks SELECT on a sequence" in self.refused(recount, conninfo, role)
        run(conninfo, "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}", role=role)
        address = make_conninfo(conninfo, user=role)
        assert migrate_at(Addresses(address)) == []
        with recount_on(address) as application:
            application.execute(add_hello("talk"), context())
            assert application.log.settled_position() == 2

    def test_a_role_that_may_only_read_reads(self, conninfo: str, role: str, recount: Recount) -> None:
        with recount_on(conninfo) as application:
            application.execute(add_hello("talk"), context())
        run(conninfo, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}", role=role)
        run(conninfo, "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}", role=role)
        address = make_conninfo(conninfo, user=role)
        database = open_database(address, connections_max=1)
        assert len(page_messages(database, "default", "session", "talk", Window()).items) == 1
        database.close()
        for command in (("status",), ("sessions",), ("messages", "talk")):
            assert recount(*command, RECOUNT_DATABASE_URL=address).code == 0

    def test_one_that_is_missed_later_is_a_sentence_too(self, conninfo: str, role: str) -> None:
        with pytest.raises(Unavailable) as refusal, connect(make_conninfo(conninfo, user=role)) as connection:
            connection.execute("SELECT * FROM stored_events")
        assert "42501" not in str(refusal.value)
        assert "stored_events" not in str(refusal.value)
        assert "permission denied for table stored_events" in str(refusal.value.why)
        assert "recount migrate" in str(refusal.value.why)


class TestReasons:
    """Why there is no connection, as libpq has it, with what to do and without a password."""

    def told(self, recount: Recount, address: str) -> str:
        with pytest.raises(Unavailable) as refusal:
            connect(address)
        assert str(refusal.value) == "the database does not answer"
        ended = recount("status", RECOUNT_DATABASE_URL=address)
        assert (ended.code, ended.out, ended.err.count("\n")) == (3, "", 1)
        assert SECRET not in ended.err
        assert "Traceback" not in ended.err
        return ended.err

    def test_no_such_database(self, server: str, recount: Recount) -> None:
        told = self.told(recount, make_conninfo(server, dbname="nowhere", password=SECRET))
        assert "database \"nowhere\" does not exist: make it with 'createdb'" in told

    def test_no_such_role(self, server: str, recount: Recount) -> None:
        assert 'role "nobody-here" does not exist' in self.told(
            recount, make_conninfo(server, user="nobody-here")
        )

    def test_nobody_listens(self, recount: Recount) -> None:
        told = self.told(recount, f"postgresql://ana:{SECRET}@127.0.0.1:1/db")
        assert "port 1 failed: Connection refused: see whether it runs there" in told

    def test_no_such_socket(self, recount: Recount) -> None:
        assert "No such file or directory: see whether it runs" in self.told(
            recount, "host=/nowhere dbname=db"
        )

    def test_no_such_host(self, recount: Recount) -> None:
        told = self.told(recount, f"postgresql://ana:{SECRET}@db.invalid/db")
        assert "db.invalid" in told
        assert "correct the host" in told

    def test_each_of_several_hosts(self, recount: Recount) -> None:
        told = self.told(recount, f"postgresql://ana:{SECRET}@127.0.0.1:1,127.0.0.1:2/db")
        assert "port 1 failed" in told
        assert "port 2 failed" in told

    def test_a_database_that_takes_no_more_connections(
        self, server: str, conninfo: str, role: str, recount: Recount
    ) -> None:
        run(server, "ALTER ROLE {role} CONNECTION LIMIT 0", role=role)
        told = self.told(recount, make_conninfo(conninfo, user=role))
        assert f'too many connections for role "{role}"' in told
        assert "raise max_connections or the limit of the role" in told

    def test_one_that_may_not_be_entered(self, conninfo: str, role: str, recount: Recount) -> None:
        name = str(conninfo_to_dict(conninfo)["dbname"])
        run(conninfo, "REVOKE CONNECT ON DATABASE {name} FROM PUBLIC", name=name)
        told = self.told(recount, make_conninfo(conninfo, user=role))
        assert f'permission denied for database "{name}"' in told
        assert "GRANT CONNECT ON DATABASE" in told


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://ana:{SECRET}%zz@127.0.0.1/db",
        f"postgresql://ana:p@{SECRET}#1@127.0.0.1/db",
        f"postgresql://ana:{SECRET}/w@127.0.0.1/db",
        f"mysql://ana:{SECRET}@127.0.0.1/db",
        f"ana:{SECRET}@127.0.0.1/db",
        f"postgresql://ana:{SECRET}@127.0.0.1:port/db",
    ],
)
def test_what_is_no_address_is_told_without_a_word_of_it(address: str, recount: Recount) -> None:
    for name in ("RECOUNT_DATABASE_URL", "DATABASE_URL"):
        if name == "DATABASE_URL" and not address.startswith("postgres"):
            continue
        ended = recount("status", **{name: address})
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert ended.err.startswith(f"{name} must be an address such as postgresql://")
        assert SECRET not in ended.err


def test_a_parameter_that_postgresql_does_not_know_is_named(recount: Recount) -> None:
    ended = recount("status", RECOUNT_DATABASE_URL=f"postgresql://ana:{SECRET}@127.0.0.1/db?schema=public")
    assert ended.code == 2
    assert "without 'schema', a parameter that PostgreSQL does not know" in ended.err
    assert SECRET not in ended.err


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgres+asyncpg"])
@pytest.mark.parametrize("setting", ["RECOUNT_DATABASE_URL", "DATABASE_URL"])
def test_addresses_as_other_programs_write_them(
    conninfo: str, scheme: str, setting: str, recount: Recount
) -> None:
    parts = conninfo_to_dict(conninfo)
    host = str(parts["host"]).replace("/", "%2F")
    address = f"{scheme}://{parts['user']}@/{parts['dbname']}?host={host}"
    if "port" in parts:
        address += f"&port={parts['port']}"
    ended = recount("migrate", **{setting: address})
    assert (ended.code, ended.out) == (0, "nothing to do: the schema is up to date\n")


def test_an_error_of_ours_is_what_every_block_ends_with(conninfo: str) -> None:
    """Whatever is done with a connection of ours, an error of the driver does not leave it."""
    kill = "SELECT pg_terminate_backend(pg_backend_pid())"
    for statement in (kill, "SELECT 1/0", "SELECT * FROM nothing", "SET nothing TO 1"):
        with pytest.raises(RecountError), connect(conninfo) as connection:
            connection.execute(statement)
