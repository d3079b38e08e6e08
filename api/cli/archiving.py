"""``recount log export`` and ``recount log import``: the log itself, as a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import typer
from pydantic_core import to_json

from recountdb.api.cli.claim import claimed
from recountdb.api.cli.failures import tell
from recountdb.api.cli.maintenance import bar, rebuilt, refuse_served
from recountdb.api.cli.store import opened, place
from recountdb.domain.errors import InvalidInput
from recountdb.eventlog.archive import check as checking
from recountdb.eventlog.archive import export_log as exporting
from recountdb.eventlog.archive import import_log as importing
from recountdb.eventlog.archive import read as reading
from recountdb.eventlog.archive.lines import Archive
from recountdb.eventlog.archive.read import Source
from recountdb.eventlog.log.epoch import begin_epoch
from recountdb.eventlog.postgres.database import Database, connect, told
from recountdb.projections.rebuild import shadow
from recountdb.projections.rebuild.build import log_size, put_in_place

STDIO = "-"


def export_file(file: str, data: Path | None, *, as_json: bool) -> None:
    """Export the log and report the counts, on standard error where the output is the log itself.

    Raises InvalidInput where that output would go to a terminal.
    """
    if file == STDIO and sys.stdout.isatty():
        raise InvalidInput("FILE", "a terminal cannot show a gzipped log: name a file, or use a pipe")
    with (
        opened(place(data)) as database,
        connect(database.conninfo) as connection,
        bar(log_size(connection), "events exported") as progress,
        _written(file) as write,
    ):
        archive = exporting.export_log(connection, write, progress)
    _show(archive, f"exported to {file}" if file != STDIO else "exported", as_json, err=file == STDIO)


@contextmanager
def _written(file: str) -> Iterator[Callable[[bytes], object]]:
    """Yield a function that writes lines gzipped to ``file``. A pipe or device is written, not replaced."""
    if file == STDIO:
        with exporting.packed(sys.stdout.buffer) as write:
            yield write
        sys.stdout.buffer.flush()
    elif Path(file).exists() and not Path(file).is_file():
        with Path(file).open("wb") as target, exporting.packed(target) as write:
            yield write
    else:
        with exporting.written(Path(file)) as write:
            yield write


def import_file(file: str, data: Path | None, *, workers: int, as_json: bool) -> None:
    """Import the log, or the rest of an interrupted import, and build the views. Raises ArchiveRefused."""
    source = partial(reading.opened, Path(file))
    archive = _checked(source)
    here = place(data)
    with told(), ExitStack() as stack:
        database = stack.enter_context(opened(here, begins=True, is_importing=True))
        if here.is_embedded:
            stack.enter_context(claimed(here.directory))
        connection = stack.enter_context(connect(database.conninfo))
        stack.enter_context(importing.alone(connection))
        if importing.is_imported(connection, archive):
            _show(archive, "were imported already", as_json)
            return
        with bar(archive.header.events, "events imported") as progress:
            importing.import_log(connection, source, archive, progress)
        make_views(database, workers)
        importing.finish(connection)
    _show(archive, "imported", as_json)


def begin_new_epoch(data: Path | None) -> None:
    """Begin a new epoch of the log. Raises Unavailable where a server uses the store or it is a standby."""
    here = place(data)
    with opened(here) as database:
        refuse_served(here, database, "stop it first")
        with connect(database.conninfo) as connection:
            epoch = begin_epoch(connection).current
    tell(f"The log is in epoch {epoch.name} now. Up to position {epoch.shared_through} it is as before.")


def _checked(source: Source) -> Archive:
    with bar(reading.header_of(source).events, "events read") as progress:
        return checking.check(source, progress)


def make_views(database: Database, workers: int) -> None:
    """Build the views from the whole log. The tables they replace are empty and are not kept."""
    with connect(database.conninfo) as connection, shadow.alone(connection):
        shadow.discard(connection)  # of a rebuild of another log, or of an import that was interrupted
        rebuilt(database, workers)
        put_in_place(database.conninfo, holder=connection.session_pid)
        shadow.forget_previous(connection)


def _show(archive: Archive, verb: str, as_json: bool, *, err: bool = False) -> None:
    facts: dict[str, Any] = {
        "events": archive.header.events,
        "checkpoints": archive.checkpoints,
        "settled_position": archive.header.settled_position,
        "sha256": archive.digest.hex(),
    }
    if as_json:
        typer.echo(to_json(facts), err=err)
        return
    tell(f"{facts['events']:,} events and {facts['checkpoints']:,} checkpoints {verb}")
    tell(f"checksum {facts['sha256']}")
