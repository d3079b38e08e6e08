"""Somebody who answers, on this machine: a chat endpoint, a Langflow or a Flowise, as a test wants it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """What goes back. With ``parts`` it is sent piece by piece, then the connection ends."""

    body: bytes = b""
    status: int = 200
    parts: list[bytes] = field(default_factory=list)
    content_type: str = "application/json"
    delay_seconds: float = 0.0


@dataclass
class Answering:
    """A server that answers each request with what ``answer`` makes of it."""

    answer: Callable[[Asked], Answer]
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def running(self) -> Iterator[Answering]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.path, headers, json.loads(raw) if raw else None)
                receiver.asked.append(asked)
                with suppress(OSError):  # whoever asked has gone
                    self.send(receiver.answer(asked))

            def do_GET(self) -> None:
                self.do_POST()

            def send(self, answer: Answer) -> None:
                time.sleep(answer.delay_seconds)
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                if not answer.parts:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                for part in answer.parts or [answer.body]:
                    self.wfile.write(part)
                    self.wfile.flush()

            def log_message(self, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def chat_answer(asked: Asked) -> Answer:
    """As OpenAI's API: an answer that says how many messages it was told, in two parts if streamed."""
    texts = ["I know ", f"{len(asked.body['messages'])} messages."]
    if not asked.body["stream"]:
        message = {"role": "assistant", "content": "".join(texts)}
        return Answer(json.dumps({"choices": [{"index": 0, "message": message}]}).encode())
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        *({"content": t} for t in texts),
        {},
    ]
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    lines = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in [*chunks, {"choices": []}]]
    return Answer(parts=[*lines, b"data: [DONE]\n\n"], content_type="text/event-stream")
