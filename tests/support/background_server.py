"""A server in a thread of this process, for clients that need a real socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from recountdb.api.app import create_app
from recountdb.api.settings import Settings

START_SECONDS_MAX = 30


@contextmanager
def run_server(conninfo: str, settings: Settings) -> Iterator[str]:
    """Run the whole application behind a socket; yield its address."""
    with start_server(conninfo, settings) as (_, address):
        yield address


@contextmanager
def start_server(conninfo: str, settings: Settings) -> Iterator[tuple[uvicorn.Server, str]]:
    """Run the whole application behind a socket; yield the server and its address."""
    config = uvicorn.Config(
        create_app(settings, conninfo), log_config=None, access_log=False, timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + START_SECONDS_MAX
        while not server.started:
            assert thread.is_alive(), "the server ended as it started"
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.01)
        try:
            yield server, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(START_SECONDS_MAX)
