"""``recount serve`` as a person meets it: the real program, its real PostgreSQL, signals and kills."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from recountdb.eventlog.postgres.database import connect
from tests.support.postgres import new_database

RECOUNT = Path(sys.executable).with_name("recount")
SECRET = "rosebud"
ENDS_WITHIN_SECONDS = 15

on_embedded = pytest.mark.parametrize("server", ["embedded"], indirect=True)


def environment(**more: str) -> dict[str, str]:
    """Ours, without anything that would name a store."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RECOUNT_", "PG"))}
    return kept | more


def recount(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [str(RECOUNT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(**more), timeout=60)


@dataclass
class Server:
    """A running server: where it is, what it said, and its log."""

    process: subprocess.Popen[str]
    greeting: str
    address: str
    log_file: Path

    def call(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=20)
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse().read()
        connection.close()
        return json.loads(answer)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(ENDS_WITHIN_SECONDS)

    def log(self) -> str:
        return self.log_file.read_text()

    def is_reachable(self) -> bool:
        host, port = self.address.removeprefix("http://").rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        return True


Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers, on free ports, and waits until they greet; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **more: str) -> Server:
        log_file = tmp_path / f"log-{len(started)}"
        command = [str(RECOUNT), "serve", "--port", "0", *map(str, arguments)]
        with log_file.open("w") as log:
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": log, "text": True}
            env = environment(TMPDIR=str(tmp_path), **more)  # one that is killed leaves its scratch there
            process = subprocess.Popen(command, env=env, start_new_session=True, **pipes)
        started.append(process)
        assert process.stdout is not None
        greeting = ""
        while "Ctrl-C" not in greeting:
            line = process.stdout.readline()
            assert line, f"it ended instead: {log_file.read_text()}"
            greeting += line
        (address,) = re.findall(r"address +(http://\S+)", greeting)
        return Server(process, greeting, address.replace("0.0.0.0", "127.0.0.1"), log_file)

    yield start
    for process in started:
        with process:
            if process.poll() is None:
                process.kill()


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """An embedded store, which takes a while to make, so the tests here share it one after the other."""
    with tempfile.TemporaryDirectory(prefix="recount-test-") as directory:
        path = Path(directory) / "data"
        assert recount("migrate", "--data", path).returncode == 0
        yield path


def is_postgres_running(data: Path) -> bool:
    """Whether any of its processes holds the lock they inherit."""
    with (data / "server.lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def following(server: Server) -> Iterator[http.client.HTTPResponse]:
    """The live stream of events, open and past its first line."""
    connection = http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=30)
    with closing(connection):
        connection.request("GET", "/v1/events/stream")
        stream = connection.getresponse()
        assert stream.readline() == b": following\n"
        yield stream


def message(content: str = SECRET) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


def eventually(claim: Callable[[], bool], seconds: float = ENDS_WITHIN_SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("workers", "number"),
    [
        pytest.param(1, signal.SIGTERM, marks=pytest.mark.thorough),
        pytest.param(1, signal.SIGINT, marks=pytest.mark.thorough),
        (2, signal.SIGHUP),
    ],
)
def test_it_serves_and_ends_cleanly_though_somebody_follows_the_log(
    serve: Serve, data: Path, workers: int, number: signal.Signals
) -> None:
    server = serve("--data", data, "--workers", workers)
    added = server.call("POST", f"/v1/sessions/{number.name}/messages", message())
    assert added["session_id"] == number.name
    assert requests_counted(server) == 1
    with following(server) as stream:
        assert server.end(number) == 0
        assert b"data:" not in stream.read()  # it came to its end, which a break would not let read
    assert not is_postgres_running(data)
    assert not server.is_reachable()
    assert SECRET not in server.log()
    assert "Traceback" not in server.log()


def test_ctrl_c_while_the_processes_start(serve: Serve, data: Path) -> None:
    """A terminal sends it to all of them."""
    server = serve("--data", data, "--workers", 2)
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.process.wait(ENDS_WITHIN_SECONDS) == 0
    assert "Traceback" not in server.log()
    assert not is_postgres_running(data)


def requests_counted(server: Server) -> int:
    """Messages posted, as the metrics of whichever process answers show them."""
    connection = http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=20)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found = re.findall(r'recount_http_requests_total\{method="POST".*\} ([0-9.]+)', text)
    return int(sum(map(float, found)))


def test_it_says_where_everything_is_and_what_to_try(serve: Serve, data: Path) -> None:
    server = serve("--data", data)
    assert str(data) in server.greeting
    assert f"{server.address}/docs" in server.greeting
    lines = server.greeting.replace("\\\n", "").splitlines()
    commands = [line for line in lines if line.lstrip().startswith("curl")]
    for command in commands:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=20)
        assert "One chai latte, please." in done.stdout
    assert len(commands) == 2


def test_a_directory_has_one_server_and_other_commands_beside_it(serve: Serve, data: Path) -> None:
    server = serve("--data", data)
    server.call("POST", "/v1/sessions/beside/messages", message())

    second = recount("serve", "--port", "0", "--data", data)
    assert second.returncode == 2
    assert second.stderr == (
        f"A server runs on {data} already at {server.address} (process {server.process.pid}): use that one,"
        " stop it first, or name another directory with --data.\n"
    )
    listed = recount("messages", "beside", "--json", "--data", data)
    assert json.loads(listed.stdout)["content"] == SECRET
    status = json.loads(recount("status", "--json", "--data", data).stdout)
    assert status["server"] == {"process": server.process.pid, "address": server.address}


def test_a_killed_server_leaves_nothing_stale(serve: Serve, data: Path) -> None:
    killed = serve("--data", data, "--workers", 2)
    killed.call("POST", "/v1/sessions/killed/messages", message())
    assert killed.end(signal.SIGKILL) == -signal.SIGKILL
    assert eventually(lambda: not killed.is_reachable())

    again = serve("--data", data)

    (kept,) = again.call("GET", "/v1/sessions/killed/messages")["items"]
    assert kept["content"] == SECRET
    assert again.end() == 0
    assert not is_postgres_running(data)


def test_a_port_that_is_in_use(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = recount("serve", "--port", port, "--data", data)
    assert refused.returncode == 2
    assert refused.stderr == (
        f"Port {port} of 127.0.0.1 is in use: choose another with --port, or 0 for any that is free.\n"
    )
    assert not is_postgres_running(data)


@on_embedded
def test_others_reach_a_server_with_keys_only(serve: Serve, conninfo: str) -> None:
    refused = recount("serve", "--port", "0", "--host", "0.0.0.0", RECOUNT_DATABASE_URL=conninfo)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith("Without API keys Recount listens on this machine only")
    assert len(refused.stderr.splitlines()) == 1

    assert recount("keys", "create", RECOUNT_DATABASE_URL=conninfo).returncode == 0
    server = serve("--host", "0.0.0.0", RECOUNT_DATABASE_URL=conninfo)
    assert server.call("GET", "/v1/sessions")["status"] == 401


@on_embedded
def test_a_newer_schema_is_refused(conninfo: str) -> None:
    with connect(conninfo) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES ('eventlog', 9999, 'from_the_future')")
    refused = recount("serve", "--port", "0", RECOUNT_DATABASE_URL=conninfo)
    assert refused.returncode == 3
    assert refused.stdout == ""
    assert refused.stderr == (
        "The database was upgraded by a newer Recount: use that version, or a newer one.\n"
    )


@on_embedded
def test_processes_that_start_at_once_migrate_in_turns(server: str) -> None:
    with new_database(server) as name:
        url = make_conninfo(server, dbname=name)
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "env": environment(RECOUNT_DATABASE_URL=url)}
        processes = [subprocess.Popen([RECOUNT, "migrate"], text=True, **pipes) for _ in range(3)]
        told = sorted(process.communicate(timeout=60)[0] for process in processes)
    assert [process.returncode for process in processes] == [0] * 3
    assert told[0].startswith("applied eventlog 0001 ")
    assert told[1:] == ["nothing to do: the schema is up to date\n"] * 2
