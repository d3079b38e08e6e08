"""Tests of the program as its users meet it; some look into a database of their own."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that need PostgreSQL."""
    config.pluginmanager.import_plugin("tests.support.fixtures")
