"""HTTP/1.1 of uvicorn with bounds on heads, on waiting and on connections.

uvicorn with httptools bounds none of them. A request that is refused here never reached a route, so the
answer has the error shape of the native API.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from http import HTTPStatus
from typing import Any, ClassVar

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

logger = logging.getLogger(__name__)

HEAD_BYTES_MAX = 64 * 2**10
HEADER_FIELDS_MAX = 100
URL_BYTES_MAX = 16 * 2**10
HEAD_SECONDS = 10
"""How long a connection may take to begin, and to send a request's head."""

KEEP_ALIVE_SECONDS = 65
"""How long a connection may wait for another request: longer than the 60 s for which proxies keep theirs."""

LINGER_SECONDS = 10
"""How long the rest of a body may take to arrive after the request was answered."""

LINGER_PACE_SECONDS = 0.03
"""The pause between two reads of such rests, for all connections together: nobody needs those bytes."""

END_SECONDS = 4
"""How long requests that are under way may go on once the server was told to end."""

DESCRIPTORS_KEPT = 96
"""Descriptors kept free of callers, for the database, webhooks, responders and logs."""


def connections_max() -> int:
    """Return how many callers may be connected, given the files that the system lets this process open."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if allowed == resource.RLIM_INFINITY else max(allowed - DESCRIPTORS_KEPT, allowed // 2)


class _HeadRefused(Exception):
    """The head of a request is too large."""

    def __init__(self, status: int, slug: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.slug = slug
        self.reason = reason


FIELDS_REFUSED = (431, "headers-too-large", f"a request may have {HEADER_FIELDS_MAX} header fields at most")
HEAD_REFUSED = (431, "headers-too-large", f"the head of a request may have {HEAD_BYTES_MAX} bytes at most")
URL_REFUSED = (414, "address-too-long", f"an address may have {URL_BYTES_MAX} bytes at most")
NOT_HTTP = (400, "malformed", "this is not HTTP/1.1")
TOO_MANY = (503, "unavailable", "too many connections are open")


def refusal(status: int, slug: str, reason: str) -> bytes:
    """Return a complete response, after which the connection ends."""
    title = HTTPStatus(status).phrase
    problem = {"type": f"urn:recount:problem:{slug}", "title": title, "status": status, "detail": reason}
    body = to_json(problem)
    head = [
        f"HTTP/1.1 {status} {title}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        "connection: close",
        *(["retry-after: 1"] if status == 503 else []),
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


class BoundedProtocol(HttpToolsProtocol):
    """A connection that can hold up nothing but itself, and not for ever."""

    # The connections of a process share these; it has one server.
    connections_max = connections_max()
    idle: ClassVar[dict[BoundedProtocol, None]] = {}
    """The connections that wait for a request, the longest wait first."""
    ending: ClassVar[set[BoundedProtocol]] = set()
    """The connections with a request under way when the server was told to end."""
    lingering: ClassVar[dict[BoundedProtocol, None]] = {}
    """The connections that were answered and wait for the rest of the body to be read, in turn."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_head = False
        self._is_refused = False
        self._is_lingering = False  # the request was answered, but its body goes on
        self._silent_bytes = 0  # the bytes since the parser last made progress
        self._refusal = NOT_HTTP
        self._timer: asyncio.TimerHandle | None = None

    # ---- a connection begins and ends ----

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.connections_max and not self._make_room():
            logger.warning("refused a connection: %d are open", len(self.connections) - 1)
            transport.write(refusal(*TOO_MANY))
            transport.close()
            return
        self.idle[self] = None
        self._timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _make_room(self) -> bool:
        """Close the connection that has waited longest for a request. Return False if none waits."""
        oldest = next(iter(self.idle), None)
        if oldest is None:
            return False
        self.idle.pop(oldest)
        oldest.transport.abort()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.idle.pop(self, None)
        self.ending.discard(self)
        self.lingering.pop(self, None)
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        """Close the connection: its time for a head, or for the rest of an answered body, is up."""
        if not self.transport.is_closing():
            self.transport.abort()

    # ---- a request arrives ----

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._silent_bytes += len(data)
        super().data_received(data)
        if self.parser is None or self.transport.is_closing():
            return
        if self._is_lingering:
            self._wait_to_be_read_on()
        if self._is_in_head or self._silent_bytes > HEAD_BYTES_MAX:
            self._check_head()
        elif self._timer is None and self._is_between_requests():
            self._await_another()  # only blank lines arrived

    def _check_head(self) -> None:
        """Check the size of a head that is still incomplete, or of trailers, and limit its time."""
        if len(self.url) > URL_BYTES_MAX:
            self._refuse(*URL_REFUSED)
        elif self._silent_bytes > HEAD_BYTES_MAX:
            self._refuse(*HEAD_REFUSED)
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def on_message_begin(self) -> None:
        self.idle.pop(self, None)
        self._is_in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= HEADER_FIELDS_MAX:
            raise self._refused(*FIELDS_REFUSED)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        if len(self.url) > URL_BYTES_MAX:
            raise self._refused(*URL_REFUSED)
        if self._silent_bytes > HEAD_BYTES_MAX and self._head_bytes() > HEAD_BYTES_MAX:
            raise self._refused(*HEAD_REFUSED)
        self._is_in_head = False
        self._silent_bytes = 0
        super().on_headers_complete()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._silent_bytes = 0
        super().on_message_complete()
        if self._is_lingering:
            self._is_lingering = False
            self._stop_timer()
            self._await_another()

    # ---- a request is refused, or answered ----

    def _refused(self, status: int, slug: str, reason: str) -> _HeadRefused:
        """Return the error for the parser to raise, and keep the reason for ``send_400_response``."""
        self._refusal = (status, slug, reason)
        return _HeadRefused(status, slug, reason)

    def send_400_response(self, msg: str) -> None:
        self._refuse(*self._refusal)

    def _refuse(self, status: int, slug: str, reason: str) -> None:
        """Answer, and ignore for a moment what still arrives: closing at once could lose the answer."""
        self._is_refused = True
        self._is_in_head = False
        self._stop_timer()
        if not self._is_between_requests():  # the rest of its request will not be read
            if self.cycle.response_started:
                self.transport.abort()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(refusal(status, slug, reason))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(1, self._give_up)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing() or not self._is_between_requests():
            return
        if self.cycle.more_body:
            self._unset_keepalive_if_required()
            self._timer = self.loop.call_later(LINGER_SECONDS, self._give_up)
            self._is_lingering = True
            self._wait_to_be_read_on()
        elif not self._is_in_head:
            self.idle[self] = None

    def _wait_to_be_read_on(self) -> None:
        """Take a little more when it is this connection's turn; the system holds it up till then."""
        self.flow.pause_reading()
        if not self.lingering:
            self.loop.call_later(LINGER_PACE_SECONDS, self._read_on, self.loop)
        self.lingering[self] = None

    @classmethod
    def _read_on(cls, loop: asyncio.AbstractEventLoop) -> None:
        """Read from the connection that has waited longest."""
        if cls.lingering:
            connection = next(iter(cls.lingering))
            del cls.lingering[connection]
            connection.flow.resume_reading()
        if cls.lingering:
            loop.call_later(LINGER_PACE_SECONDS, cls._read_on, loop)

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_another(self) -> None:
        """Wait for another request, as after each response."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
        self.idle[self] = None

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # the last response was never read
        super().timeout_keep_alive_handler()

    # ---- the server ends ----

    def shutdown(self) -> None:
        super().shutdown()
        if not self.transport.is_closing():
            if not self.ending:
                self.loop.call_later(END_SECONDS, self._end_all)
            self.ending.add(self)

    @classmethod
    def _end_all(cls) -> None:
        """End all requests that are not done: half a body, a slow reader. Their tasks see a disconnect."""
        if cls.ending:
            logger.info("ended %d requests that were not done in %d s", len(cls.ending), END_SECONDS)
        for connection in list(cls.ending):
            connection.transport.abort()
