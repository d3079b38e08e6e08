"""Fixtures of tests that need PostgreSQL: a server, a database of the test's own, the application on it.

A pytest plugin that the conftest.py of each folder of such tests loads. Unit tests do without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from recountdb.domain.events import Context
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.views.registry import CoreViews
from tests.support.http_client import open_client
from tests.support.postgres import embedded_server, installed_server, migrated_template, new_database
from tests.support.programs import need_postgres_15

_CHOSEN = os.environ.get("RECOUNT_TEST_POSTGRES")
SERVERS = [_CHOSEN] if _CHOSEN else ["embedded", "15"]


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """Start a PostgreSQL; yield a conninfo with the right to create databases."""
    if request.param == "embedded":
        with embedded_server() as conninfo:
            yield conninfo
    else:
        with installed_server(need_postgres_15()) as conninfo:
            yield conninfo


@pytest.fixture(scope="session")
def template(server: str) -> Iterator[str]:
    """Yield the name of a migrated, empty database, to be cloned."""
    with migrated_template(server) as name:
        yield name


@pytest.fixture
def conninfo(server: str, template: str) -> Iterator[str]:
    """Yield the conninfo of a migrated, empty database of the test's own."""
    with new_database(server, template=template) as name:
        yield make_conninfo(server, dbname=name)


@pytest.fixture(scope="module")
def shared_conninfo(server: str, template: str) -> Iterator[str]:
    """Yield the conninfo of one database for all tests of a file, each under names of its own."""
    with new_database(server, template=template) as name:
        yield make_conninfo(server, dbname=name)


@pytest.fixture
def database(conninfo: str) -> Iterator[Database]:
    """Yield an open connection pool on ``conninfo``."""
    database = Database(conninfo)
    database.open()
    yield database
    database.close()


@pytest.fixture
def application(database: Database) -> Iterator[Recount]:
    """Yield the application on ``database``, without HTTP."""
    application = Recount(database, CoreViews(database))
    yield application
    application.close()


@pytest.fixture
def context() -> Callable[..., Context]:
    """Return a function that makes the context of a command: ``context()``, or with members named."""

    def make(**members: Any) -> Context:
        given: dict[str, Any] = {"project": "default", "actor": "test", "at": datetime.now(UTC)}
        return Context(**given | members)

    return make


@pytest.fixture
def client(conninfo: str) -> Iterator[TestClient]:
    """Yield a client of the whole HTTP application, in this process; a server error fails the test."""
    with open_client(conninfo) as client:
        yield client


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave a second PostgreSQL to ``make test-thorough`` (tests marked ``sql``) and ``make test-all``."""
    if _CHOSEN:
        return
    for item in items:
        call = getattr(item, "callspec", None)
        if call is not None and call.params.get("server") == "15":
            item.add_marker("thorough" if item.get_closest_marker("sql") else "slow")
