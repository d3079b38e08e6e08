"""``recount import`` and ``recount export`` of conversations in chat format."""

from __future__ import annotations

import gzip
import io
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from recountdb.api.cli.failures import PARTLY, tell
from recountdb.api.cli.output import show_json
from recountdb.api.cli.store import Place, contexts, is_missing, opened, place, running
from recountdb.api.services.keys import check_project
from recountdb.api.transfer.chat_export import lines_for, sessions_to_export
from recountdb.api.transfer.chat_import import FileReport, Importer, Report
from recountdb.api.transfer.chat_lines import Line
from recountdb.api.transfer.file_shapes import NotLines, conversations_in
from recountdb.domain.errors import InvalidInput
from recountdb.domain.sessions import Session
from recountdb.domain.values import check_name
from recountdb.eventlog.postgres.clock import Clock

STDIO = "-"
SAME_REASON_MAX = 10
"""The number of lines skipped for one reason that are printed one by one; the rest is counted."""

GZIP = b"\x1f\x8b"


def import_file(
    file: str,
    *,
    data: Path | None,
    project: str,
    user_id: str | None,
    is_rehearsal: bool,
    as_json: bool,
) -> None:
    """Import a file and report. Exits with PARTLY where lines or messages were skipped."""
    with ExitStack() as stack:
        raw = stack.enter_context(_opened_source(file))
        here = place(data)
        teller = _Teller()
        options: dict[str, Any] = {
            "user_id": checked_user(user_id),
            "on_skip": teller.tell_skipped,
            "on_message_skipped": teller.tell_message_skipped,
        }
        store = target(stack, here, is_rehearsal=is_rehearsal)
        importer = Importer(contexts(project, clock_of(store)), **options, **store)
        started = time.monotonic()
        try:
            reports = importer.run(_readable(conversations_in(_unpacked(raw)), importer.report))
            size = Path(raw.name).stat().st_size if raw is not sys.stdin.buffer else None
            show_progress(reports, size, lambda report: raw.tell() if size else 0)
        except NotLines:
            raise  # there is nothing to report
        except BaseException:
            teller.end()
            _show_report(importer.report, time.monotonic() - started, is_rehearsal, as_json)
            raise
        teller.end()
        _show_report(importer.report, time.monotonic() - started, is_rehearsal, as_json)
    if importer.report.lines_skipped or importer.report.messages_skipped:
        raise typer.Exit(PARTLY)


def target(stack: ExitStack, here: Place, *, is_rehearsal: bool) -> dict[str, Any]:
    """Return the Importer's store as arguments. For a rehearsal it is only read, and may be missing."""
    if not is_rehearsal:
        database = stack.enter_context(opened(here, begins=True))
        return {"application": stack.enter_context(running(database))}
    return {} if is_missing(here) else {"database": stack.enter_context(opened(here))}


def clock_of(target: Mapping[str, Any]) -> Clock:
    """Return the clock of the store that is imported into; a rehearsal records no times."""
    application = target.get("application")
    return Clock() if application is None else application.database.clock


def checked_user(user_id: str | None) -> str | None:
    try:
        return None if user_id is None else check_name(user_id)
    except ValueError as error:
        raise InvalidInput("--user-id", str(error)) from None


class _Teller:
    """Reporter of what was skipped and why; for one reason, only the first SAME_REASON_MAX are printed."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()

    def tell_skipped(self, line: int, reason: str) -> None:
        self._tell(reason, f"line {line} skipped: {reason}")

    def tell_message_skipped(self, line: int, place: int) -> None:
        reason = "has nothing that can be taken"
        self._tell(reason, f"line {line}: message {place} skipped: {reason}")

    def _tell(self, reason: str, text: str) -> None:
        self._reasons[reason] += 1
        if self._reasons[reason] <= SAME_REASON_MAX:
            tell(text)

    def end(self) -> None:
        """Print how many more were skipped for each reason."""
        for reason, count in self._reasons.items():
            if count > SAME_REASON_MAX:
                tell(f"{count - SAME_REASON_MAX:,} more skipped: {reason}")


@contextmanager
def _opened_source(file: str) -> Iterator[BinaryIO]:
    """Yield the file as it is stored, or standard input for ``-``."""
    if file == STDIO:
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as source:
        yield source


def _unpacked(raw: BinaryIO) -> BinaryIO:
    """Return the content of ``raw``, unzipped if it begins like gzip; its name does not count."""
    peek = cast(io.BufferedReader, raw).peek
    if peek(2)[:2] != GZIP:
        return raw
    return cast(BinaryIO, gzip.GzipFile(fileobj=raw))


def _readable(lines: Iterator[Line], report: Report) -> Iterator[Line]:
    """Yield the lines up to the first damage in compressed data, which counts as one skipped line."""
    try:
        yield from lines
    except (EOFError, gzip.BadGzipFile, zlib.error):
        report.lines_skipped += 1
        tell("the compressed data are damaged: nothing was read from there on")


def show_progress(reports: Iterable[Report], total: int | None, done: Callable[[Report], int]) -> None:
    """Run the import, with a progress bar if standard error is a terminal.

    ``done`` returns how much of ``total`` is done, in the same unit; ``total`` None means it is unknown.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        for _ in reports:
            pass
        return
    rate = TextColumn("{task.fields[messages]:,} messages, {task.fields[rate]:,.0f}/s")
    with Progress(BarColumn(), rate, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=total or None, messages=0, rate=0)
        started = time.monotonic()
        for report in reports:
            elapsed = time.monotonic() - started
            rate_now = report.messages / elapsed
            progress.update(task, completed=done(report), messages=report.messages, rate=rate_now)


def _show_report(report: FileReport, seconds: float, is_rehearsal: bool, as_json: bool) -> None:
    rate = round(report.messages / seconds)
    if as_json:
        show_json(vars(report) | {"seconds": round(seconds, 3), "messages_per_second": rate})
        return
    skipped = f", {report.messages_skipped:,} skipped" if report.messages_skipped else ""
    show_counts(report, is_rehearsal, f"{skipped} ({seconds:.1f} s, {rate:,} messages/s)")
    if not report.conversations:
        tell("there is nothing to import: it is empty")
    for kind, count in sorted(report.warnings.items()):
        tell(f"{kind} ({count:,}×)")


def show_counts(report: Report, is_rehearsal: bool, ending: str) -> None:
    """Print the counts of what was read and what became of it. ``ending`` ends the line on messages."""
    verb = "would be added" if is_rehearsal else "added"
    typer.echo(
        f"conversations: {report.conversations:,} read, {report.conversations_added:,} {verb},"
        f" {report.conversations_grown:,} grown, {report.conversations_known:,} already there,"
        f" {report.lines_skipped:,} skipped"
    )
    typer.echo(
        f"messages: {report.messages:,} read, {report.messages_added:,} {verb},"
        f" {report.messages_known:,} already there{ending}"
    )


def export_file(file: str, *, data: Path | None, project: str, names: list[str]) -> None:
    """Export sessions. The count goes to standard error, unless the output is standard output."""
    count = 0
    with opened(place(data)) as database, _written(file) as write:
        for session in watched(sessions_to_export(database, check_project(project), names)):
            count += 1
            for line in lines_for(database, session):
                write(line)
    if file != STDIO:
        tell(f"{count:,} sessions exported to {file}")


def watched(sessions: Iterable[Session]) -> Iterator[Session]:
    """Yield ``sessions``, with a running count if standard error is a terminal."""
    console = Console(stderr=True)
    count = TextColumn("{task.completed:,.0f} sessions")
    shown = Progress(
        count, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    )
    with shown as progress:
        yield from progress.track(sessions)


@contextmanager
def _written(file: str) -> Iterator[Callable[[bytes], object]]:
    """Yield a function that writes lines to ``file``.

    A file appears only when it is complete, so half an export is never taken for a whole one.
    """
    if file == STDIO:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    path = Path(file)
    if path.exists() and not path.is_file():  # a pipe or device is written, not replaced
        with path.open("wb") as target:
            yield target.write
        return
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as target, _packed(target, path) as output:
            yield output.write
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _packed(target: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    """Yield the output, gzipped if ``path`` ends in .gz. The same content always makes the same file."""
    if path.suffix != ".gz":
        yield target
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0) as zipped:
        yield cast(BinaryIO, zipped)
