"""A real server on loopback for real clients, and one in this process for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from starlette.testclient import TestClient

from recountdb.api.services.keys import create_key
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Database
from tests.support.background_server import run_server
from tests.support.http_client import open_client
from tests.support.protocol_requests import ProtocolRequest
from tests.support.representatives import mark_repeats


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that need PostgreSQL."""
    config.pluginmanager.import_plugin("tests.support.fixtures")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to ``make test-thorough`` what repeats a test for another request of the same kind."""
    mark_repeats(items, ProtocolRequest)


@pytest.fixture(scope="module")
def shared(shared_conninfo: str) -> Iterator[TestClient]:
    """A client on ``shared_conninfo``, for all tests of a file."""
    with open_client(shared_conninfo) as client:
        yield client


@pytest.fixture
def address(conninfo: str) -> Iterator[str]:
    """Of a server without keys."""
    with run_server(conninfo, Settings()) as address:
        yield address


@pytest.fixture
def key_for(database: Database) -> Callable[..., str]:
    """Makes a key of a project; from then on the server wants one of everybody."""

    def make(project: str = "default", *scopes: str) -> str:
        return create_key(database, project=project, scopes=scopes or ("read", "write"))[1]

    return make
