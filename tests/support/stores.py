"""Other people's stores, real where they can be: Debian's Redis, a DynamoDB that moto serves, SQLite.

Debian's Redis has no RedisJSON; fakeredis speaks it.

All on this machine, made for one test or one file of tests, and ended by them.
"""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

import pytest
import redis
from fakeredis import TcpFakeServer
from fakeredis._helpers import SimpleString
from fakeredis.commands_mixins import _mixin_base as fake
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from recountdb.api.cli.program import app
from recountdb.api.transfer.importers.source import SOURCE
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.lists.paging import LIMIT_MAX, Filter, Window
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.sessions import get_session

START_SECONDS_MAX = 20
TOKEN = "upstash-token"


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def accounts(self) -> dict[str, dict[str, Any]]:
        """What --json says of each conversation, by its id."""
        lines = [json.loads(line) for line in self.out.splitlines()]
        return {line["session_id"]: line for line in lines if "session_id" in line}

    @property
    def totals(self) -> dict[str, Any]:
        totals: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return totals


def recount(conninfo: str, *arguments: object, **environment: str) -> Ended:
    """Runs a command of the program, in this process."""
    words = [str(argument) for argument in arguments]
    done = CliRunner().invoke(app, words, env={"RECOUNT_DATABASE_URL": conninfo, **environment})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Ended(done.exit_code, done.stdout, done.stderr)


def said_in(database: Database, name: str, scope: str = "") -> list[tuple[str, Any]]:
    """Role and content of a session's messages."""
    return [(one.role, one.content) for one in messages_in(database, name, scope)]


def messages_in(database: Database, name: str, scope: str = "") -> list[Any]:
    window = Window(LIMIT_MAX)
    return list(page_messages(database, "default", "session", name, window, Filter(scope=scope)).items)


def origin_of(database: Database, name: str, scope: str = "") -> dict[str, Any]:
    """What a session's metadata say of where it came from."""
    metadata: dict[str, Any] = get_session(database, "default", name, scope=scope).metadata or {}
    origin: dict[str, Any] = metadata[SOURCE]
    return origin


@contextmanager
def redis_server(program: Path) -> Iterator[str]:
    """A Redis of one's own on a Unix socket, whose path is yielded."""
    # Not in pytest's directory: a socket's path has 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="recount-redis-") as directory:
        path = f"{directory}/socket"
        options = ["--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"]
        process = subprocess.Popen(
            [str(program), *options, "--dir", directory], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_until_it_answers(path)
            yield path
        finally:
            process.terminate()
            process.wait(START_SECONDS_MAX)


def wait_until_it_answers(path: str) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    client = redis.Redis(unix_socket_path=path)
    while True:
        with suppress(redis.ConnectionError):
            if client.ping():
                client.close()
                return
        assert time.monotonic() < deadline, "redis-server does not answer"
        time.sleep(0.02)


@contextmanager
def redis_json_server() -> Iterator[str]:
    """A Redis of one's own with RedisJSON, without its search; yields the address."""
    type_of = fake.CommandsMixinBase._key_value_type

    def type_with_documents(item: Any) -> SimpleString:
        """Of documents it knows no type."""
        return SimpleString(b"ReJSON-RL") if isinstance(item.value, dict) else type_of(item)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake.CommandsMixinBase, "_key_value_type", staticmethod(type_with_documents))
        with served(TcpFakeServer(("127.0.0.1", 0))) as port:
            yield f"redis://127.0.0.1:{port}"


@contextmanager
def upstash_server(store: redis.Redis) -> Iterator[str]:
    """Speaks Upstash's REST before a Redis, commands alone or in a pipeline; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.close_connection = asked[0] == "SCAN"  # as a server does that has waited long enough
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                self.answer(401, {"error": "WRONGPASS invalid or missing auth token"})
            elif self.path == "/pipeline":
                self.answer(200, [self.said_to(words)[1] for words in asked])
            else:
                self.answer(*self.said_to(asked))

        def said_to(self, words: list[Any]) -> tuple[int, dict[str, Any]]:
            is_packed = self.headers["Upstash-Encoding"] == "base64"
            try:
                return 200, {"result": as_rest(plain_answer(store, words), is_packed=is_packed)}
            except redis.ResponseError as error:
                return 400, {"error": str(error)}

        def answer(self, status: int, body: Any) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with served(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}"


def plain_answer(store: redis.Redis, words: list[Any]) -> Any:
    """What the server says, before the library makes something of it. Raises ResponseError."""
    connection = store.connection_pool.get_connection()
    try:
        connection.send_command(*words)  # type: ignore[no-untyped-call]
        return connection.read_response()
    finally:
        store.connection_pool.release(connection)


def as_rest(result: Any, *, is_packed: bool) -> Any:
    if isinstance(result, list):
        return [as_rest(one, is_packed=is_packed) for one in result]
    if isinstance(result, bytes):
        return base64.b64encode(result).decode() if is_packed and result != b"OK" else result.decode()
    return result


@contextmanager
def served(server: TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join(START_SECONDS_MAX)
        server.server_close()


@contextmanager
def dynamodb_server() -> Iterator[str]:
    """Yields the address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
