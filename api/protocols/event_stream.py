"""Reads event streams as the HTML standard (WHATWG, 9.2) says, from bytes as they come.

A library would do where nothing else is wanted of the stream; what is relayed goes on as it came, and is
read on the way.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

LINE_END = re.compile(rb"\r\n|\n|\r")


class Event(NamedTuple):
    """``data`` is that of all its lines, joined; ``name`` is "message" unless the stream names it."""

    name: str
    data: str


class Lines:
    """Cuts bytes into lines, which end with CR, LF or CRLF and nothing else."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_first = True

    def feed(self, part: bytes) -> Iterator[str]:
        """Yield the lines that ``part`` completes."""
        rest = self._rest + part
        if rest.endswith(b"\r"):  # perhaps the first half of an end
            rest, held = rest[:-1], b"\r"
        else:
            held = b""
        *lines, rest = LINE_END.split(rest)
        self._rest = rest + held
        for line in lines:
            yield self._decode(line)

    def end(self) -> Iterator[str]:
        """Yield what is left, if anything is."""
        for line in LINE_END.split(self._rest):
            if line:
                yield self._decode(line)
        self._rest = b""

    def _decode(self, line: bytes) -> str:
        if self._is_first:
            line = line.removeprefix(codecs.BOM_UTF8)
            self._is_first = False
        return line.decode(errors="replace")


class Events:
    """Puts lines together to events."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._name = ""
        self._data: list[str] = []

    def feed(self, part: bytes) -> Iterator[Event]:
        """Yield the events that ``part`` completes."""
        for line in self._lines.feed(part):
            yield from self._take(line)

    def end(self) -> Iterator[Event]:
        """Yield an event that nothing came after: the standard drops it, and words would be lost."""
        for line in self._lines.end():
            yield from self._take(line)
        yield from self._take("")

    def _take(self, line: str) -> Iterator[Event]:
        if not line:
            if self._data:
                yield Event(self._name or "message", "\n".join(self._data))
            self._name, self._data = "", []
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
