"""A server in a thread of this process, for clients that need a real socket."""

from __future__ import annotations

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
