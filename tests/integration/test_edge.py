"""The server's edge, over sockets: what is refused before it costs anything, and how a server ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx2
import pytest

from recountdb.api.http.server_protocol import HEAD_BYTES_MAX, HEADER_FIELDS_MAX, URL_BYTES_MAX
from recountdb.api.services.keys import create_key
from recountdb.eventlog.postgres.database import Database
from tests.support.processes import wait_until

WAIT_SECONDS = 60
RECOUNT = Path(sys.executable).with_name("recount")
POST = b"POST /v1/sessions/edge/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@dataclass
class Server:
    process: subprocess.Popen[str]
    port: int
    log_file: Path

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_SECONDS)

    def ask(self, *parts: bytes) -> bytes:
        """All that comes back until the server closes the connection, or has answered once."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
            return answer_on(connection)

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(f"http://127.0.0.1:{self.port}{path}", timeout=WAIT_SECONDS)

    def log(self) -> str:
        return self.log_file.read_text()


def answer_on(connection: socket.socket) -> bytes:
    """One answer: its head, and as much of its body as its length says."""
    found = b""
    while b"\r\n\r\n" not in found:
        part = connection.recv(65536)
        if not part:
            return found
        found += part
    length = re.search(rb"content-length: (\d+)", found)
    while length and len(found.partition(b"\r\n\r\n")[2]) < int(length[1]):
        found += connection.recv(65536)
    return found


def is_cut_off(connection: socket.socket) -> bool:
    """Whether the server ends a connection that goes on and on."""
    try:
        for _ in range(2**20):
            connection.send(b"x" * 65536)
    except OSError:  # reset, or a broken pipe
        return True
    return False


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def is_refused(server: Server, request: bytes) -> bool:
    return status_of(server.ask(request)) in (401, 403)


Serve = Callable[..., Server]


@pytest.fixture
def serve(conninfo: str, tmp_path: Path) -> Iterator[Serve]:
    """Starts the program on a database of the test's own."""
    with ExitStack() as stack:

        def start(*prefix: str) -> Server:
            log_file = tmp_path / "log"
            log = stack.enter_context(log_file.open("w"))
            environment = {**os.environ, "RECOUNT_DATABASE_URL": conninfo}
            command = [*prefix, str(RECOUNT), "serve", "--port", "0"]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            port = next(
                int(line.rsplit(":", 1)[1]) for line in process.stdout if line.strip().startswith("address")
            )
            server = Server(process, port, log_file)
            wait_until(lambda: is_answered(server))
            return server

        yield start


def is_answered(server: Server) -> bool:
    try:
        return server.get("/v1/ready").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture
def running(serve: Serve) -> Server:
    return serve()


def test_heads_are_bounded(running: Server) -> None:
    start = b"GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    one = b"X-Long: " + b"x" * (HEAD_BYTES_MAX + 1) + b"\r\n\r\n"
    many = b"".join(b"X-%d: 1\r\n" % n for n in range(HEADER_FIELDS_MAX + 1)) + b"\r\n"
    long = b"GET /v1/health?" + b"x" * (URL_BYTES_MAX + 1) + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    assert status_of(running.ask(start + b"\r\n")) == 200
    assert status_of(running.ask(start, one)) == 431
    assert status_of(running.ask(start + one)) == 431
    assert status_of(running.ask(start, many)) == 431
    assert status_of(running.ask(long)) == 414
    assert status_of(running.ask(b"GET /" + b"x" * 20_000)) == 414
    answer = running.ask(start, one)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "urn:recount:problem:headers-too-large"


def test_a_head_that_never_ends_is_not_listened_to(running: Server) -> None:
    """The connection ends long before what is sent does."""
    with running.connect() as connection:
        connection.sendall(b"GET /v1/health HTTP/1.1\r\nX-Long: ")
        assert is_cut_off(connection)
    assert running.get("/v1/health").status_code == 200


@pytest.mark.parametrize("trailing", [b"0\r\nX-Long: ", b"3;"], ids=["trailer", "extension"])
def test_what_surrounds_a_body_is_bounded_like_a_head(running: Server, trailing: bytes) -> None:
    with running.connect() as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + trailing)
        assert is_cut_off(connection)


WRITES = {
    "native": POST,
    "zep": b"POST /api/v1/sessions/edge/memory HTTP/1.1\r\nHost: a\r\n",
    "motorhead": b"POST /sessions/edge/memory HTTP/1.1\r\nHost: a\r\n",
    "langmem": b"POST /threads HTTP/1.1\r\nHost: a\r\n",
    "langflow": b"POST /api/v1/run/flow HTTP/1.1\r\nHost: a\r\n",
    "langflux": b"POST /api/v1/chatmessage/edge HTTP/1.1\r\nHost: a\r\n",
}
"""Heads of requests with a body, by protocol."""


def test_the_key_is_asked_for_before_the_body(database: Database, running: Server) -> None:
    """Not a byte of it is sent, nor asked for."""
    create_key(database, project="default", scopes=("write",))
    for head in WRITES.values():
        expecting = head + b"Content-Length: 5000000\r\nExpect: 100-continue\r\n\r\n"
        wait_until(partial(is_refused, running, expecting))


@pytest.mark.thorough
def test_a_body_that_was_answered_is_read_on_slowly(database: Database, running: Server) -> None:
    """So that who has no key takes no time from others; the answer arrives all the same."""
    create_key(database, project="default", scopes=("write",))
    with running.connect() as connection:
        connection.sendall(POST + b"Content-Length: 5000000\r\n\r\n" + b"x" * 5_000_000)
        assert status_of(answer_on(connection)) == 401
        connection.sendall(b"GET /v1/health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert status_of(answer_on(connection)) == 200
    sent = 0
    with running.connect() as connection, suppress(OSError):
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n")
        while True:
            sent += connection.send(b"x" * 65536)
    assert sent < 200_000_000


def test_a_good_key_is_asked_for_its_body(database: Database, running: Server) -> None:
    _, key = create_key(database, project="default", scopes=("write",))
    body = b'{"messages": [{"role": "user"}]}'
    with running.connect() as connection:
        head = POST + b"X-API-Key: %b\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % (key.encode(), len(body)))
        assert answer_on(connection).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert status_of(answer_on(connection)) == 201


def test_a_key_that_may_not_is_told_before_the_body(database: Database, running: Server) -> None:
    _, key = create_key(database, project="default", scopes=("read",))
    head = POST + b"X-API-Key: %b\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n" % key.encode()
    assert status_of(running.ask(head)) == 403


@pytest.mark.thorough
def test_connections_are_as_many_as_the_process_may_open(serve: Serve) -> None:
    """Those that wait for a request are closed for new ones."""
    server = serve("prlimit", "--nofile=256:256")
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(closing(server.connect()))
        for _ in range(5):
            assert server.get("/v1/ready").status_code == 200
    assert "Too many open files" not in server.log()


def test_where_nobody_waits_a_new_connection_is_told_so(serve: Serve) -> None:
    server = serve("prlimit", "--nofile=256:256")
    with ExitStack() as stack:
        for _ in range(200):
            connection = stack.enter_context(closing(server.connect()))
            connection.sendall(POST + b"Content-Length: 10\r\n\r\n{")
        wait_until(lambda: b"HTTP/1.1 503" in server.ask(b"GET /v1/health HTTP/1.1\r\n\r\n"))
    wait_until(lambda: is_answered(server))


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", b"GET /v1/hea", b"\r\n"], ids=["nothing", "half", "blank"])
def test_who_sends_no_request_is_not_waited_for(running: Server, sent: bytes) -> None:
    with running.connect() as connection:
        connection.sendall(sent)
        assert connection.recv(1) == b""


@pytest.mark.thorough
def test_a_server_ends_though_callers_do_not(running: Server) -> None:
    """Live streams, half of a body, half of a head, and an answer that nobody reads."""
    with ExitStack() as stack:
        for request in (
            b"GET /v1/events/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            POST + b"Content-Length: 5000000\r\n\r\n" + b" " * 100_000,
            POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
            b"GET /v1/health HTTP/1.1\r\nHos",
            b"",
        ):
            for _ in range(3):
                stack.enter_context(closing(running.connect())).sendall(request)
        wait_until(lambda: running.get("/metrics").status_code == 200)
        running.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert running.process.wait(WAIT_SECONDS) == 0
        assert time.monotonic() - begun < 30  # 10 on a machine that has time
    assert "Traceback" not in running.log()
    assert "ERROR" not in running.log()
    assert "ended 6 requests that were not done" in running.log()
