"""How commands print: tables for people, JSON lines for scripts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import typer

PIPE_WIDTH = 100_000
CELL_LENGTH_MAX = 300
NOTICES_MAX = 20

# Escape sequences and marks of text direction: stored text must not control the terminal.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def print_notice(text: str) -> None:
    """Print to standard error a text that is not the command's output."""
    typer.echo(text, err=True)


def print_notices(texts: Iterable[str], at_most: int = NOTICES_MAX) -> None:
    """Print the first ``at_most`` notices, and how many more there are."""
    count = 0
    for count, text in enumerate(texts, 1):
        if count <= at_most:
            print_notice(text)
    if count > at_most:
        print_notice(f"... and {count - at_most} more")


def show_all_json(items: Iterable[Any]) -> None:
    for item in items:
        show_json(item)


def show_json(item: Any, *, err: bool = False) -> None:
    """Print ``item`` as one line of JSON."""
    from pydantic_core import to_json

    typer.echo(to_json(item) + b"\n", nl=False, err=err)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table as wide as the terminal. Into a pipe, each row is one line of any width."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=not console.is_terminal)
    for row in rows:
        table.add_row(*(Text(_cell_text(value, is_pipe=not console.is_terminal)) for value in row))
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        typer.echo(line.rstrip())


def _cell_text(value: Any, *, is_pipe: bool) -> str:
    text = shown(value)
    return " ".join(text.split()) if is_pipe else text


def shown(value: Any) -> str:
    """Return a value as text for people. None is empty; control characters are replaced."""
    match value:
        case None:
            return ""
        case str():
            return STEERING.sub("\N{REPLACEMENT CHARACTER}", value)
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case dict() | list() | tuple():
            from pydantic_core import to_json

            return shown(to_json(value).decode())
        case _:
            return str(value)


def shortened(value: Any) -> str:
    """Return a value as text for people, cut off after CELL_LENGTH_MAX characters."""
    text = shown(value)
    return text if len(text) <= CELL_LENGTH_MAX else f"{text[:CELL_LENGTH_MAX]}…"
