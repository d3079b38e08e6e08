"""``recount rebuild``: make the views again from the log."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from recountdb.api.cli.failures import PARTLY
from recountdb.api.cli.options import AsJson, Data, Workers
from recountdb.api.cli.output import print_notice, print_notices, show_json

app = typer.Typer(rich_markup_mode=None)


@app.command()
def rebuild(
    views: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VIEW]...",
            help="names, sessions, threads, users, functions, states, messages, requests. Default: all.",
        ),
    ] = None,
    workers: Workers = 1,
    offline: Annotated[
        bool, typer.Option("--offline", help="Refuse to run while a server is connected.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only report what would be different; change nothing.")
    ] = False,
    verify_only: Annotated[
        bool, typer.Option("--verify-only", help="As --dry-run; exit code 1 if anything is different.")
    ] = False,
    quarantine: Annotated[
        bool,
        typer.Option(
            "--quarantine",
            help="Skip streams that cannot be read, keep their rows, and continue; exit code 1 if any.",
        ),
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to the tables from before the last rebuild.")
    ] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make the views again from the log, beside those in use, and swap them in.

    The server may go on all the while. A rebuild that was stopped continues where it was.
    """
    if rollback:
        _roll_back(data, as_json=as_json)
        return
    is_dry_run = dry_run or verify_only
    result = _rebuild(
        data, views or (), workers=workers, offline=offline, is_dry_run=is_dry_run, quarantine=quarantine
    )
    if as_json:
        show_json(result)
    if result["set_aside"] or (verify_only and result["differences"]):
        raise typer.Exit(PARTLY)


def _rebuild(
    data: Path | None,
    views: Sequence[str],
    *,
    workers: int,
    offline: bool,
    is_dry_run: bool,
    quarantine: bool,
) -> dict[str, Any]:
    """Rebuild the views, print what was different, and return the result as it is printed as JSON."""
    from recountdb.api.cli.progress import show_bar
    from recountdb.api.cli.store import locate_store
    from recountdb.api.services.rebuild import RebuildOptions, RebuildReport, rebuild_views
    from recountdb.projections.rebuild.progress import check_view_names

    def print_comparison(report: RebuildReport) -> None:
        print_notices(report.quarantined.values())
        print_notices(report.differences)
        rate = report.events / max(report.seconds, 0.001)
        done = f"{report.events:,} events in {report.seconds:.1f} s ({rate:,.0f}/s)"
        print_notice(f"{done}; {len(report.differences)} rows differed")

    names = check_view_names(views)
    place = locate_store(data)
    with place.open_database() as database:
        if offline:
            place.refuse_served(database, "stop it first, or leave out --offline")
        report = rebuild_views(
            database.conninfo,
            RebuildOptions(names, workers, is_dry_run=is_dry_run, quarantine=quarantine),
            meter=partial(show_bar, what="events folded"),
            on_compared=print_comparison,
        )
    if report.locked_seconds is None:
        print_notice("This was a dry run: the views are as they were.")
    else:
        _print_swap("The rebuilt views", report.locked_seconds)
        if report.quarantined:
            print_notice(f"The rows of {len(report.quarantined)} streams were kept as they were.")
    return {
        "views": names,
        "in_use": report.locked_seconds is not None,
        "events": report.events,
        "differences": len(report.differences),
        "set_aside": [str(stream_id) for stream_id in report.quarantined],
        "writers_waited_seconds": _round(report.locked_seconds),
    }


def _roll_back(data: Path | None, *, as_json: bool) -> None:
    """Swap the views from before the last rebuild back in. Raises NotFound where there are none."""
    from recountdb.api.cli.store import locate_store
    from recountdb.api.services.rebuild import roll_back_views

    with locate_store(data).open_database() as database:
        seconds = roll_back_views(database.conninfo)
    _print_swap("The views from before the last rebuild", seconds)
    if as_json:
        show_json({"in_use": True, "writers_waited_seconds": _round(seconds)})


def _print_swap(what: str, seconds: float) -> None:
    print_notice(f"{what} are in use; writers waited {seconds * 1000:.0f} ms.")
    print_notice("To go back to the earlier ones: recount rebuild --rollback")


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
