"""``recount serve``: start the server, from an empty directory if need be, and run it to its end."""

from __future__ import annotations

import errno
import logging.config
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import typer
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess

from recountdb.api.app import NotServable, create_lasting_app, refuse_open_server
from recountdb.api.cli.claim import claimed
from recountdb.api.cli.store import Place, connected, place
from recountdb.api.http.server_protocol import KEEP_ALIVE_SECONDS, BoundedProtocol
from recountdb.api.logs import configuration
from recountdb.api.runtime import migrate_at, open_database
from recountdb.api.services.first_key import use_first_key
from recountdb.api.services.keys import KeyRing
from recountdb.api.settings import Settings
from recountdb.api.settings.environment import PREFIX
from recountdb.domain.errors import Unavailable
from recountdb.eventlog.postgres.database import Addresses, connect
from recountdb.projections.rebuild.progress import outdated_views

logger = logging.getLogger(__name__)

# Until tasks are cancelled; their connections are closed before (see api.http.server_protocol).
GRACE_SECONDS = 7
WORKER_SILENCE_SECONDS_MAX = 10
WAITING_CONNECTIONS_MAX = 2048


@dataclass(frozen=True)
class _Running:
    """Everything the server needs once PostgreSQL runs: its addresses, and the socket to listen on."""

    settings: Settings
    addresses: Addresses
    listener: socket.socket


def serve(data: Path | None, **given: object) -> None:
    """Serve until a signal ends it. Raises NotServable, DirectoryIsServed, Unavailable, SchemaMismatch."""
    here = place(data, **given)
    logging.config.dictConfig(_logs(here.settings))
    with ExitStack() as stack:
        addresses = stack.enter_context(connected(here, kept_running=True))
        announce = stack.enter_context(claimed(here.directory)) if here.is_embedded else None
        migrate_at(addresses)
        _refuse_strangers(here.settings, addresses)
        _warn_of_outdated_views(addresses)
        listener = stack.enter_context(listening(here.settings.host, here.settings.port))
        address = address_of(listener)
        if announce is not None:
            announce(address)
        with suppress(KeyboardInterrupt):  # the usual end of a server, not a failure
            _greet(here, addresses, address)
            _run(_Running(here.settings, addresses, listener))


def _refuse_strangers(settings: Settings, addresses: Addresses) -> None:
    """Raise NotServable, before anything listens, where others could use a server without API keys."""
    database = open_database(addresses, connections_max=settings.connections_max)
    try:
        use_first_key(settings, database)
        refuse_open_server(settings, KeyRing(database))
    finally:
        database.close()


def _warn_of_outdated_views(addresses: Addresses) -> None:
    with connect(addresses.direct) as connection:
        if views := " ".join(outdated_views(connection)):
            logger.warning(
                "views made by another version: run 'recount rebuild %s' (beside the server)", views
            )


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that accepts connections. Port 0 picks a free one. Raises NotServable."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        listener = socket.create_server(address[:2], family=family, backlog=WAITING_CONNECTIONS_MAX)
    except OSError as error:
        raise NotServable(_refusal(error, host, port)) from error
    with listener:
        yield listener


def _refusal(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} of {host} is in use: choose another with --port, or 0 for any that is free"
        case errno.EACCES:
            return f"this user may not listen on port {port}: choose one above 1023 with --port"
        case _:
            return f"{host} is no address of this machine that can be listened on: choose another with --host"


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _greet(here: Place, addresses: Addresses, address: str) -> None:
    """Print where everything is and what to try next."""
    where = f"{here.directory} (embedded PostgreSQL)" if here.is_embedded else _named_server(addresses)
    typer.echo(f"""\
Recount {version("recountdb")}
  data      {where}
  address   {address}
  API docs  {address}/docs

Add a first message from another terminal, then read it back:
  curl {address}/v1/sessions/hello/messages -H 'Content-Type: application/json' \\
    -d '{{"messages": [{{"role": "user", "content": "One chai latte, please."}}]}}'
  curl {address}/v1/sessions/hello/messages

Once there are API keys, add: -H 'Authorization: Bearer KEY'. Ctrl-C stops the server.
""")


def _named_server(addresses: Addresses) -> str:
    """Return the description of a PostgreSQL server of the user's own, without its password."""
    with connect(addresses.direct) as connection:
        info = connection.info
        return f"database {info.dbname} of PostgreSQL at {info.host}:{info.port}, as {info.user}"


def _run(running: _Running) -> None:
    """Serve until a signal ends it; some raise KeyboardInterrupt. Raises Unavailable if it cannot start."""
    is_started = _serve_alone(running) if running.settings.workers == 1 else _serve_together(running)
    if not is_started:
        raise Unavailable("the server could not start: the log above says why")


def _serve_alone(running: _Running) -> bool:
    server = uvicorn.Server(_uvicorn_config(running, create_lasting_app(running.settings, running.addresses)))
    try:
        server.run(sockets=[running.listener])
    except SystemExit:
        return False
    return True


def _serve_together(running: _Running) -> bool:
    with _worker_environment(running):
        config = _uvicorn_config(running, "recountdb.api.app:from_environment", factory=True)
        hang_up = signal.getsignal(signal.SIGHUP)
        supervisor = _Supervisor(config, sockets=[running.listener])
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


def _uvicorn_config(running: _Running, app: Any, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        log_config=_logs(running.settings),
        workers=running.settings.workers,
        backlog=WAITING_CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=WORKER_SILENCE_SECONDS_MAX,
        **more,
    )


def _logs(settings: Settings) -> dict[str, Any]:
    return configuration(settings.log_level, quotes=settings.debug)


@contextmanager
def _worker_environment(running: _Running) -> Iterator[None]:
    """Set the environment that api.app.from_environment reads in the server processes."""
    with tempfile.TemporaryDirectory(prefix="recount-metrics-") as directory:
        os.environ |= {
            f"{PREFIX}DATABASE_URL": running.addresses.primary,
            f"{PREFIX}DATABASE_DIRECT_URL": running.addresses.direct,
            f"{PREFIX}HOST": running.settings.host,
            f"{PREFIX}WORKERS": str(running.settings.workers),
            f"{PREFIX}ROOT_PATH": running.settings.root_path,
            f"{PREFIX}PROTOCOLS": ",".join(running.settings.protocols) or "none",
            "PROMETHEUS_MULTIPROC_DIR": directory,
        }
        yield
