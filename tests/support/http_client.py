"""The HTTP application in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.settings import Settings


@contextmanager
def open_client(conninfo: str, **settings: Any) -> Iterator[TestClient]:
    """Yield a client of the application with these settings; a server error fails the test."""
    with TestClient(create_app(Settings(**settings), conninfo), base_url="http://127.0.0.1") as client:
        yield client
