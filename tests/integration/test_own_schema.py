"""A store in a schema of its own, used by a role that owns that schema and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.sql import Identifier
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.runtime import store_tables
from recountdb.api.settings import Settings
from recountdb.domain.errors import DatabaseUnfit, NotFound
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.postgres.advisory_locks import APPEND_LOCK
from recountdb.eventlog.postgres.database import connect
from recountdb.eventlog.postgres.programs import packaged_home
from recountdb.projections.rebuild import build as rebuild
from recountdb.projections.rebuild import shadow
from recountdb.projections.views.tables import TABLES
from tests.support.postgres import installed_server, new_database
from tests.support.processes import in_threads, recount_on, wait_until
from tests.support.programs import need_postgres_15
from tests.support.stores import Ended, recount
from tests.support.stories import tell_stories

PG_DUMP = packaged_home() / "bin/pg_dump"
STRANGE = 'Chat "x", y'


@dataclass(frozen=True)
class Place:
    """``conninfo``: as a role that owns ``schema`` and nothing else. ``admin``: as who owns all."""

    conninfo: str
    admin: str
    role: str
    schema: str

    def run(self, *words: object) -> Ended:
        return recount(self.conninfo, *words)

    def dump(self) -> bytes:
        command = [str(PG_DUMP), "--inserts", "-d", self.admin]
        return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout

    def schemas(self) -> set[str]:
        """Return where tables of Recount's are."""
        with psycopg.connect(self.admin) as admin:
            found = admin.execute(
                "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename = ANY(%s)", [store_tables()]
            )
            return {schema for (schema,) in found}


@pytest.fixture(scope="module")
def trusting() -> Iterator[str]:
    """A server that lets every role in: the embedded one has but one."""
    programs = need_postgres_15()
    with installed_server(programs) as conninfo:
        yield conninfo


@pytest.fixture
def admin(trusting: str) -> Iterator[str]:
    """A database of the test's own, in which roles may do nothing; as its owner."""
    with new_database(trusting) as name:
        conninfo = make_conninfo(trusting, dbname=name)
        with psycopg.connect(conninfo, autocommit=True) as admin:
            execute(admin, "REVOKE CREATE, TEMPORARY ON DATABASE {} FROM PUBLIC", name)
        yield conninfo


Make = Callable[..., Place]


@pytest.fixture
def make_place(admin: str) -> Iterator[Make]:
    """Make a role with a schema; ``how`` says by what its sessions find it."""
    roles: list[str] = []

    def make(how: str, schema: str | None = None) -> Place:
        role = f"app_{uuid4().hex}"
        roles.append(role)
        schema = schema or (role if how == "its name" else "chat")
        conninfo = make_conninfo(admin, user=role)
        with psycopg.connect(admin, autocommit=True) as connection:
            execute(connection, "CREATE ROLE {} LOGIN", role)
            execute(connection, "CREATE SCHEMA {} AUTHORIZATION {}", schema, role)
            path = Identifier(schema).as_string(connection)
            if how == "the role":
                execute(connection, "ALTER ROLE {} SET search_path = {}", role, schema)
            elif how == "the address":
                escaped = path.replace("\\", "\\\\").replace(" ", "\\ ")
                conninfo = make_conninfo(conninfo, options=f"-csearch_path={escaped}")
        return Place(conninfo, admin, role, schema)

    yield make
    with psycopg.connect(admin, autocommit=True) as connection:
        for role in roles:
            execute(connection, "DROP OWNED BY {} CASCADE", role)
            execute(connection, "DROP ROLE {}", role)


def execute(connection: Any, statement: str, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(Identifier, names)))


def put_first(connection: Any, place: Place, schema: str) -> None:
    """Have sessions of the place's role look into another schema first."""
    execute(connection, "ALTER ROLE {} SET search_path = {}, {}", place.role, schema, place.schema)


def lines(tmp_path: Path, *words: str) -> Path:
    """Write a file to import: a session for each word."""
    path = tmp_path / f"{uuid4().hex}.jsonl"
    talks = [
        {"id": f"talk {word}", "user_id": "ana", "messages": [{"role": "user", "content": word}]}
        for word in words
    ]
    path.write_text("".join(json.dumps(talk) + "\n" for talk in talks))
    return path


def well(ended: Ended, code: int = 0) -> str:
    assert ended.code == code, ended.out + ended.err
    return ended.out


WAYS = [("its name", None), ("the role", "chat"), ("the address", "chat"), ("the address", STRANGE)]


@pytest.mark.parametrize(
    ("how", "schema"),
    [("the role", STRANGE), *(pytest.param(*way, marks=pytest.mark.thorough) for way in WAYS)],
)
def test_everything_works_there(make_place: Make, tmp_path: Path, how: str, schema: str | None) -> None:
    place = make_place(how, schema)
    well(place.run("migrate"))
    assert "up to date" in place.run("migrate").err + place.run("migrate").out
    well(place.run("import", lines(tmp_path, "canarygone", "canarykept")))
    serve_there(place)
    well(place.run("verify"))
    well(place.run("rebuild"))
    well(place.run("rebuild", "--workers", 2))
    well(place.run("rebuild", "--rollback"))
    well(place.run("rebuild", "--dry-run"))
    well(place.run("rebuild"))
    rebuild.fill_views(place.conninfo)  # one that was stopped
    status = json.loads(well(place.run("status", "--json")))
    assert status["outdated_views"] == []
    assert place.dump().count(b"canarygone") > 3  # in each set of tables

    receipt = json.loads(well(place.run("purge", "--session", "talk canarygone", "--json")))
    assert (receipt["is_erased"], receipt["left"]) == (True, {})
    dumped = place.dump()
    assert b"canarygone" not in dumped
    assert b"canarykept" in dumped
    well(place.run("verify"))
    moved_there(place, make_place, tmp_path)
    assert place.schemas() >= {place.schema}
    assert "public" not in place.schemas()


def serve_there(place: Place) -> None:
    """Serve, with all that a server does by itself."""
    settings = Settings(
        purge_seconds=0.05, checkpoint_seconds=0.05, audit_reads=True, webhooks_allow_private=True
    )
    with TestClient(create_app(settings, place.conninfo), base_url="http://127.0.0.1") as client:
        assert client.get("/v1/ready").status_code == 200
        hook = {"url": "http://127.0.0.1:9/", "types": ["session.started"]}
        assert client.post("/v1/webhooks", json=hook).status_code == 201
        said = {"messages": [{"role": "user", "content": "served"}]}
        assert client.post("/v1/sessions/served/messages", json=said).status_code == 201
        assert client.post("/v1/sessions/served/fork", json={"session_id": "forked"}).status_code == 201
        for name in ("served", "forked"):
            read = client.get(f"/v1/sessions/{name}/messages").json()
            assert [one["content"] for one in read["items"]] == ["served"]
        assert client.post("/v1/projections/rebuild", json={}).status_code == 202
        wait_until(lambda: client.get("/v1/projections/rebuild").json()["state"] == "done")
        assert client.post("/v1/projections/rebuild", json={"dry_run": True}).status_code == 202
        wait_until(lambda: client.get("/v1/projections/rebuild").json()["state"] == "done")
        purged = client.post("/v1/sessions/forked/purge", json={})
        assert purged.status_code == 200, purged.text
        assert [receipt["is_erased"] for receipt in purged.json()["receipts"]] == [True]


def moved_there(place: Place, make_place: Make, tmp_path: Path) -> None:
    """Move the log into a store in another schema of the same database."""
    other, file = make_place("its name"), tmp_path / "log.gz"
    well(place.run("log", "export", file))
    well(other.run("log", "import", file))
    well(other.run("verify"))
    assert place.run("sessions", "--json").out == other.run("sessions", "--json").out


def test_scrubbing_does_what_the_role_may_and_names_the_rest(make_place: Make, tmp_path: Path) -> None:
    place = make_place("its name")
    well(place.run("import", lines(tmp_path, "canarygone", "more")))
    purged = place.run("purge", "--session", "talk canarygone", "--scrub", "--json")
    assert json.loads(well(purged, 1))["is_erased"] is True
    assert "CHECKPOINT" in purged.err
    assert "pg_statistic" in purged.err
    assert "messages" not in purged.err
    with psycopg.connect(place.admin, autocommit=True) as connection:
        execute(connection, "GRANT pg_checkpoint TO {}", place.role)
    again = place.run("purge", "--session", "talk more", "--scrub")
    assert "CHECKPOINT" not in again.err


def test_others_tables_beside_are_not_rewritten(make_place: Make, tmp_path: Path) -> None:
    place = make_place("its name")
    with psycopg.connect(place.conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE theirs (a text)")
        well(place.run("import", lines(tmp_path, "x")))
        ((before,),) = connection.execute("SELECT pg_relation_filenode('theirs')").fetchall()
        place.run("purge", "--session", "talk x", "--scrub")
        assert connection.execute("SELECT pg_relation_filenode('theirs')").fetchone() == (before,)


class TestTwoStoresInOneDatabase:
    @pytest.fixture
    def both(self, make_place: Make) -> tuple[Place, Place]:
        places = make_place("its name"), make_place("the role", STRANGE)
        for place in places:
            well(place.run("migrate"))
        return places

    def test_an_append_under_way_in_one_settles_nothing_in_the_other(self, both: tuple[Place, Place]) -> None:
        one, other = both
        with recount_on(one.conninfo) as first, recount_on(other.conninfo) as second:
            tell_stories(first)
            tell_stories(second)
        with connect(one.conninfo) as held, connect(other.conninfo) as looking, held.transaction():
            lock = "SELECT pg_advisory_xact_lock_shared(%s, 'stored_events'::regclass::oid::int)"
            held.execute(lock, [APPEND_LOCK])
            assert settled_position(looking) > 0

    def test_both_are_rebuilt_at_once(self, both: tuple[Place, Place]) -> None:
        with ExitStack() as stack:
            for place in both:
                with recount_on(place.conninfo) as application:
                    tell_stories(application)
            stack.enter_context(shadow.hold_rebuild_lock(stack.enter_context(connect(both[0].conninfo))))
            well(both[1].run("rebuild", "--offline"))
        ended = in_threads(rebuilt, [(place.conninfo,) for place in both for _ in range(1)])
        assert ended == [[], []]

    def test_a_purge_in_one_leaves_the_other_as_it_is(
        self, both: tuple[Place, Place], tmp_path: Path
    ) -> None:
        for place in both:
            well(place.run("import", lines(tmp_path, "canarysame")))
        well(both[0].run("purge", "--session", "talk canarysame"))
        with pytest.raises(NotFound):
            both[0].run("messages", "talk canarysame")
        assert "canarysame" in well(both[1].run("messages", "talk canarysame"))

    def test_each_has_servers_of_its_own(self, both: tuple[Place, Place]) -> None:
        """Followers of both go on at once: no server waits for the lead that one of the other store has."""
        with ExitStack() as stack:
            for place in both:
                app = create_app(Settings(), place.conninfo)
                client = stack.enter_context(TestClient(app, base_url="http://127.0.0.1"))
                said = {"messages": [{"role": "user", "content": "x"}]}
                assert client.post("/v1/sessions/s/messages", json=said).status_code == 201
            for place in both:
                with connect(place.conninfo) as connection:
                    caught_up = "SELECT count(*), min(position) >= 2 FROM followers"
                    wait_until(lambda: connection.execute(caught_up).fetchone() == (2, True))  # noqa: B023


def rebuilt(conninfo: str) -> list[str]:
    rebuild.fill_views(conninfo)
    with connect(conninfo) as connection:
        found = [str(difference) for difference in rebuild.find_differences(connection)]
    rebuild.swap_in(conninfo)
    return found


class TestWhereTheStoreIs:
    def test_one_that_is_not_first_in_the_path_stays_where_it_is(
        self, make_place: Make, tmp_path: Path
    ) -> None:
        place = make_place("the role")
        well(place.run("import", lines(tmp_path, "canarygone")))
        with psycopg.connect(place.admin, autocommit=True) as connection:
            execute(connection, "CREATE SCHEMA {} AUTHORIZATION {}", place.role, place.role)
            put_first(connection, place, place.role)
        for command in ("migrate", "verify", "rebuild", "rebuild", "status"):
            well(place.run(command))
        receipt = json.loads(well(place.run("purge", "--session", "talk canarygone", "--json")))
        assert receipt["is_erased"] is True
        assert b"canarygone" not in place.dump()
        assert place.schemas() == {place.schema}

    @pytest.mark.parametrize("table", ["schema_migrations", "users"])
    def test_other_programs_tables_later_in_the_path_are_passed_over(
        self, make_place: Make, tmp_path: Path, table: str
    ) -> None:
        place = make_place("its name")
        with psycopg.connect(place.admin, autocommit=True) as connection:
            execute(connection, "CREATE TABLE public.{} (version text)", table)
        well(place.run("import", lines(tmp_path, "x")))
        well(place.run("verify"))

    @pytest.mark.parametrize("table", ["schema_migrations", "users"])
    def test_other_programs_tables_in_the_same_schema_are_left_alone(
        self, make_place: Make, tmp_path: Path, table: str
    ) -> None:
        place = make_place("its name")
        with psycopg.connect(place.conninfo, autocommit=True) as connection:
            execute(connection, "CREATE TABLE {} (version text)", table)
        with pytest.raises(DatabaseUnfit, match=f"tables of another program that are called {table}"):
            place.run("migrate")
        with psycopg.connect(place.conninfo) as connection:
            found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()")
            assert found.fetchone() == (1,)

    def test_other_programs_tables_that_hide_ours_are_named(self, make_place: Make, tmp_path: Path) -> None:
        place = make_place("the role")
        well(place.run("import", lines(tmp_path, "x")))
        with psycopg.connect(place.admin, autocommit=True) as connection:
            execute(connection, "CREATE SCHEMA {} AUTHORIZATION {}", place.role, place.role)
            execute(connection, "CREATE TABLE {}.users (version text)", place.role)
            put_first(connection, place, place.role)
        for command in ("migrate", "verify"):
            with pytest.raises(DatabaseUnfit, match=r"the table users .* hides that of the store"):
                place.run(command)


def test_what_others_may_read_they_may_read_after_a_rebuild(make_place: Make, tmp_path: Path) -> None:
    place, reader = make_place("its name"), make_place("its name")
    well(place.run("import", lines(tmp_path, "x")))
    with psycopg.connect(place.conninfo, autocommit=True) as connection:
        execute(connection, "GRANT USAGE ON SCHEMA {} TO {}", place.schema, reader.role)
        execute(connection, "GRANT SELECT ON messages, sessions TO {}", reader.role)
        execute(connection, "CREATE VIEW words AS SELECT content FROM messages")
        before = described(connection)
        well(place.run("rebuild"))
        assert described(connection) == before
        well(place.run("import", lines(tmp_path, "y")))
        assert connection.execute("SELECT count(*) FROM words").fetchone() == (2,)
    with psycopg.connect(reader.conninfo) as connection:
        statement = sql.SQL("SELECT count(*) FROM {}.messages").format(Identifier(place.schema))
        assert connection.execute(statement).fetchone() == (2,)


def described(connection: psycopg.Connection[Any]) -> list[Any]:
    """Return what a rebuild must leave as it is of each table."""
    found = connection.execute(
        "SELECT relname, reloptions, relacl, relpersistence,"
        "       ARRAY(SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = c.oid ORDER BY 1),"
        "       ARRAY(SELECT conname FROM pg_constraint WHERE conrelid = c.oid ORDER BY 1)"
        "  FROM pg_class AS c"
        " WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(%s) ORDER BY 1",
        [list(TABLES)],
    )
    return found.fetchall()
