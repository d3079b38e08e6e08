"""``recount log``: the log itself, as a file; and its epochs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from recountdb.api.cli.options import AsJson, Data, Workers
from recountdb.api.cli.output import print_notice, show_json

app = typer.Typer(
    help="Export the log itself, every event unchanged, and import it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

STDIO = "-"


@app.command("export")
def export_log(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where to, gzipped; - is standard output.")
    ] = "-",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Export all events and checkpoints, as they are at one moment.

    Works beside a running server. Prints the checksum of what was exported. API keys and webhooks are not
    part of the log, and are not exported.
    """
    from recountdb.api.cli.progress import show_bar
    from recountdb.api.cli.store import locate_store
    from recountdb.domain.errors import InvalidInput
    from recountdb.eventlog.archive import export_log
    from recountdb.eventlog.postgres.database import connect
    from recountdb.projections.rebuild.build import count_log

    if file == STDIO and sys.stdout.isatty():
        raise InvalidInput("FILE", "a terminal cannot show a gzipped log: name a file, or use a pipe")
    with (
        locate_store(data).open_database() as database,
        connect(database.conninfo) as connection,
        show_bar(count_log(connection), "events exported") as progress,
        _open_target(file) as write,
    ):
        archive = export_log.export_log(connection, write, progress)
    outcome = f"exported to {file}" if file != STDIO else "exported"
    _show({**vars(archive.header), **vars(archive)}, outcome, as_json, err=file == STDIO)


@contextmanager
def _open_target(file: str) -> Iterator[Callable[[bytes], object]]:
    """Yield a function that writes lines gzipped to ``file``. A pipe or device is written, not replaced."""
    from recountdb.eventlog.archive import export_log

    if file == STDIO:
        with export_log.packed(sys.stdout.buffer) as write:
            yield write
        sys.stdout.buffer.flush()
    elif Path(file).exists() and not Path(file).is_file():
        with Path(file).open("wb") as target, export_log.packed(target) as write:
            yield write
    else:
        with export_log.written(Path(file)) as write:
            yield write


@app.command("import")
def import_log(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file that 'recount log export' wrote.")],
    workers: Workers = 1,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import an exported log into an empty store, and make the views from it.

    Positions, ids and hashes stay as they were; each is checked on the way. An import that was interrupted
    continues when it is run again with the same file; until then nothing else uses the store.
    """
    from recountdb.api.cli.claim import claim_directory
    from recountdb.api.cli.progress import show_bar
    from recountdb.api.cli.store import locate_store
    from recountdb.api.services.rebuild import build_views
    from recountdb.eventlog.archive import check, import_log, read
    from recountdb.eventlog.postgres.database import connect, translate_errors

    source = partial(read.open_archive, Path(file))
    with show_bar(read.read_header(source).events, "events read") as progress:
        archive = check.check(source, progress)
    facts = {**vars(archive.header), **vars(archive)}
    place = locate_store(data)
    with translate_errors(), ExitStack() as stack:
        database = stack.enter_context(place.open_database(begins=True, is_importing=True))
        if place.is_embedded:
            stack.enter_context(claim_directory(place.directory))
        connection = stack.enter_context(connect(database.conninfo))
        stack.enter_context(import_log.hold_import_locks(connection))
        if import_log.is_imported(connection, archive):
            _show(facts, "were imported already", as_json)
            return
        with show_bar(archive.header.events, "events imported") as progress:
            import_log.import_log(connection, source, archive, progress)
        build_views(database.conninfo, workers=workers, meter=partial(show_bar, what="events folded"))
        import_log.finish_import(connection)
    _show(facts, "imported", as_json)


def _show(archive: Mapping[str, Any], outcome: str, as_json: bool, *, err: bool = False) -> None:
    """Print the counts and the checksum. ``err``: JSON goes to standard error, for the log is the output."""
    facts = {name: archive[name] for name in ("events", "checkpoints", "settled_position")}
    checksum = archive["digest"].hex()
    if as_json:
        show_json({**facts, "sha256": checksum}, err=err)
        return
    print_notice(f"{facts['events']:,} events and {facts['checkpoints']:,} checkpoints {outcome}")
    print_notice(f"checksum {checksum}")


@app.command("new-epoch")
def new_epoch(data: Data = None) -> None:
    """Begin a new epoch of a log that was set back, so that its positions are told apart.

    Needed where a snapshot of a disk, or a copy of a directory, was put in the place of newer data: nothing
    in it shows that. Failovers, and other ways to restore, are noticed without it. Refused while a server
    runs.
    """
    from recountdb.api.cli.store import locate_store
    from recountdb.eventlog.log.epoch import begin_epoch
    from recountdb.eventlog.postgres.database import connect

    place = locate_store(data)
    with place.open_database() as database:
        place.refuse_served(database, "stop it first")
        with connect(database.conninfo) as connection:
            epoch = begin_epoch(connection).current
    shared = f"Up to position {epoch.shared_through} it is as before."
    print_notice(f"The log is in epoch {epoch.name} now. {shared}")
