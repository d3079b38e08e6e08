"""``recount verify``: check the log, and the views against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import typer

from recountdb.api.cli.failures import PARTLY
from recountdb.api.cli.options import AsJson, Data, Workers
from recountdb.api.cli.output import print_notice, print_notices, show_json

app = typer.Typer(rich_markup_mode=None)


@app.command()
def verify(workers: Workers = 1, as_json: AsJson = False, data: Data = None) -> None:
    """Check that the log is what was recorded, and that the views are what follows from it.

    Prints the digest of the last checkpoint: kept elsewhere, it shows later what the log was now.
    """
    found = _check_store(data, workers)
    if as_json:
        show_json(found)
    else:
        _show_epochs(found["epochs"])
        if found["digest"] is not None:
            typer.echo(f"checkpoint at position {found['position']}: {found['digest']}")
    if found["log"] or found["views"]:
        flaws = f"{found['log']} flaws in the log"
        print_notice(f"{flaws}; {found['views']} rows of the views differ from the log.")
        raise typer.Exit(PARTLY)
    print_notice("The log is as it was recorded, and the views are as the log has them.")


def _check_store(data: Path | None, workers: int) -> dict[str, Any]:
    """Check the hash chains, the checkpoints and the views. Print what is wrong, and return the counts."""
    from recountdb.api.cli.progress import show_bar
    from recountdb.api.cli.store import locate_store
    from recountdb.api.services.rebuild import check_views, hold_rebuild_lock
    from recountdb.eventlog.integrity.checkpoints import last_checkpoint
    from recountdb.eventlog.integrity.verify import log_flaws
    from recountdb.eventlog.log.epoch import load_epochs
    from recountdb.eventlog.postgres.database import connect
    from recountdb.projections.rebuild.build import count_log

    with locate_store(data).open_database() as database, hold_rebuild_lock(database.conninfo):
        with connect(database.conninfo) as connection:
            with show_bar(count_log(connection), "events checked") as progress:
                flaws = list(log_flaws(connection, progress))
            last = last_checkpoint(connection)
            epochs = load_epochs(connection)
        print_notices(map(str, flaws))
        meter = partial(show_bar, what="events folded")
        report = check_views(database.conninfo, workers=workers, meter=meter)
    # A stream that cannot be read counts as one difference; the rows of all others are compared.
    differing = [*report.quarantined.values(), *report.differences]
    print_notices(differing)
    members = ("shared_through", "begins_after", "began_at")
    return {
        "log": len(flaws),
        "views": len(differing),
        "position": last.position if last else 0,
        "digest": last.digest.hex() if last else None,
        "epochs": [
            {"epoch": one.name, "id": one.id, **{name: getattr(one, name) for name in members}}
            for one in epochs.all
        ],
    }


def _show_epochs(epochs: Sequence[Mapping[str, Any]]) -> None:
    """Print the epochs, the present one first. The log may have lost events wherever another one began."""
    typer.echo(f"epoch {epochs[-1]['epoch']}")
    for epoch in epochs[1:]:
        typer.echo(
            f"epoch {epoch['epoch']} began at {epoch['began_at']:%Y-%m-%d %H:%M:%S} UTC, after a failover or"
            f" restore: what had been recorded before then after position {epoch['shared_through']} may be"
            " lost"
        )
