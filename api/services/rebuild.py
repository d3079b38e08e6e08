"""Rebuilds of the views: the one order of their steps, for the command line, imports and servers.

A server runs a rebuild in a process of its own (BackgroundRebuild), so that its requests need not wait.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from uuid import UUID

from recountdb.domain.errors import RecountError
from recountdb.eventlog.postgres.database import Connection, connect
from recountdb.projections.rebuild import shadow
from recountdb.projections.rebuild.build import (
    Progress,
    count_log,
    exit_with_parent,
    fill_views,
    find_differences,
    roll_back_rebuild,
    swap_in,
)
from recountdb.projections.rebuild.progress import record_outcome, record_start
from recountdb.projections.views.registry import BY_NAME

logger = logging.getLogger(__name__)

Meter = Callable[[int], AbstractContextManager[Progress]]
"""A function that takes how many events there are and shows progress: it yields a callback for it."""


@dataclass(frozen=True)
class RebuildOptions:
    """Options of a rebuild. ``quarantine``: skip streams that cannot be read, and keep their rows."""

    views: Sequence[str] = tuple(BY_NAME)
    workers: int = 1
    is_dry_run: bool = False
    quarantine: bool = False


@dataclass
class RebuildReport:
    """Outcome of a rebuild. ``locked_seconds``: how long writers waited; None while nothing is swapped in.

    ``seconds``: how long folding took. ``quarantined``: the streams that could not be read, with the reason.
    """

    events: int
    seconds: float
    differences: Sequence[str]
    quarantined: Mapping[UUID, str]
    locked_seconds: float | None = None


def _show_nothing(events: int) -> AbstractContextManager[Progress]:
    return nullcontext(lambda count: None)


def _ignore_report(report: RebuildReport) -> None:
    pass


def rebuild_views(
    conninfo: str,
    options: RebuildOptions,
    *,
    meter: Meter = _show_nothing,
    on_compared: Callable[[RebuildReport], object] = _ignore_report,
) -> RebuildReport:
    """Rebuild views beside those in use, compare, and swap the new ones in unless it is a dry run.

    ``on_compared`` is called before the swap. Raises RebuildUnderWay, RecordUnreadable, Unavailable.
    """
    with hold_rebuild_lock(conninfo) as connection:
        number = record_start(connection, options.views, is_rehearsal=options.is_dry_run)
        holder = connection.session_pid
        return _run_rebuild(conninfo, number, options, holder, meter=meter, on_compared=on_compared)


def _run_rebuild(
    conninfo: str,
    number: int,
    options: RebuildOptions,
    holder: int,
    *,
    meter: Meter = _show_nothing,
    on_compared: Callable[[RebuildReport], object] = _ignore_report,
) -> RebuildReport:
    """Run rebuild ``number`` and record its outcome, while session ``holder`` holds the lock."""
    with connect(conninfo) as connection, record_outcome(connection, number) as findings:
        events, seconds = _fold_log(conninfo, options, meter)
        report = _compare(connection, events, seconds)
        findings.differences = len(report.differences)
        on_compared(report)
        if options.is_dry_run:
            shadow.drop_shadow(connection)
        else:
            report.locked_seconds = swap_in(conninfo, quarantine=options.quarantine, holder=holder)
            findings.locked_seconds = report.locked_seconds
        return report


def check_views(conninfo: str, *, workers: int, meter: Meter = _show_nothing) -> RebuildReport:
    """Compare the views in use with the log, and change nothing. Hold the lock of rebuilds meanwhile.

    Streams that cannot be read are quarantined, and the rows of all others compared.
    """
    with connect(conninfo) as connection:
        try:
            events, seconds = _fold_log(conninfo, RebuildOptions(workers=workers, quarantine=True), meter)
            return _compare(connection, events, seconds)
        finally:
            shadow.drop_shadow(connection)


def build_views(conninfo: str, *, workers: int, meter: Meter = _show_nothing) -> None:
    """Build the views of an imported log. The tables they replace are empty and are not kept."""
    with hold_rebuild_lock(conninfo) as connection:
        shadow.drop_shadow(connection)  # of a rebuild of another log, or of an import that was interrupted
        _fold_log(conninfo, RebuildOptions(workers=workers), meter)
        swap_in(conninfo, holder=connection.session_pid)
        shadow.drop_previous(connection)


def roll_back_views(conninfo: str) -> float:
    """Swap the views from before the last rebuild back in, and return for how many seconds writers waited.

    Raises NotFound where there are none, RebuildUnderWay.
    """
    with hold_rebuild_lock(conninfo) as connection:
        return roll_back_rebuild(conninfo, holder=connection.session_pid)


@contextmanager
def hold_rebuild_lock(conninfo: str) -> Iterator[Connection]:
    """Hold the lock of rebuilds, and yield the connection that holds it. Raises RebuildUnderWay."""
    with connect(conninfo) as connection, shadow.hold_rebuild_lock(connection):
        yield connection


def _fold_log(conninfo: str, options: RebuildOptions, meter: Meter) -> tuple[int, float]:
    """Fill the shadow tables from the log. Return the number of events and the seconds it took."""
    with connect(conninfo) as connection:
        events = count_log(connection)
    started = time.monotonic()
    with meter(events) as progress:
        fill_views(
            conninfo,
            options.views,
            workers=options.workers,
            quarantine=options.quarantine,
            progress=progress,
        )
    return events, time.monotonic() - started


def _compare(connection: Connection, events: int, seconds: float) -> RebuildReport:
    differing = [str(difference) for difference in find_differences(connection)]
    return RebuildReport(events, seconds, differing, shadow.load_quarantine(connection))


class BackgroundRebuild:
    """Starter of rebuilds in a server. One runs at a time, no matter which server or command started it.

    The outcome is in the database, where any server can read it. A rebuild ends with this server; the
    next rebuild of the same views continues where it stopped.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._process: BaseProcess | None = None
        self._watching: threading.Thread | None = None

    def start(self, options: RebuildOptions) -> None:
        """Start a rebuild, and return as soon as it is recorded as begun. Raises RebuildUnderWay."""
        with ExitStack() as stack:
            connection = stack.enter_context(hold_rebuild_lock(self._conninfo))
            number = record_start(connection, options.views, is_rehearsal=options.is_dry_run)
            # If the server folded events itself, its requests would wait.
            self._process = multiprocessing.get_context("spawn").Process(
                target=_work, args=(self._conninfo, number, options, connection.session_pid), daemon=True
            )
            self._process.start()
            held = stack.pop_all()  # the lock is held until the process has ended
        self._watching = threading.Thread(target=_watch, args=(self._process, held), name="recount-rebuild")
        self._watching.start()

    def stop(self) -> None:
        """End a rebuild that this server started, if one is under way."""
        if self._process is not None and self._watching is not None:
            self._process.terminate()
            self._watching.join()


def _watch(process: BaseProcess, held: ExitStack) -> None:
    process.join()
    try:
        held.close()
    except Exception as error:  # the connection broke, which released the lock
        logger.warning("the lock of a rebuild was lost (%s)", type(error).__name__)


def _work(conninfo: str, number: int, options: RebuildOptions, holder: int) -> None:
    """Run a rebuild in the process that was started for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when this process ends
    exit_with_parent()
    try:
        _run_rebuild(conninfo, number, options, holder)
    except RecountError as error:
        logger.error("a rebuild failed: %s", error)
    except Exception as error:
        logger.error("a rebuild failed (%s)", type(error).__name__)
