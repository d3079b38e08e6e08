"""PostgreSQL servers for the tests: real, private, and ended by whoever started them."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from recountdb.api.runtime import migrate_database
from recountdb.eventlog.postgres.database import connect
from recountdb.eventlog.postgres.embedded import EmbeddedPostgres

# What a crash could lose is made anew by the next test anyway.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "256MB"}


@contextmanager
def embedded_server() -> Iterator[str]:
    """The PostgreSQL that Recount brings along, in a directory of its own; yields a conninfo."""
    with tempfile.TemporaryDirectory(prefix="recount-test-") as directory:
        postgres = EmbeddedPostgres(Path(directory) / "data", settings=FAST)
        try:
            yield postgres.start()
        finally:
            postgres.stop()


@contextmanager
def installed_server(programs: Path) -> Iterator[str]:
    """A server of the PostgreSQL programs in ``programs``, reached by its socket only."""
    directory = Path(tempfile.mkdtemp(prefix="recount-test-"))
    as_other: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses root
        account = pwd.getpwnam("nobody")
        shutil.chown(directory, account.pw_uid, account.pw_gid)
        as_other = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    data = directory / "data"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    options = ["-U", "recount", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(
        [programs / "initdb", "-D", data, *options], check=True, cwd=directory, **quiet, **as_other
    )
    settings = {**FAST, "listen_addresses": "", "unix_socket_directories": str(directory)}
    flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
    server = subprocess.Popen([programs / "postgres", "-D", data, *flags], cwd=directory, **quiet, **as_other)
    try:
        conninfo = make_conninfo(host=str(directory), user="recount", dbname="postgres")
        wait_for(conninfo, server)
        yield conninfo
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(directory, ignore_errors=True)


def wait_for(conninfo: str, server: subprocess.Popen[bytes], *, timeout_seconds: float = 30) -> None:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            psycopg.connect(conninfo).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextmanager
def new_database(server: str, *, template: str | None = None) -> Iterator[str]:
    """A database of its own on ``server``, dropped at the end; yields its name."""
    name = f"recount_test_{uuid4().hex}"
    copy = sql.SQL(" TEMPLATE {} STRATEGY file_copy")
    clone = copy.format(sql.Identifier(template)) if template else sql.SQL("")
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)) + clone)
    try:
        yield name
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def migrated_template(server: str) -> Iterator[str]:
    """A database with the current schema and nothing in it, to be cloned; yields its name."""
    with new_database(server) as name:
        with connect(make_conninfo(server, dbname=name)) as connection:
            migrate_database(connection)
        yield name
