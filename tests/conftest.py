"""What every test stands on: no network, repeatable examples, real PostgreSQL, programs or skips.

A test that asks for ``server`` (or anything built on it) runs on each PostgreSQL there is: the
embedded one, and version 15 where its programs are installed. RECOUNT_TEST_POSTGRES=embedded or =15
leaves the other out.
"""

import ipaddress
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.settings import Settings
from recountdb.domain.events import Context
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.views.registry import CoreViews
from tests.support.postgres import (
    POSTGRES_15,
    embedded_server,
    installed_server,
    migrated_template,
    new_database,
)

# A deadline for each example fails on a busy machine; pytest-timeout bounds each test already.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


class NeedProgram(Protocol):
    def __call__(self, name: str, *paths: str) -> Path: ...


def need_program(name: str, *paths: str) -> Path:
    """Where the program is: the first of ``paths`` that can be run, else ``name`` on PATH.

    Without it the test is skipped; under ``RECOUNT_TEST_REQUIRE_ALL=1`` it fails instead, so that
    the build server cannot grow quiet by losing a program.
    """
    for candidate in (*paths, name):
        found = shutil.which(candidate)
        if found is not None:
            return Path(found)
    reason = f"needs the program {name}, which is not installed"
    if paths:
        reason += f" (looked at {', '.join(paths)} and PATH)"
    if os.environ.get("RECOUNT_TEST_REQUIRE_ALL") == "1":
        pytest.fail(reason + "; RECOUNT_TEST_REQUIRE_ALL=1 makes that a failure", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", name="need_program")
def need_program_fixture() -> NeedProgram:
    """The function of that name, for tests; fixtures in this file call it directly."""
    return need_program


MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 2 << 30


def pytest_configure() -> None:
    """Keep files in memory where there is room: a database for each test takes a quarter of the time then."""
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


CLIENTS = {"langchain", "langchain_js", "langchain_redis"}
"""Fixtures that are real clients of other stores; see tests/support/clients.py."""


ON_BOTH = {
    *("test_archive", "test_backup", "test_database_gone", "test_first_write", "test_model", "test_order"),
    *("test_purge", "test_rebuild", "test_schema", "test_search", "test_spoken", "test_tampering"),
    "test_session_settings",
}
"""Files whose tests `make test` runs on both PostgreSQLs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes is for `make test-all`: real clients, which are installed from the internet first,
    and on a second PostgreSQL all but what is about its tables and statements.
    """
    for item in items:
        call = getattr(item, "callspec", None)
        if call is not None and call.params.get("server") == "15" and item.path.stem not in ON_BOTH:
            item.add_marker(pytest.mark.slow)
        is_named = item.path.stem.endswith("_clients")
        if is_named or CLIENTS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(600))


class NetworkIsShutError(RuntimeError):
    """A test reached for the network. Not an OSError, which product code would rightly retry."""


def is_local(family: int, address: Any) -> bool:
    """Whether connecting stays on this machine. A name other than localhost counts as outside."""
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True
    host = address[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def _network_is_shut() -> Iterator[None]:
    """Refuse connections that would leave this machine.

    Sees Python sockets only: what a C library (libpq, uvloop) connects passes by.
    """
    real_connect = socket.socket.connect
    real_connect_ex = socket.socket.connect_ex

    def refuse_outside(sock: socket.socket, address: Any) -> None:
        if not is_local(sock.family, address):
            raise NetworkIsShutError(f"a test tried to connect to {address!r}")

    def connect(self: socket.socket, address: Any) -> None:
        refuse_outside(self, address)
        real_connect(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        refuse_outside(self, address)
        return real_connect_ex(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        patch.setattr(socket.socket, "connect_ex", connect_ex)
        yield


@pytest.fixture(scope="session", params=["embedded", "15"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """A conninfo with the right to create databases."""
    wanted = os.environ.get("RECOUNT_TEST_POSTGRES", request.param)
    if wanted != request.param:
        pytest.skip(f"RECOUNT_TEST_POSTGRES={wanted}")
    if request.param == "embedded":
        with embedded_server() as conninfo:
            yield conninfo
    else:
        programs = need_program("postgres", str(POSTGRES_15 / "postgres")).parent
        with installed_server(programs) as conninfo:
            yield conninfo


@pytest.fixture(scope="session")
def template(server: str) -> Iterator[str]:
    with migrated_template(server) as name:
        yield name


@pytest.fixture
def conninfo(server: str, template: str) -> Iterator[str]:
    """A migrated, empty database of the test's own."""
    with new_database(server, template=template) as name:
        yield make_conninfo(server, dbname=name)


@pytest.fixture
def database(conninfo: str) -> Iterator[Database]:
    database = Database(conninfo)
    database.open()
    yield database
    database.close()


@pytest.fixture
def application(database: Database) -> Iterator[Recount]:
    application = Recount(database, CoreViews(database))
    yield application
    application.close()


@pytest.fixture
def context() -> Callable[..., Context]:
    """Makes the context of a command: ``context()``, or with members of it named."""

    def make(**members: Any) -> Context:
        given: dict[str, Any] = {"project": "default", "actor": "test", "at": datetime.now(UTC)}
        given |= members
        return Context(**given)

    return make


@pytest.fixture
def client(conninfo: str) -> Iterator[TestClient]:
    """A client of the whole HTTP application, in this process."""
    with TestClient(create_app(Settings(), conninfo), base_url="http://127.0.0.1") as client:
        yield client
