"""Tools of all benchmarks: a throw-away database, an application on it, readable tables.

The database is an embedded PostgreSQL in a temporary directory (set TMPDIR to choose its disk), or, when
RECOUNT_DATABASE_URL names a server, a new database there. Either is removed at the end, also after Ctrl-C.
"""

from __future__ import annotations

import os
import platform
import random
import secrets
import signal
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import typer
from psycopg import sql
from psycopg.conninfo import make_conninfo
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from uuid_utils.compat import uuid7

from recountdb import eventlog, projections
from recountdb.domain.events import Context
from recountdb.domain.messages import Message
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database, connect
from recountdb.eventlog.postgres.embedded import EmbeddedPostgres
from recountdb.eventlog.postgres.schema import migrate, migrations_of
from recountdb.projections.views.registry import CoreViews

PROJECT = "default"
LETTERS = "etaoinshrdlu     "

console = Console(width=None if Console().is_terminal else 110)


def run(main: Callable[..., None]) -> None:
    """Run a benchmark as a program. It cleans up at SIGTERM and SIGHUP as it does at Ctrl-C."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    typer.run(main)


@contextmanager
def scratch_database() -> Iterator[str]:
    """Yield the conninfo of a migrated database that exists during the block."""
    url = os.environ.get("RECOUNT_DATABASE_URL")
    with _database_on(url) if url else _embedded_database() as conninfo:
        with connect(conninfo) as connection:
            migrate(connection, migrations_of(eventlog) + migrations_of(projections))
        yield conninfo


@contextmanager
def _embedded_database() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="recount-bench-") as directory:
        postgres = EmbeddedPostgres(Path(directory))
        try:
            yield postgres.start()
        finally:
            postgres.stop()


@contextmanager
def _database_on(url: str) -> Iterator[str]:
    """Yield the conninfo of a new database on the server that ``url`` names; others there stay untouched."""
    name = f"recount_bench_{secrets.token_hex(6)}"
    with connect(url) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield make_conninfo(url, dbname=name)
    finally:
        with connect(url) as connection:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


@contextmanager
def application_on(conninfo: str) -> Iterator[Recount]:
    """Yield an application as a service opens it, with nothing loaded yet."""
    database = Database(conninfo)
    database.open()
    application = Recount(database, CoreViews(database))
    try:
        yield application
    finally:
        application.close()
        database.close()


def context() -> Context:
    return Context(PROJECT, "bench", datetime.now(UTC))


def message(content: str) -> Message:
    return Message(id=uuid7(), role="user", content=content)


def texts(seed: int, count: int = 1000) -> list[str]:
    """Return texts as long as people's messages, 30 to 300 characters; the same for the same ``seed``."""
    chance = random.Random(seed)
    return ["".join(chance.choices(LETTERS, k=chance.randint(30, 300))) for _ in range(count)]


def server_setting(conninfo: str, name: str) -> str:
    with connect(conninfo) as connection:
        ((value,),) = connection.execute("SELECT current_setting(%s)", (name,)).fetchall()
    return str(value)


def print_conditions(conninfo: str) -> None:
    """Print the conditions of a measurement, and a warning when commits do not wait for the disk."""
    names = ("server_version", "fsync", "synchronous_commit")
    version, fsync, commit = (server_setting(conninfo, name) for name in names)
    console.print(
        f"PostgreSQL {version.split()[0]}, fsync {fsync}, synchronous_commit {commit};"
        f" Python {platform.python_version()}, {os.cpu_count()} cores",
        style="dim",
    )
    if "off" in (fsync, commit):
        console.print("Commits do not wait for the disk: the figures do not count.", style="red")


@contextmanager
def progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """Show a bar for ``total`` steps; yield a function that takes the current task and the steps done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    is_hidden = not console.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=is_hidden) as bar:
        task = bar.add_task("starting", total=total)
        yield lambda doing, steps: bar.update(task, description=doing, advance=steps)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def reached(is_reached: bool) -> str:
    return "[green]reached[/]" if is_reached else "[red]not reached[/]"


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def rows_of(conninfo: str, query: LiteralString) -> list[tuple[Any, ...]]:
    with connect(conninfo) as connection:
        return connection.execute(query).fetchall()
