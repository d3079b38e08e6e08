"""PgBouncer for the tests: the real program, ended by whoever started it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.processes import PATIENCE_SECONDS


@contextmanager
def pooler(program: Path, server: str, mode: str, **settings: str | int) -> Iterator[str]:
    """A pooler before ``server``, which has a socket; yields where to connect, without a database."""
    directory = Path(tempfile.mkdtemp(prefix="recount-pooler-"))
    as_other: dict[str, Any] = {}
    if os.geteuid() == 0:  # PgBouncer refuses root
        account = pwd.getpwnam("nobody")
        shutil.chown(directory, account.pw_uid, account.pw_gid)
        as_other = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    port = free_port()
    place = conninfo_to_dict(server)
    file = directory / "pgbouncer.ini"
    given = {"pool_mode": mode, "auth_type": "any", "listen_addr": "127.0.0.1", "listen_port": port}
    given |= {"unix_socket_dir": "", "logfile": directory / "log", "server_idle_timeout": 60} | settings
    lines = [f"* = host={place['host']} user={place['user']}", "[pgbouncer]"]
    lines += [f"{name} = {value}" for name, value in given.items()]
    file.write_text("\n".join(["[databases]", *lines, ""]))
    file.chmod(0o644)
    process = subprocess.Popen(
        [program, file], cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_other
    )
    try:
        address = make_conninfo(host="127.0.0.1", port=port, user=str(place["user"]))
        wait_until_listening(port, process)
        yield address
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
        shutil.rmtree(directory, ignore_errors=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert process.poll() is None, "PgBouncer did not start"
            assert time.monotonic() < deadline
            time.sleep(0.02)


@contextmanager
def in_transactions(address: str, count: int) -> Iterator[None]:
    """Have that many others of the pooler's clients be in a transaction, so as many sessions are taken."""
    connections = [psycopg.connect(address) for _ in range(count)]
    try:
        for connection in connections:
            connection.execute("SELECT 1")
        yield
    finally:
        for connection in connections:
            connection.close()
