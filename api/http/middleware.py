"""Middleware that every request passes through, as plain ASGI: request ids, limits, exact paths, metrics.

It handles the ASGI messages themselves, for it is on the way of every request; a wrapper for each
request and response would cost more than the routes do.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from urllib.parse import unquote_to_bytes

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from recountdb.api.http.metrics import Metrics, template
from recountdb.api.http.problems import Problem
from recountdb.api.services.read_audit import ReadRecorder

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")

BODILESS = {"GET", "HEAD"}

LENGTH_DIGITS_MAX = 18
"""The most digits of a Content-Length. With more, it is too large without being parsed."""

SLASH_IN_SEGMENT = "\x1f"
"""The stand-in for a slash within one path segment (%2F) until the route has been found.

No name may contain a control character, so it is unambiguous.
"""

IN_NO_NAME = "\x1e"
"""The stand-in for a character that no name may contain, so that no name matches."""


class Edge:
    """Middleware that gives each request an id, refuses bodies that are too large, and counts the answers."""

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, body_bytes_max: int, reads: ReadRecorder | None = None
    ) -> None:
        self.app = app
        self._metrics = metrics
        self._reads = reads
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = str(uuid7()).encode()
        scope["request_id"] = request_id.decode()
        started = time.perf_counter()
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._reads is not None and scope["method"] == "GET":
                    self._note_read(self._reads, scope, status)
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        try:
            await self._pass_on(scope, receive, answer, headers)
        except asyncio.CancelledError:
            # Only the server cancels a whole request, as it ends; it would log a traceback for each.
            logger.info("a request was ended: the server ends")
        finally:
            self._metrics.observe(scope, status, time.perf_counter() - started)

    def _note_read(self, reads: ReadRecorder, scope: Scope, status: int) -> None:
        """Note a read of a known caller; nobody else is shown anything."""
        caller = scope.get("caller")
        if caller is not None:
            values = scope.get("path_params", {}).items()
            reads.note(
                project=caller.project,
                actor=caller.actor,
                request_id=scope["request_id"],
                method=scope["method"],
                route=template(scope),
                parameters={name: str(value).replace(SLASH_IN_SEGMENT, "/") for name, value in values},
                status=status,
            )

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes]) -> None:
        """Pass on the request. Too large a body is refused where it is read, in the route's protocol."""
        length = headers.get(b"content-length")
        # The server lets no more arrive than Content-Length says, and nobody reads the body of a GET:
        # streams only wait there for the caller to hang up.
        is_told = length is not None and not self._is_too_large(length)
        if is_told or scope["method"] in BODILESS:
            await self.app(scope, receive, send)
            return
        limit = self._body_bytes_max
        received = 0

        async def counted() -> Message:
            nonlocal received
            if length is None:
                message = await receive()
                received += len(message.get("body", b""))
                if received <= limit:
                    return message
            raise HTTPException(413, f"the body may have {limit} bytes at most")

        await self.app(scope, counted, send)

    def _is_too_large(self, length: bytes) -> bool:
        return length.isdigit() and (len(length) > LENGTH_DIGITS_MAX or int(length) > self._body_bytes_max)


KEY_IN_PATH = re.compile(rb"/key/([^/]+)(/.*)", re.DOTALL)


class KeyInPath:
    """Middleware that takes an API key from the path, ``/key/<key>/…``, for clients that can send none."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            found = KEY_IN_PATH.fullmatch(scope.get("raw_path") or b"")
            if found is not None:
                key, raw_path = found.groups()
                headers = [header for header in scope["headers"] if header[0] != b"authorization"]
                scope["headers"] = [*headers, (b"authorization", b"Bearer " + unquote_to_bytes(key))]
                scope["raw_path"] = raw_path
                scope["path"] = unquote_to_bytes(raw_path).decode("utf-8", "replace")
        await self.app(scope, receive, send)


class ExactPaths:
    """Middleware that keeps an encoded slash within its segment, and refuses addresses that are not UTF-8."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                _read_exactly(scope)
            except UnicodeDecodeError:
                problem = Problem(400, "malformed", "Bad address", "the address is not UTF-8")
                await problem(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _read_exactly(scope: Scope) -> None:
    """Parse the path again, segment by segment. Raises UnicodeDecodeError, also for the query."""
    raw_path = scope.get("raw_path") or b""
    if b"%" in raw_path:
        scope["path"] = "/".join(map(_segment, raw_path.split(b"/")))
    if b"%" in scope["query_string"]:
        unquote_to_bytes(scope["query_string"]).decode("utf-8")


def _segment(raw: bytes) -> str:
    text = unquote_to_bytes(raw).decode("utf-8")
    # A stand-in that a caller sends would turn into a slash, and PostgreSQL takes no NUL.
    for character in (SLASH_IN_SEGMENT, "\x00"):
        text = text.replace(character, IN_NO_NAME)
    return text.replace("/", SLASH_IN_SEGMENT)
