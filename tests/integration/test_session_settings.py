"""What databases, roles and environments set makes no difference, and what an address says counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from recountdb.api.runtime import migrate_at
from recountdb.domain.errors import Unavailable
from recountdb.eventlog.integrity.verify import log_flaws
from recountdb.eventlog.log.subscription import LogSubscription
from recountdb.eventlog.postgres.database import APPEND, READ, Addresses, connect
from recountdb.projections.lists.paging import Filter, Window
from recountdb.projections.queries.history import AsOf, load_state_as_of
from recountdb.projections.rebuild import build as rebuild
from recountdb.projections.views.messages import page_messages, search_messages
from tests.support.messages import TALK, add_text
from tests.support.processes import context, recount_on, wait_until

pytestmark = pytest.mark.sql

TEXT = "grüße 🦊 'quoted' \\backslash"

SETTINGS = {
    "DateStyle": ["German", "SQL, DMY", "Postgres, MDY"],
    "client_encoding": ["LATIN1", "WIN1252", "SQL_ASCII"],
    "standard_conforming_strings": ["off"],
    "TimeZone": ["Asia/Kathmandu"],
    "IntervalStyle": ["sql_standard"],
    "bytea_output": ["escape"],
    "extra_float_digits": ["-10"],
    "default_transaction_isolation": ["serializable", "repeatable read"],
    "default_transaction_deferrable": ["on"],
    "backslash_quote": ["off"],
    "escape_string_warning": ["on"],
    "array_nulls": ["off"],
    "quote_all_identifiers": ["on"],
    "transform_null_equals": ["on"],
    "exit_on_error": ["on"],
    "gin_fuzzy_search_limit": ["1"],
    "synchronous_commit": ["off", "local"],
    "plan_cache_mode": ["force_generic_plan"],
    "enable_indexscan": ["off"],
    "jit_above_cost": ["0"],
    "row_security": ["off"],
    "statement_timeout": ["7min"],
    "lock_timeout": ["7min"],
    "idle_in_transaction_session_timeout": ["7min"],
    "idle_session_timeout": ["1s"],
}
ENVIRONMENT = {"PGCLIENTENCODING": "LATIN1", "PGDATESTYLE": "German", "PGTZ": "Asia/Kathmandu"}


def put(conninfo: str, name: str, value: str) -> None:
    """Have all new sessions of the database begin with the setting."""
    database = str(conninfo_to_dict(conninfo)["dbname"])
    alter = sql.SQL("ALTER DATABASE {} SET {} TO {}")
    with psycopg.connect(conninfo, autocommit=True) as admin:
        names = sql.Identifier(database), sql.Identifier(name)
        admin.execute(alter.format(*names, sql.SQL(value) if "," in value else sql.Literal(value)))


def use(conninfo: str) -> None:
    """Write, read, follow, rebuild and verify."""
    with recount_on(conninfo) as application:
        subscription = LogSubscription(application.log)
        seen: list[int] = []
        follower = threading.Thread(target=lambda: seen.extend(entry.id for entry in subscription))
        follower.start()
        for _ in range(7):  # often enough for statements to be prepared
            application.execute(add_text("talk", TEXT), context())
        database = application.database
        page = page_messages(database, "default", "session", "talk", Window())
        assert [message.content for message in page.items] == [TEXT] * 7
        assert page.items[0].recorded_at.tzinfo is not None
        wait_until(lambda: len(seen) == 8)
        subscription.stop()
        follower.join()
        found = search_messages(database, "default", Window(), Filter(), settled=seen[-1])
        assert len(found.items) == 7
        assert load_state_as_of(application, TALK, AsOf(version=3)).version == 3
        rebuild.fill_views(conninfo)
        with connect(conninfo) as connection:
            assert list(rebuild.find_differences(connection)) == []
            assert list(log_flaws(connection, lambda count: None)) == []
        rebuild.swap_in(conninfo)
        page = page_messages(database, "default", "session", "talk", Window())
        assert [message.content for message in page.items] == [TEXT] * 7


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in SETTINGS.items() for value in values]
)
def test_a_setting_of_the_database_makes_no_difference(conninfo: str, name: str, value: str) -> None:
    put(conninfo, name, value)
    use(conninfo)


def test_variables_of_the_environment_make_no_difference(
    conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    use(conninfo)


@pytest.mark.parametrize("server", ["15"], indirect=True)  # the embedded one lets in no other role
def test_a_setting_of_the_role_makes_no_difference(conninfo: str) -> None:
    with superuser(conninfo) as role:
        with psycopg.connect(conninfo, autocommit=True) as admin:
            for name, value in (("datestyle", "German"), ("client_encoding", "LATIN1")):
                admin.execute(
                    sql.SQL("ALTER ROLE {} SET {} TO {}").format(
                        sql.Identifier(role), sql.Identifier(name), sql.Literal(value)
                    )
                )
        use(make_conninfo(conninfo, user=role))


@contextmanager
def superuser(conninfo: str) -> Iterator[str]:
    """A role of the test's own; yields its name."""
    name = f"role_{conninfo_to_dict(conninfo)['dbname']}"
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER").format(sql.Identifier(name)))
    try:
        yield name
    finally:
        with psycopg.connect(conninfo, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(sql.Identifier(name)))


def shown(connection: psycopg.Connection[tuple[object, ...]], name: str) -> object:
    ((value,),) = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchall()
    return value


@pytest.fixture(params=[READ, APPEND], ids=["reading", "appending"])
def limited(
    conninfo: str, request: pytest.FixtureRequest
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        put(conninfo, name, "0")
    put(conninfo, "idle_session_timeout", "7min")
    put(conninfo, "synchronous_commit", "off")
    with connect(conninfo, request.param) as connection:
        yield connection


def test_limits_are_ours_whatever_a_dba_set(limited: psycopg.Connection[tuple[object, ...]]) -> None:
    assert shown(limited, "statement_timeout") == "8s"
    assert shown(limited, "idle_in_transaction_session_timeout") == "5s"
    assert shown(limited, "idle_session_timeout") == "0"


def test_what_is_acknowledged_outlives_a_crash(limited: psycopg.Connection[tuple[object, ...]]) -> None:
    assert shown(limited, "synchronous_commit") == "on"


def test_a_database_that_is_to_be_read_only_stays_so(conninfo: str) -> None:
    with recount_on(conninfo) as application:
        application.execute(add_text("talk", TEXT), context())
    put(conninfo, "default_transaction_read_only", "on")
    with recount_on(conninfo) as application:
        page = page_messages(application.database, "default", "session", "talk", Window())
        assert [message.content for message in page.items] == [TEXT]
        with pytest.raises(Unavailable, match="read-only"):
            application.execute(add_text("talk", TEXT), context())


def test_options_of_an_address_count(conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA chat")
    there = make_conninfo(conninfo, options="-csearch_path=chat -cwork_mem=5MB")
    migrate_at(Addresses(there))
    with recount_on(there) as application:
        application.execute(add_text("talk", TEXT), context())
        assert application.database.fetch("SHOW work_mem") == [("5MB",)]
    with psycopg.connect(conninfo) as admin:
        counts = "SELECT (SELECT count(*) FROM chat.messages), (SELECT count(*) FROM public.messages)"
        assert admin.execute(counts).fetchall() == [(1, 0)]
    monkeypatch.setenv("PGOPTIONS", "-csearch_path=chat")
    with recount_on(conninfo) as application:
        assert len(page_messages(application.database, "default", "session", "talk", Window()).items) == 1
