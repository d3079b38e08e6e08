"""``recount import chat``: import conversations from a file in chat format."""

from __future__ import annotations

import gzip
import io
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, TypeVar, cast

import typer

from recountdb.api.cli.failures import PARTLY
from recountdb.api.cli.options import AsJson, Data, DryRun, Project, UserId
from recountdb.api.cli.output import print_notice

STDIO = "-"
GZIP = b"\x1f\x8b"
SAME_REASON_MAX = 10
"""The number of lines skipped for one reason that are printed one by one; the rest is counted."""

T = TypeVar("T")

app = typer.Typer(rich_markup_mode=None)


@app.command("chat")
def import_chat(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON lines, also gzipped; - is standard input.")
    ],
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import conversations in chat format, each as a session.

    One JSON object a line: {"id", "metadata", "messages": [{"role", "content", …}]}. What is there already is
    passed over, so a file may be imported again when it has grown, or when the import was interrupted. Lines
    that cannot be taken are skipped and reported by number; then the exit code is 1.
    """
    from recountdb.api.cli.arguments import parse_user_id
    from recountdb.api.cli.imports import ImportOptions, open_target, show_file_report
    from recountdb.api.cli.progress import show_message_rate
    from recountdb.api.transfer.chat_import import Importer
    from recountdb.api.transfer.file_shapes import NotLines, conversations_in

    options = ImportOptions(data, project, user_id, dry_run, as_json)
    skipped = _SkippedLines()
    with _open_source(file) as raw, open_target(options) as target:
        importer = Importer(
            target.make_context,
            user_id=parse_user_id(user_id, "--user-id"),
            on_skip=skipped.report_line,
            on_message_skipped=skipped.report_message,
            **target.arguments,
        )
        report = importer.report

        def lose_rest() -> None:
            report.lines_skipped += 1
            print_notice("the compressed data are damaged: nothing was read from there on")

        size = None if file == STDIO else Path(file).stat().st_size
        started = time.monotonic()
        try:
            reports = importer.run(_until_damage(conversations_in(_unzip(raw)), lose_rest))
            show_message_rate(((raw.tell() if size else 0, one.messages) for one in reports), size)
        except NotLines:
            raise  # there is nothing to report
        except BaseException:
            skipped.report_rest()
            show_file_report(report, time.monotonic() - started, options)
            raise
        skipped.report_rest()
        show_file_report(report, time.monotonic() - started, options)
    if report.lines_skipped or report.messages_skipped:
        raise typer.Exit(PARTLY)


class _SkippedLines:
    """Reporter of what was skipped and why; for one reason, only the first SAME_REASON_MAX are printed."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()

    def report_line(self, line: int, reason: str) -> None:
        self._report(reason, f"line {line} skipped: {reason}")

    def report_message(self, line: int, place: int) -> None:
        reason = "has nothing that can be taken"
        self._report(reason, f"line {line}: message {place} skipped: {reason}")

    def _report(self, reason: str, text: str) -> None:
        self._reasons[reason] += 1
        if self._reasons[reason] <= SAME_REASON_MAX:
            print_notice(text)

    def report_rest(self) -> None:
        """Print how many more were skipped for each reason."""
        for reason, count in self._reasons.items():
            if count > SAME_REASON_MAX:
                print_notice(f"{count - SAME_REASON_MAX:,} more skipped: {reason}")


@contextmanager
def _open_source(file: str) -> Iterator[BinaryIO]:
    """Yield the file as it is stored, or standard input for ``-``."""
    if file == STDIO:
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as source:
        yield source


def _unzip(raw: BinaryIO) -> BinaryIO:
    """Return the content of ``raw``, unzipped if it begins like gzip; its name does not count."""
    peek = cast(io.BufferedReader, raw).peek
    if peek(2)[:2] != GZIP:
        return raw
    return cast(BinaryIO, gzip.GzipFile(fileobj=raw))


def _until_damage(lines: Iterator[T], lose_rest: Callable[[], None]) -> Iterator[T]:
    """Yield the lines up to the first damage in compressed data, and report that the rest is lost."""
    try:
        yield from lines
    except (EOFError, gzip.BadGzipFile, zlib.error):
        lose_rest()
