"""Progress on standard error, for people who watch; nothing is drawn where it is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn

T = TypeVar("T")


@contextmanager
def show_bar(total: int, what: str) -> Iterator[Callable[[int], object]]:
    """Draw a bar, and yield a function that takes how many of ``total`` were done since the last call."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda count: None
        return
    rate = TextColumn("{task.fields[rate]}")
    columns = BarColumn(), MofNCompleteColumn(), TextColumn(what), rate, TimeLeftColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total, rate="")
        started, done = time.monotonic(), 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            rate = done / (time.monotonic() - started)
            progress.update(task, advance=count, rate=f"{rate:,.0f}/s")

        yield advance


def show_count(items: Iterable[T], what: str) -> Iterator[T]:
    """Yield ``items``, and draw how many they are so far."""
    console = Console(stderr=True)
    count = TextColumn(f"{{task.completed:,.0f}} {what}")
    with Progress(
        count, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield from progress.track(items)


def show_message_rate(counts: Iterable[tuple[int, int]], total: int | None) -> None:
    """Iterate over ``counts``, and draw them: how much of ``total`` is done, and how many messages were read.

    ``total`` None means that it is unknown.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        for _ in counts:
            pass
        return
    rate = TextColumn("{task.fields[messages]:,} messages, {task.fields[rate]:,.0f}/s")
    with Progress(BarColumn(), rate, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=total or None, messages=0, rate=0)
        started = time.monotonic()
        for done, messages in counts:
            rate_now = messages / (time.monotonic() - started)
            progress.update(task, completed=done, messages=messages, rate=rate_now)
