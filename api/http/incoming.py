"""Request bodies, read only once the caller is known, within bounds, and never for long on the event loop.

A small body is read on the event loop; a large one waits for its project's turn, and is unpacked, parsed
and validated in a thread. The limit on its members and elements bounds the time that takes.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Scope

from recountdb.api.http.turns import FairThreads, Neighbours, Turns
from recountdb.domain.exact_json import read_json

R = TypeVar("R")

LARGE_BYTES = 64 * 2**10
"""A body with more bytes than this is large."""

LARGE_AT_ONCE = 16
LARGE_EACH = 2
"""Limits on large bodies held at a time, in total and of one project, which bound the memory they take."""

BODY_SECONDS = 20
BODY_BYTES_PER_SECOND = 16 * 2**10
"""How long a body may take to arrive: BODY_SECONDS, and the time its bytes take at this rate."""

WORK_SHARE = 0.5
"""The part of the time that may go into large bodies while several projects send requests."""

USUAL_SWITCH_SECONDS = sys.getswitchinterval()
SWITCH_SECONDS = 0.0005
"""How long the event loop waits for the thread that works on a large body. Python's own 5 ms would add up:
one small request waits for it several times."""

IS_LARGE: ContextVar[bool] = ContextVar("is_large", default=False)
"""Whether the request under way has a large body."""

ENCODINGS = {"gzip", "x-gzip"}
TAKEN = {"Accept-Encoding": "gzip"}
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A string of a JSON text, also one without an end. The pattern never backtracks."""


class Intake:
    """The bounds on bodies, and the thread that works on the large ones. It lives as long as the server."""

    def __init__(self, bytes_max: int, values_max: int, neighbours: Neighbours) -> None:
        self.bytes_max = bytes_max
        self.values_max = values_max
        self.turns = Turns(LARGE_AT_ONCE, LARGE_EACH)
        # One thread is enough: Python runs one at a time anyway, and two would delay the turns of others.
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="recount-bodies")
        self._fair = FairThreads(self._threads, Turns(1, 1))
        self._neighbours = neighbours

    async def work(self, project: str, function: Callable[[], R]) -> R:
        """Call ``function`` in the thread when it is the turn of ``project``, and return its result."""
        return await self._fair.call(project, partial(self._paced, function))

    def _paced(self, function: Callable[[], R]) -> R:
        """Call ``function``; then, if several projects send requests, rest as long as it took."""
        started = time.thread_time()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            return function()
        finally:
            sys.setswitchinterval(USUAL_SWITCH_SECONDS)
            if self._neighbours.are_active:
                time.sleep((time.thread_time() - started) * (1 / WORK_SHARE - 1))

    def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def check_values(self, raw: bytes) -> None:
        """Raise HTTPException when a JSON text has too many members and elements."""
        if _values_in(raw) > self.values_max and _values_outside_strings(raw) > self.values_max:
            raise HTTPException(413, f"the body may have {self.values_max} members and elements at most")


def _values_in(raw: bytes) -> int:
    """Return at least the number of members and elements of a JSON text; no more, if it has no strings."""
    return raw.count(b",") + raw.count(b"{") + raw.count(b"[")


def _values_outside_strings(raw: bytes) -> int:
    """Return the number of members and elements, string by string, so that other threads run in between."""
    values = end = 0
    for string in STRING.finditer(raw):
        values += _values_in(raw[end : string.start()])
        end = string.end()
    return values + _values_in(raw[end:])


class BoundedRequest(Request):
    """A request whose body is read within bounds. Its maker must call ``release`` in the end."""

    def __init__(self, scope: Scope, receive: Callable[[], Any]) -> None:
        super().__init__(scope, receive)
        self._turn: str | None = None

    @property
    def _intake(self) -> Intake:
        found: Intake = self.app.state.store.intake
        return found

    @property
    def _project(self) -> str:
        """Return the project that takes turns; all unknown callers share an empty one."""
        caller = self.scope.get("caller")
        return "" if caller is None else caller.project

    def release(self) -> None:
        """End the turn, which lets the next large body in."""
        if self._turn is not None:
            self._intake.turns.give_back(self._turn)
            self._turn = None

    async def body(self) -> bytes:
        """Return the body, unpacked. Raises HTTPException."""
        if not hasattr(self, "_body"):
            encoding = self.headers.get("content-encoding", "identity").strip().lower()
            if encoding not in ENCODINGS | {"identity", ""}:
                reason = "the body's Content-Encoding is not one that is taken: send it as gzip, or as it is"
                raise HTTPException(415, reason, TAKEN)
            raw = await self._receive_whole()
            if encoding in ENCODINGS and raw:
                await self._take_turn()  # its size is known only after unpacking
                unpack = partial(_unpack, raw, self._intake.bytes_max)
                raw = await self._intake.work(self._project, unpack)
            self._body = raw
        return self._body

    async def _receive_whole(self) -> bytes:
        first = await self.receive()
        if first["type"] == "http.request" and not first.get("more_body", False):
            whole: bytes = first.get("body", b"")
            if len(whole) > LARGE_BYTES:
                await self._take_turn()
            return whole
        return await self._receive_parts(first)

    async def _receive_parts(self, message: Message) -> bytes:
        clock = asyncio.get_running_loop().time
        started = clock()
        received = bytearray()
        while True:
            if message["type"] == "http.disconnect":
                raise HTTPException(400, "the connection ended before the body did")
            received += message.get("body", b"")
            if len(received) > LARGE_BYTES and self._turn is None:
                await self._take_turn()
                started = clock()  # the sender did not cause the wait
            if not message.get("more_body", False):
                return bytes(received)
            try:
                async with asyncio.timeout_at(started + BODY_SECONDS + len(received) / BODY_BYTES_PER_SECOND):
                    message = await self.receive()
            except TimeoutError:
                reason = "the body took too long to arrive"
                raise HTTPException(408, reason, {"Connection": "close"}) from None

    async def _take_turn(self) -> None:
        IS_LARGE.set(True)
        if self._turn is None:
            project = self._project
            await self._intake.turns.take(project)
            self._turn = project

    async def apply_to_body(self, function: Callable[[bytes], R]) -> R:
        """Return ``function`` of the body, called in a thread if it is large. Raises HTTPException."""
        raw = await self.body()
        if len(raw) <= LARGE_BYTES:
            return function(raw)
        return await self._intake.work(self._project, partial(function, raw))

    async def read_as(self, model: Callable[[Any], R]) -> R:
        """Parse the body as JSON and return ``model`` of it. Raises NotJson, InvalidInput, HTTPException."""

        def read(raw: bytes) -> R:
            self._intake.check_values(raw)
            return model(read_json(raw))

        return await self.apply_to_body(read)


def _unpack(raw: bytes, bytes_max: int) -> bytes:
    """Return ``raw`` decompressed by gzip. Raises HTTPException if it is malformed or too large."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        found = unpacking.decompress(raw, bytes_max + 1)
    except zlib.error:
        raise HTTPException(400, "the body is not gzip, as its Content-Encoding says") from None
    if len(found) > bytes_max:
        raise HTTPException(413, f"the body may have {bytes_max} bytes at most, unpacked")
    if not unpacking.eof or unpacking.unused_data:
        raise HTTPException(400, "the body must be one gzip member, and nothing after it")
    return found
