"""Processes that stand still (SIGSTOP): others go on within seconds, and nothing acknowledged is lost.

``RECOUNT_TEST_KILLS=20 python -m pytest tests/fault/test_freezes.py`` freezes so often in each test, and
says how long the others waited; see tests/fault/conftest.py. How long is printed, and bounded generously:
a busy machine takes longer.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count as numbers
from pathlib import Path
from statistics import median
from uuid import uuid4

import httpx2
import pytest

import recountdb.eventlog.postgres.file_locks
from recountdb.domain.errors import Unavailable
from recountdb.eventlog.postgres.database import Connection, connect
from recountdb.eventlog.postgres.file_locks import HolderStandsStill, locked
from recountdb.projections.rebuild import shadow
from recountdb.projections.rebuild.build import fill_views, swap_in
from tests.fault.conftest import Plan
from tests.support.killing import Served, children_of, postmaster_of
from tests.support.ledger import Client, count, found_at, talking
from tests.support.processes import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.thorough

GONE_ON_SECONDS_MAX = 30.0  # ten on a quiet machine
TALK_SECONDS_MAX = 1.0
AT_ONCE = 40  # requests to a silent database
ANSWER_SECONDS_MAX = 30.0

Try = Callable[[], bool]


def seconds_until(attempt: Try, began: float) -> float:
    """Repeat ``attempt`` until it succeeds; returns how long that is after ``began``."""
    while not attempt():
        assert time.monotonic() - began < PATIENCE_SECONDS, "it did not go on"
        time.sleep(0.05)
    return time.monotonic() - began


class Others:
    """Somebody who uses the server that goes on, in each way that waits for somebody else's locks."""

    def __init__(self, address: str, connection: Connection) -> None:
        self._http = httpx2.Client(base_url=address, timeout=ANSWER_SECONDS_MAX)
        self._connection = connection
        self._numbers = numbers()
        self.slowest_answer = 0.0

    def go_on_after(self, began: float) -> dict[str, float]:
        """How long after ``began`` each kind of request succeeded, asked side by side."""
        with ThreadPoolExecutor(3) as pool:
            kinds: dict[str, Try] = {
                "start a session": self._start,
                "write": lambda: self._write("alpha"),
                "read the log": self._read_log,
            }
            waits = {kind: pool.submit(seconds_until, attempt, began) for kind, attempt in kinds.items()}
            found = {kind: wait.result(PATIENCE_SECONDS) for kind, wait in waits.items()}
        ((last,),) = self._connection.execute("SELECT max(notification_id) FROM stored_events").fetchall()
        found["follow"] = seconds_until(lambda: self._is_followed(last), began)
        return found

    def _answer(self, request: httpx2.Request) -> bool:
        """Whether it succeeded; else it is a 503 that says when to come again."""
        began = time.monotonic()
        answer = self._http.send(request)
        self.slowest_answer = max(self.slowest_answer, time.monotonic() - began)
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) > 0
            return False
        assert answer.status_code in (200, 201), answer.text
        return True

    def _start(self) -> bool:
        name = f"other {next(self._numbers)}"
        return self._answer(self._http.build_request("POST", "/v1/sessions", json={"session_id": name}))

    def _write(self, session: str) -> bool:
        body = {"messages": [{"role": "user", "content": "other"}]}
        return self._answer(self._http.build_request("POST", f"/v1/sessions/{session}/messages", json=body))

    def _read_log(self) -> bool:
        return self._answer(self._http.build_request("GET", "/v1/events", params={"limit": "1"}))

    def _is_followed(self, position: int) -> bool:
        behind = self._connection.execute("SELECT count(*) FROM followers WHERE position < %s", [position])
        return behind.fetchone() == (0,)

    def close(self) -> None:
        self._http.close()


@contextmanager
def starting_sessions(address: str) -> Iterator[None]:
    """Somebody starts one session after the other, which locks a counter in each transaction."""
    is_over = False

    def start() -> None:
        with httpx2.Client(base_url=address, timeout=None) as http:
            while not is_over:
                http.post("/v1/sessions", json={"session_id": str(uuid4())})

    with ThreadPoolExecutor(2) as pool:
        starting = [pool.submit(start) for _ in range(2)]
        try:
            yield
        finally:
            is_over = True
        for one in starting:
            one.result(PATIENCE_SECONDS)


def described(waits: Sequence[dict[str, float]]) -> str:
    """The median and the longest of each kind, in seconds."""
    kinds = {kind: [each[kind] for each in waits] for kind in waits[0]}
    return ", ".join(f"{kind} {median(all_):.1f}/{max(all_):.1f}" for kind, all_ in kinds.items())


def test_a_server_that_writes_and_leads(conninfo: str, tmp_path: Path, plan: Plan) -> None:
    victim, other = (Served(tmp_path / name, RECOUNT_DATABASE_URL=conninfo) for name in ("a", "b"))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    waits: list[dict[str, float]] = []
    with connect(conninfo) as connection:
        try:
            victim.start()  # the first one leads
            other.start()
            others = Others(other.address, connection)
            with (
                talking(lambda: victim.address, plan.chance) as (gate, clients),
                starting_sessions(victim.address),
            ):
                for _ in range(plan.kills):
                    wait_until_acknowledged(clients)
                    time.sleep(plan.chance.uniform(0, TALK_SECONDS_MAX))
                    victim.freeze()
                    waits.append(others.go_on_after(time.monotonic()))
                    victim.thaw()
                    victim.wait_until_ready()
                gate.close()
                found = count(clients, found_by_clients(other.address))
                gate.open()
            others.close()
        finally:
            victim.end()
            other.end()
    plan.tell(f"{plan.kills} freezes of a server: seconds (median/longest) until others {described(waits)}")
    plan.tell(f"the slowest answer of the other server: {others.slowest_answer:.1f} s; {found}")
    assert found.is_clean
    assert max(max(each.values()) for each in waits) < GONE_ON_SECONDS_MAX


def wait_until_acknowledged(clients: Sequence[Client]) -> None:
    """Return once each client was answered anew."""
    before = [len(client.acknowledged) for client in clients]

    def is_past(client: Client, number: int) -> bool:
        assert client.failure is None, client.failure
        return len(client.acknowledged) > number

    wait_until(lambda: all(map(is_past, clients, before)))


def found_by_clients(address: str) -> dict[str, list[str]]:
    """As found_at, without what others said among them."""
    return {
        session: [content for content in contents if content != "other"]
        for session, contents in found_at(address).items()
    }


@contextmanager
def silent(data: Path) -> Iterator[None]:
    """All processes of PostgreSQL stand still."""
    postmaster = postmaster_of(data)
    stopped = [postmaster]
    os.kill(postmaster, signal.SIGSTOP)  # first, so that none is added
    stopped += children_of(postmaster)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def test_a_postgresql_that_is_silent(tmp_path: Path, plan: Plan) -> None:
    data = tmp_path / "data"
    served = Served(tmp_path, "--data", data)
    served.start()
    slowest = {"ready": 0.0, "health": 0.0, "metrics": 0.0, "reads and writes": 0.0}
    body = {"messages": [{"role": "user", "content": "hello"}]}
    try:
        with httpx2.Client(base_url=served.address, timeout=ANSWER_SECONDS_MAX) as http:
            assert http.post("/v1/sessions/s/messages", json=body).status_code == 201

            def ask(number: int) -> tuple[int, float, bool]:
                began = time.monotonic()
                answer = (
                    http.get("/v1/sessions/s/messages")
                    if number % 2
                    else http.post("/v1/sessions/s/messages", json=body)
                )
                return answer.status_code, time.monotonic() - began, "retry-after" in answer.headers

            for _ in range(plan.kills):
                with silent(data), ThreadPoolExecutor(AT_ONCE) as pool:
                    asked = [pool.submit(ask, number) for number in range(AT_ONCE)]
                    for kind, status in (("ready", 503), ("health", 200), ("metrics", 200)):
                        began = time.monotonic()
                        path = "/metrics" if kind == "metrics" else f"/v1/{kind}"
                        assert http.get(path).status_code == status
                        slowest[kind] = max(slowest[kind], time.monotonic() - began)
                    wait_until(lambda: http.get("/v1/health").json()["status"] == "degraded")
                    assert http.get("/v1/health").json()["reason"]
                    for one in asked:
                        status, seconds, says_when = one.result(PATIENCE_SECONDS)
                        assert (status, says_when) == (503, True)
                        slowest["reads and writes"] = max(slowest["reads and writes"], seconds)
                wait_until(lambda: http.get("/v1/ready").status_code == 200)
                wait_until(lambda: http.post("/v1/sessions/s/messages", json=body).status_code == 201)
                assert http.get("/v1/health").json() == {"status": "ok"}
    finally:
        served.end()
    plan.tell(
        f"{plan.kills} times a PostgreSQL that was silent, slowest answers: "
        + ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in slowest.items())
    )
    assert max(slowest.values()) < ANSWER_SECONDS_MAX


HOLD_START_LOCK = """
import sys, time
from pathlib import Path
from recountdb.eventlog.postgres.file_locks import locked
with locked(Path(sys.argv[1])):
    print("holds", flush=True)
    time.sleep(600)
"""

HOLD_SHADOW = """
import sys, time
from recountdb.eventlog.postgres.database import connect
from recountdb.projections.rebuild import shadow
with connect(sys.argv[1]) as connection, shadow.hold_rebuild_lock(connection):
    print("holds", flush=True)
    time.sleep(600)
"""


@contextmanager
def holding(program: str, argument: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a lock until the end of the block."""
    command = [sys.executable, "-c", program, argument]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "holds\n"
            yield process
        finally:
            process.kill()


def test_a_process_that_starts_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for it gets one sentence with its number; while it moves, it is waited for."""
    monkeypatch.setattr(recountdb.eventlog.postgres.file_locks, "STANDSTILL_SECONDS", 3.0)
    path = tmp_path / "start.lock"
    with holding(HOLD_START_LOCK, str(path)) as process:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(take, path)
            time.sleep(4)
            assert not waiting.done(), "the holder takes its time, and moves"
            process.send_signal(signal.SIGSTOP)
            with pytest.raises(
                HolderStandsStill, match=f"process {process.pid} holds .*start.lock and stands still"
            ):
                waiting.result(PATIENCE_SECONDS)
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        take(path)


def take(path: Path) -> None:
    with locked(path):
        pass


def test_a_rebuild_that_stood_still_cannot_put_its_tables_in_place(conninfo: str) -> None:
    with connect(conninfo) as connection:
        with holding(HOLD_SHADOW, conninfo) as process:
            process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            seconds_until(lambda: is_free(connection), began)
            process.send_signal(signal.SIGCONT)
        with connect(conninfo) as first, connect(conninfo) as second, shadow.hold_rebuild_lock(second):
            fill_views(conninfo)
            with pytest.raises(Unavailable, match="lost its lock"):
                swap_in(conninfo, holder=first.info.backend_pid)
            swap_in(conninfo, holder=second.info.backend_pid)


def is_free(connection: Connection) -> bool:
    """Whether nobody rebuilds any more."""
    try:
        with shadow.hold_rebuild_lock(connection):
            return True
    except shadow.RebuildUnderWay:
        return False
