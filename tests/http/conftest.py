"""What the tests of the HTTP API share: conversations of either kind, a clock, a look at the log."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from starlette.testclient import TestClient

from recountdb.api.http.store import Store
from tests.support.hostile import SECRET
from tests.support.http_client import open_client
from tests.support.representatives import mark_repeats
from tests.support.routes import Route
from tests.support.talk import Talk


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that need PostgreSQL."""
    config.pluginmanager.import_plugin("tests.support.fixtures")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to ``make test-thorough`` what repeats a test for another route of the same kind."""
    mark_repeats(items, Route)


@pytest.fixture(scope="session", autouse=True)
def _nobody_knows_names() -> Iterator[None]:
    """Webhooks of these tests lead nowhere: no name but this machine's own is looked up."""
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *others: Any, **more: Any) -> Any:
        if isinstance(host, str) and host.endswith((".example", ".org")):
            raise socket.gaierror("a test looked up a name")
        return look_up(host, *others, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@pytest.fixture(params=["sessions", "threads"])
def talk(request: pytest.FixtureRequest, shared: TestClient) -> Talk:
    """A conversation that has not begun, of either kind."""
    return Talk(shared, f"/v1/{request.param}/{uuid4()}")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests a minute apart from noon on, so that no test hangs on how fast it runs."""
    moment = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def ask(store: Store) -> datetime:
        nonlocal moment
        moment += timedelta(minutes=1)
        return moment

    monkeypatch.setattr(Store, "now", ask)


@pytest.fixture(scope="module")
def shared(shared_conninfo: str) -> Iterator[TestClient]:
    """A client on ``shared_conninfo``, for all tests of a file."""
    with open_client(shared_conninfo, webhooks_max=100_000) as client:  # each test makes some
        yield client


@pytest.fixture
def recorded(shared_conninfo: str) -> Callable[[], int]:
    """Counts the events there are in ``shared_conninfo``."""

    def count() -> int:
        with psycopg.connect(shared_conninfo) as connection:
            row = connection.execute("SELECT count(*) FROM stored_events").fetchone()
        assert row is not None
        return int(row[0])

    return count


@pytest.fixture
def nothing_recorded(recorded: Callable[[], int], request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test if ``shared_conninfo`` has another event after it."""
    if "place" in request.fixturenames:
        request.getfixturevalue("place")
    before = recorded()
    yield
    assert recorded() == before


@pytest.fixture
def nothing_told(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails the test if the product logs what people said."""
    caplog.set_level(logging.DEBUG)
    yield
    for when in ("setup", "call"):
        for record in caplog.get_records(when):
            if not record.name.startswith("http"):  # the test's own client
                assert SECRET not in caplog.handler.format(record)
