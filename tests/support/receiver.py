"""A receiver of webhooks on this machine: keeps what it gets, and answers as it is told to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_signed_with(self, secret: str) -> bool:
        """As the specification of Standard Webhooks says, worked out by hand."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = b".".join([self.id.encode(), self.headers["webhook-timestamp"].encode(), self.body])
        wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return self.headers["webhook-signature"] == f"v1,{wanted}"


class Receiver:
    """``tls``: how it shows who it is; without, there is no TLS. ``status``: of its answers.

    ``refuses``: how many it answers so first; None: all. ``delay_seconds``: before each answer.
    ``received``: in the order they came.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.status = 204
        self.refuses = 0
        self.delay_seconds = 0.0
        self.drip_seconds = 0.0
        self.headers: dict[str, str] = {}
        self.received: list[Received] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # whoever connected has gone, or does not trust us
                    super().handle()

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # whoever began this has gone
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append(Received(self.path, headers, body))
                receiver.answer(self)

            def do_GET(self) -> None:
                receiver.received.append(Received(f"GET {self.path}", {}, b"{}"))
                receiver.answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http" if tls is None else "https"
        if tls is not None:
            # Whoever connects is greeted on a thread of its own, so that it holds up no other.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/hook?from=recount"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        time.sleep(self.delay_seconds)
        status = 204
        if self.refuses:
            self.refuses -= 1
            status = self.status
        try:
            if self.drip_seconds:
                for character in "HTTP/1.1 204 No":
                    handler.wfile.write(character.encode())
                    time.sleep(self.drip_seconds)
            handler.send_response(status)
            for name, value in self.headers.items():
                handler.send_header(name, value)
            handler.end_headers()
        except OSError:  # whoever asked has gone
            pass

    def refuse(self, status: int, times: int = 10**9) -> None:
        self.status, self.refuses = status, times

    @property
    def events(self) -> list[dict[str, Any]]:
        return [one.event for one in self.received]

    @property
    def positions(self) -> list[int]:
        return [event["position"] for event in self.events]

    @contextmanager
    def running(self) -> Iterator[Receiver]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
