"""``recount rebuild`` and ``recount verify``: the views made again from the log, and both checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.cli.failures import PARTLY, tell
from api.cli.output import show_json
from api.cli.store import opened, place
from eventlog.checkpoints import last_checkpoint
from eventlog.database import Database, connect
from eventlog.verification import log_flaws
from projections import shadow
from projections.rebuild import differences, log_size, put_in_place, rebuild, roll_back

TOLD_MAX = 20  # things that are wrong; the rest is counted


def rebuild_views(data: Path | None, *, workers: int, is_rehearsal: bool, back: bool, as_json: bool) -> None:
    """Rebuild, say what was different, and put the new tables in place unless it is a rehearsal."""
    with opened(place(data)) as database, alone(database):
        if back:
            told_swap(roll_back(database.conninfo), "The views from before the last rebuild", as_json)
            return
        events, seconds = rebuilt(database, workers)
        wrong = told_all(map(str, found_differences(database)))
        rate = events / max(seconds, 0.001)
        tell(f"{events:,} events in {seconds:.1f} s ({rate:,.0f}/s); {wrong} rows differed")
        if is_rehearsal:
            with connect(database.conninfo) as connection:
                shadow.discard(connection)
            tell("This was a rehearsal: the views are as they were.")
        else:
            told_swap(put_in_place(database.conninfo), "The rebuilt views", as_json)


@contextmanager
def alone(database: Database) -> Iterator[None]:
    with connect(database.conninfo) as connection, shadow.alone(connection):
        yield


def told_swap(seconds: float, what: str, as_json: bool) -> None:
    if as_json:
        show_json({"in_use": True, "writers_waited_seconds": round(seconds, 4)})
    tell(f"{what} are in use; writers waited {seconds * 1000:.0f} ms.")
    tell("'recount rebuild --rollback' puts those before in their place again.")


def verify(data: Path | None, *, workers: int, as_json: bool) -> None:
    """Check the chains, the checkpoints and the views. Exits with PARTLY where something is wrong."""
    with opened(place(data)) as database, alone(database):
        with (
            connect(database.conninfo) as connection,
            bar(log_size(connection), "events checked") as progress,
        ):
            flaws = list(log_flaws(connection, progress))
            last = last_checkpoint(connection)
        wrong_in_log = told_all(map(str, flaws))
        rebuilt(database, workers)
        wrong_in_views = told_all(map(str, found_differences(database)))
        with connect(database.conninfo) as connection:
            shadow.discard(connection)
    if as_json:
        digest = last.digest.hex() if last else None
        position = last.position if last else 0
        show_json({"log": wrong_in_log, "views": wrong_in_views, "position": position, "digest": digest})
    elif last:
        typer.echo(f"checkpoint at position {last.position}: {last.digest.hex()}")
    if wrong_in_log or wrong_in_views:
        tell(f"{wrong_in_log} flaws in the log; {wrong_in_views} rows of the views are not as it has them.")
        raise typer.Exit(PARTLY)
    tell("The log is as it was recorded, and the views are as the log has them.")


def rebuilt(database: Database, workers: int) -> tuple[int, float]:
    """Fill the shadow tables; returns how many events there were and the seconds it took."""
    with connect(database.conninfo) as connection:
        events = log_size(connection)
    started = time.monotonic()
    with bar(events, "events folded") as progress:
        rebuild(database.conninfo, workers=workers, progress=progress)
    return events, time.monotonic() - started


def found_differences(database: Database) -> Iterator[shadow.Difference]:
    with connect(database.conninfo) as connection:
        yield from differences(connection)


def told_all(things: Iterator[str]) -> int:
    """Say the first of them; returns how many there are."""
    count = 0
    for count, thing in enumerate(things, 1):
        if count <= TOLD_MAX:
            tell(thing)
    if count > TOLD_MAX:
        tell(f"... and {count - TOLD_MAX} more")
    return count


@contextmanager
def bar(total: int, what: str) -> Iterator[Callable[[int], object]]:
    """Follow some work; with a bar where somebody watches."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda count: None
        return
    columns = BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.advance(task, count)
