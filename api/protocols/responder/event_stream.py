"""Readers of event streams as the HTML standard (WHATWG, 9.2) defines them, from bytes as they arrive.

A library would do if the stream were only read; a relayed stream is passed on unchanged and read on the way.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

LINE_END = re.compile(rb"\r\n|\n|\r")


class StreamEvent(NamedTuple):
    """An event of a stream.

    ``data`` joins the data of all its lines; ``name`` is "message" unless the stream names the event.
    """

    name: str
    data: str


class LineReader:
    """Splitter of bytes into lines, which end with CR, LF or CRLF and nothing else."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_first = True

    def feed(self, part: bytes) -> Iterator[str]:
        """Yield the lines that ``part`` completes."""
        rest = self._rest + part
        if rest.endswith(b"\r"):  # may be the first half of CRLF
            rest, held = rest[:-1], b"\r"
        else:
            held = b""
        *lines, rest = LINE_END.split(rest)
        self._rest = rest + held
        for line in lines:
            yield self._decode(line)

    def end(self) -> Iterator[str]:
        """Yield the rest as a last line, unless it is empty."""
        for line in LINE_END.split(self._rest):
            if line:
                yield self._decode(line)
        self._rest = b""

    def _decode(self, line: bytes) -> str:
        if self._is_first:
            line = line.removeprefix(codecs.BOM_UTF8)
            self._is_first = False
        return line.decode(errors="replace")


class EventReader:
    """Parser that assembles lines into events."""

    def __init__(self) -> None:
        self._lines = LineReader()
        self._name = ""
        self._data: list[str] = []

    def feed(self, part: bytes) -> Iterator[StreamEvent]:
        """Yield the events that ``part`` completes."""
        for line in self._lines.feed(part):
            yield from self._take(line)

    def end(self) -> Iterator[StreamEvent]:
        """Yield the event that the stream ended within; the standard drops it, which would lose text."""
        for line in self._lines.end():
            yield from self._take(line)
        yield from self._take("")

    def _take(self, line: str) -> Iterator[StreamEvent]:
        if not line:
            if self._data:
                yield StreamEvent(self._name or "message", "\n".join(self._data))
            self._name, self._data = "", []
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
