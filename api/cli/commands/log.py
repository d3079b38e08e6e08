"""``recount log``: the log itself, as a file."""

from __future__ import annotations

from typing import Annotated

import typer

from recountdb.api.cli.commands.options import AsJson, Data, Workers

app = typer.Typer(
    help="Export the log itself, every event unchanged, and import it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("export")
def export_log(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where to, gzipped; - is standard output.")
    ] = "-",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Export all events and checkpoints, as they are at one moment.

    Works beside a running server. Prints the checksum of what was exported. API keys and webhooks are not of
    the log, and not in it.
    """
    from recountdb.api.cli import archiving

    archiving.export_file(file, data, as_json=as_json)


@app.command("import")
def import_log(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What 'recount log export' wrote.")],
    workers: Workers = 1,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import an exported log into an empty store, and make the views from it.

    Positions, ids and hashes stay as they were; each is checked on the way. An import that was interrupted
    goes on when it is run again with the same file; until then nothing else uses the store.
    """
    from recountdb.api.cli import archiving

    archiving.import_file(file, data, workers=workers, as_json=as_json)


@app.command("new-epoch")
def new_epoch(data: Data = None) -> None:
    """Say that the log was set back, and let its positions belong to another epoch.

    For a snapshot of a disk, or a copy of a directory, that was put in the place of newer data: nothing in it
    shows that. Failovers, and other ways to restore, are noticed without it. Refused while a server runs.
    """
    from recountdb.api.cli import archiving

    archiving.begin_new_epoch(data)
