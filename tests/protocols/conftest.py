"""A real server on loopback for real clients, and one in this process for everything else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.services.keys import create_key
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Database
from tests.support.protocol_requests import ProtocolRequest
from tests.support.representatives import mark_repeats


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that need PostgreSQL."""
    config.pluginmanager.import_plugin("tests.support.fixtures")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to ``make test-thorough`` what repeats a test for another request of the same kind."""
    mark_repeats(items, ProtocolRequest)


START_SECONDS_MAX = 30


@pytest.fixture(scope="module")
def shared(shared_conninfo: str) -> Iterator[TestClient]:
    """A client on ``shared_conninfo``, for all tests of a file."""
    with TestClient(create_app(Settings(), shared_conninfo), base_url="http://127.0.0.1") as client:
        yield client


@contextmanager
def served(conninfo: str, settings: Settings) -> Iterator[str]:
    """The whole application behind a socket; yields its address."""
    config = uvicorn.Config(
        create_app(settings, conninfo), host="127.0.0.1", port=0, log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS_MAX
    while not server.started:
        assert thread.is_alive(), "the server ended as it started"
        assert time.monotonic() < deadline, "the server does not start"
        time.sleep(0.01)
    try:
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(START_SECONDS_MAX)


@pytest.fixture
def address(conninfo: str) -> Iterator[str]:
    """Of a server without keys."""
    with served(conninfo, Settings()) as address:
        yield address


@pytest.fixture
def key_for(database: Database) -> Callable[..., str]:
    """Makes a key of a project; from then on the server wants one of everybody."""

    def make(project: str = "default", *scopes: str) -> str:
        return create_key(database, project=project, scopes=scopes or ("read", "write"))[1]

    return make
