"""``recount export chat``: export live sessions into a file in chat format."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import typer

from recountdb.api.cli.options import Data, Project, SessionsNamed
from recountdb.api.cli.output import print_notice

STDIO = "-"

app = typer.Typer(rich_markup_mode=None)


@app.command("chat")
def export_chat(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where to; gzipped if it ends in .gz; - is standard output.")
    ] = "-",
    session: SessionsNamed = None,
    project: Project = "default",
    data: Data = None,
) -> None:
    """Export live sessions in the chat format that import reads."""
    from recountdb.api.cli.progress import show_count
    from recountdb.api.cli.store import locate_store
    from recountdb.api.services.keys import check_project
    from recountdb.api.transfer.chat_export import lines_for, sessions_to_export

    count = 0
    with locate_store(data).open_database() as database, _open_target(file) as write:
        sessions = sessions_to_export(database, check_project(project), session or [])
        for one in show_count(sessions, "sessions"):
            count += 1
            for line in lines_for(database, one):
                write(line)
    if file != STDIO:
        print_notice(f"{count:,} sessions exported to {file}")


@contextmanager
def _open_target(file: str) -> Iterator[Callable[[bytes], object]]:
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
        with part.open("wb") as target, _zip(target, path) as output:
            yield output.write
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _zip(target: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    """Yield the output, gzipped if ``path`` ends in .gz. The same content always makes the same file."""
    if path.suffix != ".gz":
        yield target
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0) as zipped:
        yield cast(BinaryIO, zipped)
