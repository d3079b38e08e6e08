"""A real server on loopback, for the Python client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recountdb.api.settings import Settings
from tests.support.background_server import run_server


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that need PostgreSQL."""
    config.pluginmanager.import_plugin("tests.support.fixtures")


@pytest.fixture(scope="module")
def shared_address(shared_conninfo: str) -> Iterator[str]:
    """Run one server for the tests of a file, which use names of their own; yield its address."""
    with run_server(shared_conninfo, Settings()) as address:
        yield address
