"""The server: uvicorn on a socket that is listened on already, in one process or several."""

from __future__ import annotations

import errno
import logging.config
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess

from recountdb.api.app import NotServable, create_lasting_app, refuse_open_server
from recountdb.api.http.server_protocol import KEEP_ALIVE_SECONDS, BoundedProtocol
from recountdb.api.logs import configuration
from recountdb.api.runtime import migrate_at, open_database
from recountdb.api.services.first_key import use_first_key
from recountdb.api.services.keys import KeyRing
from recountdb.api.settings import Settings
from recountdb.api.settings.environment import PREFIX
from recountdb.domain.errors import Unavailable
from recountdb.eventlog.postgres.database import Addresses, connect
from recountdb.projections.rebuild.progress import find_outdated_views

logger = logging.getLogger(__name__)

# Until tasks are cancelled; their connections are closed before (see api.http.server_protocol).
GRACE_SECONDS = 7
WORKER_SILENCE_SECONDS_MAX = 10
WAITING_CONNECTIONS_MAX = 2048


@dataclass(frozen=True)
class Server:
    """Everything the server needs once PostgreSQL runs: its addresses, and the socket to listen on."""

    settings: Settings
    addresses: Addresses
    listener: socket.socket


def configure_logs(settings: Settings) -> None:
    """Log to standard error as the settings say."""
    logging.config.dictConfig(_logging_of(settings))


def prepare_store(settings: Settings, addresses: Addresses) -> None:
    """Migrate the store, and warn of outdated views, before anything listens.

    Raises SchemaMismatch, and NotServable where others could use the server without API keys.
    """
    migrate_at(addresses)
    database = open_database(addresses, connections_max=settings.connections_max)
    try:
        use_first_key(settings, database)
        refuse_open_server(settings, KeyRing(database))
    finally:
        database.close()
    with connect(addresses.direct) as connection:
        if views := " ".join(find_outdated_views(connection)):
            logger.warning(
                "views made by another version: run 'recount rebuild %s' (beside the server)", views
            )


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that accepts connections. Port 0 picks a free one. Raises NotServable."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        listener = socket.create_server(address[:2], family=family, backlog=WAITING_CONNECTIONS_MAX)
    except OSError as error:
        raise NotServable(_explain_refusal(error, host, port)) from error
    with listener:
        yield listener


def server_address(listener: socket.socket) -> str:
    """Return the address to reach a server at that listens there."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_server(server: Server) -> None:
    """Serve until a signal ends it; some raise KeyboardInterrupt. Raises Unavailable if it cannot start."""
    is_started = _serve_alone(server) if server.settings.workers == 1 else _serve_together(server)
    if not is_started:
        raise Unavailable("the server could not start: the log above says why")


def _serve_alone(server: Server) -> bool:
    app = create_lasting_app(server.settings, server.addresses)
    try:
        uvicorn.Server(_uvicorn_config(server, app)).run(sockets=[server.listener])
    except SystemExit:
        return False
    return True


def _serve_together(server: Server) -> bool:
    with _worker_environment(server):
        config = _uvicorn_config(server, "recountdb.api.app:from_environment", factory=True)
        hang_up = signal.getsignal(signal.SIGHUP)
        supervisor = _Supervisor(config, sockets=[server.listener])
        signal.signal(signal.SIGHUP, hang_up)  # a closed terminal must not restart the workers
        supervisor.run()
    return all(worker.exitcode != STARTUP_FAILURE for worker in supervisor.processes)


class _Supervisor(Multiprocess):
    """Supervisor whose server processes ignore Ctrl-C, which would break into their start.

    It ends them itself.
    """

    def init_processes(self) -> None:
        with _deaf_to_ctrl_c():
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        with _deaf_to_ctrl_c():
            super().keep_subprocess_alive()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Block SIGINT within the context, and for good in processes that are started in it."""
    resource_tracker.ensure_running()  # started later, it would unblock the signal again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _uvicorn_config(server: Server, app: Any, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        log_config=_logging_of(server.settings),
        workers=server.settings.workers,
        backlog=WAITING_CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=WORKER_SILENCE_SECONDS_MAX,
        **more,
    )


def _logging_of(settings: Settings) -> dict[str, Any]:
    return configuration(settings.log_level, quotes=settings.debug)


@contextmanager
def _worker_environment(server: Server) -> Iterator[None]:
    """Set the environment that api.app.from_environment reads in the server processes."""
    with tempfile.TemporaryDirectory(prefix="recount-metrics-") as directory:
        os.environ |= {
            f"{PREFIX}DATABASE_URL": server.addresses.primary,
            f"{PREFIX}DATABASE_DIRECT_URL": server.addresses.direct,
            f"{PREFIX}HOST": server.settings.host,
            f"{PREFIX}WORKERS": str(server.settings.workers),
            f"{PREFIX}ROOT_PATH": server.settings.root_path,
            f"{PREFIX}PROTOCOLS": ",".join(server.settings.protocols) or "none",
            "PROMETHEUS_MULTIPROC_DIR": directory,
        }
        yield


def _explain_refusal(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} of {host} is in use: choose another with --port, or 0 for any that is free"
        case errno.EACCES:
            return f"this user may not listen on port {port}: choose one above 1023 with --port"
        case _:
            return f"{host} is no address of this machine that can be listened on: choose another with --host"
