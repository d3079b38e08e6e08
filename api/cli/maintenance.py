"""``recount rebuild`` and ``recount verify``: rebuild the views from the log, and check both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from recountdb.api.cli.claim import running_server
from recountdb.api.cli.failures import PARTLY, tell
from recountdb.api.cli.output import show_json
from recountdb.api.cli.store import Place, opened, place
from recountdb.domain.errors import Unavailable
from recountdb.eventlog.integrity.checkpoints import last_checkpoint
from recountdb.eventlog.integrity.verify import log_flaws
from recountdb.eventlog.log.epoch import Epoch, Epochs, load_epochs
from recountdb.eventlog.postgres.database import Connection, Database, connect
from recountdb.projections.rebuild import shadow
from recountdb.projections.rebuild.build import differences, log_size, put_in_place, rebuild, roll_back
from recountdb.projections.rebuild.progress import Findings, begin, checked_views, is_served, recorded
from recountdb.projections.rebuild.shadow import those_aside
from recountdb.projections.views.registry import BY_NAME

TOLD_MAX = 20  # differences or flaws that are printed; the rest is only counted


@dataclass(frozen=True)
class Wanted:
    """The options of ``recount rebuild``. Empty ``views`` means all views."""

    views: Sequence[str]
    workers: int = 1
    is_offline: bool = False
    is_rehearsal: bool = False
    must_agree: bool = False
    quarantine: bool = False


def rebuild_views(data: Path | None, wanted: Wanted, *, as_json: bool) -> None:
    """Rebuild, report what was different, and swap the new tables in unless it is a rehearsal.

    Exits with PARTLY where streams were set aside, and where the views must agree with the log and differ.
    """
    names = checked_views(wanted.views)
    here = place(data)
    with opened(here) as database:
        if wanted.is_offline:
            refuse_served(here, database, "stop it first, or leave out --offline")
        with _alone(database) as connection:
            number = begin(connection, names, is_rehearsal=wanted.is_rehearsal)
            with recorded(connection, number) as findings:
                holder = connection.session_pid
                result = _carried_out(database, names, wanted, findings, holder)
    if as_json:
        show_json(result)
    if result["set_aside"] or (wanted.must_agree and result["differences"]):
        raise typer.Exit(PARTLY)


def _carried_out(
    database: Database, names: Sequence[str], wanted: Wanted, findings: Findings, holder: int
) -> dict[str, Any]:
    events, seconds = rebuilt(database, wanted.workers, names, quarantine=wanted.quarantine)
    with connect(database.conninfo) as connection:
        aside = those_aside(connection)
        _told_all(aside.values())
        findings.differences = _told_all(map(str, differences(connection)))
    rate = events / max(seconds, 0.001)
    tell(f"{events:,} events in {seconds:.1f} s ({rate:,.0f}/s); {findings.differences} rows differed")
    if wanted.is_rehearsal:
        _discard(database)
        tell("This was a rehearsal: the views are as they were.")
    else:
        findings.locked_seconds = put_in_place(database.conninfo, quarantine=wanted.quarantine, holder=holder)
        _told_swap(findings.locked_seconds, "The rebuilt views")
        if aside:
            tell(f"The rows of {len(aside)} streams were kept as they were.")
    return {
        "views": names,
        "in_use": not wanted.is_rehearsal,
        "events": events,
        "differences": findings.differences,
        "set_aside": [str(stream_id) for stream_id in aside],
        "writers_waited_seconds": _rounded(findings.locked_seconds),
    }


def go_back(data: Path | None, *, as_json: bool) -> None:
    """Swap the views from before the last rebuild back in. Raises NotFound where there are none."""
    with opened(place(data)) as database, _alone(database) as connection:
        seconds = roll_back(database.conninfo, holder=connection.session_pid)
    _told_swap(seconds, "The views from before the last rebuild")
    if as_json:
        show_json({"in_use": True, "writers_waited_seconds": _rounded(seconds)})


def refuse_served(here: Place, database: Database, remedy: str) -> None:
    """Raise Unavailable where a server uses the store. ``remedy`` ends its text."""
    server = running_server(here.directory) if here.is_embedded else None
    if server is not None or is_served(database):
        where = f" at {server.address}" if server and server.address else ""
        raise Unavailable(f"a server uses the database{where}: {remedy}")


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo) as connection, shadow.alone(connection):
        yield connection


def _discard(database: Database) -> None:
    with connect(database.conninfo) as connection:
        shadow.discard(connection)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def _told_swap(seconds: float, what: str) -> None:
    tell(f"{what} are in use; writers waited {seconds * 1000:.0f} ms.")
    tell("'recount rebuild --rollback' puts those before in their place again.")


def verify(data: Path | None, *, workers: int, as_json: bool) -> None:
    """Check the hash chains, the checkpoints and the views. Exits with PARTLY where something is wrong."""
    with opened(place(data)) as database, _alone(database):
        with (
            connect(database.conninfo) as connection,
            bar(log_size(connection), "events checked") as progress,
        ):
            flaws = list(log_flaws(connection, progress))
            last = last_checkpoint(connection)
            epochs = load_epochs(connection)
        wrong_in_log = _told_all(map(str, flaws))
        try:
            wrong_in_views = _check_views(database, workers)
        finally:
            _discard(database)
    if as_json:
        digest = last.digest.hex() if last else None
        position = last.position if last else 0
        show_json(
            {
                "log": wrong_in_log,
                "views": wrong_in_views,
                "position": position,
                "digest": digest,
                "epochs": list(map(_epoch_resource, epochs.all)),
            }
        )
    else:
        _show_epochs(epochs)
        if last:
            typer.echo(f"checkpoint at position {last.position}: {last.digest.hex()}")
    if wrong_in_log or wrong_in_views:
        tell(f"{wrong_in_log} flaws in the log; {wrong_in_views} rows of the views are not as it has them.")
        raise typer.Exit(PARTLY)
    tell("The log is as it was recorded, and the views are as the log has them.")


def _check_views(database: Database, workers: int) -> int:
    """Print what is wrong with the views and return how many differences there are.

    A stream that cannot be read counts as one; the rows of all others are compared.
    """
    rebuilt(database, workers, quarantine=True)
    with connect(database.conninfo) as connection:
        return _told_all([*those_aside(connection).values(), *map(str, differences(connection))])


def _epoch_resource(epoch: Epoch) -> dict[str, Any]:
    shown = ("shared_through", "begins_after", "began_at")
    return {"epoch": epoch.name, "id": epoch.id, **{name: getattr(epoch, name) for name in shown}}


def _show_epochs(epochs: Epochs) -> None:
    """Print the epochs. The log may have lost events wherever another one began."""
    typer.echo(f"epoch {epochs.current.name}")
    for epoch in epochs.all[1:]:
        typer.echo(
            f"epoch {epoch.name} began at {epoch.began_at:%Y-%m-%d %H:%M:%S} UTC, after a failover or"
            f" restore: what had been recorded before then after position {epoch.shared_through} may be lost"
        )


def rebuilt(
    database: Database, workers: int, names: Sequence[str] = tuple(BY_NAME), *, quarantine: bool = False
) -> tuple[int, float]:
    """Fill the shadow tables. Returns the number of events and the seconds it took."""
    with connect(database.conninfo) as connection:
        events = log_size(connection)
    started = time.monotonic()
    with bar(events, "events folded") as progress:
        rebuild(database.conninfo, names, workers=workers, quarantine=quarantine, progress=progress)
    return events, time.monotonic() - started


def _told_all(things: Iterable[str]) -> int:
    """Print the first TOLD_MAX ``things`` and how many more there are. Returns the number of all."""
    count = 0
    for count, thing in enumerate(things, 1):
        if count <= TOLD_MAX:
            tell(thing)
    if count > TOLD_MAX:
        tell(f"... and {count - TOLD_MAX} more")
    return count


@contextmanager
def bar(total: int, what: str) -> Iterator[Callable[[int], object]]:
    """Yield a function that takes progress as a count; draws a bar if standard error is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda count: None
        return
    rate = TextColumn("{task.fields[rate]}")
    columns = BarColumn(), MofNCompleteColumn(), TextColumn(what), rate, TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total, rate="")
        started, done = time.monotonic(), 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            rate = done / (time.monotonic() - started)
            progress.update(task, advance=count, rate=f"{rate:,.0f}/s")

        yield advance
