"""What every test stands on: no network, repeatable examples, files in memory.

Fixtures that need PostgreSQL are in tests/support/fixtures.py, which the folders of such tests load.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# A deadline for each example fails on a busy machine; pytest-timeout bounds each test already.
IS_BUILD_SERVER = "CI" in os.environ
hypothesis.settings.register_profile("quick", deadline=None, derandomize=IS_BUILD_SERVER, max_examples=20)
hypothesis.settings.register_profile("thorough", deadline=None, derandomize=IS_BUILD_SERVER)
hypothesis.settings.load_profile("quick")

MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 2 << 30

CLIENTS = {"langchain", "langchain_js", "langchain_redis"}
"""Fixtures that are real clients of other stores; see tests/support/clients.py."""


def pytest_configure() -> None:
    """Keep files in memory where there is room: a database for each test takes a quarter of the time then."""
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests of real clients as slow: they are installed from the internet first."""
    for item in items:
        is_named = item.path.stem.endswith("_clients")
        if is_named or CLIENTS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(autouse=True)
def _process_stays() -> Iterator[None]:
    """Undo what a program does to signals and logs: the next test runs in the same process."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    for number, handler in before.items():
        signal.signal(number, handler)


class NetworkIsShutError(RuntimeError):
    """A test reached for the network. Not an OSError, which product code would rightly retry."""


def is_local(family: int, address: Any) -> bool:
    """Return whether connecting stays on this machine. A name other than localhost counts as outside."""
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
