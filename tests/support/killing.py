"""Processes that are to be killed: the server with its PostgreSQL, and commands that run to their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx2

from recountdb.eventlog.application import Recount
from recountdb.eventlog.integrity.verify import log_flaws
from recountdb.eventlog.postgres.database import Connection
from recountdb.projections.rebuild import shadow
from recountdb.projections.rebuild.build import fill_views, find_differences
from tests.support.processes import wait_until
from tests.support.serving import wait_until_ready

RECOUNT = Path(sys.executable).with_name("recount")
ENDS_WITHIN_SECONDS = 60


def environment(**more: str) -> dict[str, str]:
    """Ours, without anything that would name a store."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RECOUNT_", "PG"))}
    return kept | more


class Served:
    """A server that is killed and started again, on a data directory or, by its settings, elsewhere.

    ``address``: where it was last reached.
    """

    def __init__(self, scratch: Path, *arguments: object, **settings: str) -> None:
        self.address = ""
        self._arguments = [str(argument) for argument in arguments]
        # One that is killed leaves its scratch there.
        self._settings = {"TMPDIR": str(scratch), "RECOUNT_LOG_LEVEL": "error"} | settings
        self._log = scratch / "server.log"
        self._process: subprocess.Popen[str] | None = None

    def launch(self, *arguments: object) -> None:
        """Begin to start."""
        command = [str(RECOUNT), "serve", "--port", "0", *self._arguments, *map(str, arguments)]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(**self._settings),
                start_new_session=True,
            )

    def start(self, *arguments: object) -> None:
        self.launch(*arguments)
        self.wait_until_reachable()

    def wait_until_reachable(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip().startswith("address"):
                self.address = line.split()[1]
                return self.wait_until_ready()
        raise AssertionError(f"it ended instead: {self._log.read_text()}")

    def wait_until_ready(self) -> None:
        with httpx2.Client(base_url=self.address, timeout=30) as http:
            wait_until_ready(http)

    def kill(self) -> None:
        """Its first process, or the only one: the others are to end by themselves."""
        assert self._process is not None
        self._process.kill()
        self._bury()

    def kill_all(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._bury()

    def freeze(self) -> None:
        """Stop all its processes where they are, until ``thaw``."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    @property
    def log(self) -> str:
        """What it said on standard error."""
        return self._log.read_text()

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._process.terminate()
            self._bury()

    def _bury(self) -> None:
        assert self._process is not None
        self._process.wait(ENDS_WITHIN_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()


def postmaster_of(data: Path) -> int:
    return int((data / "postgres" / "postmaster.pid").read_text().split()[0])


def processes(*columns: str) -> list[list[str]]:
    """Those columns of all there are."""
    command = ["ps", "-A", "-o", ",".join(f"{column}=" for column in columns)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split() for line in listed.stdout.splitlines()]


def children_of(parent: int) -> list[int]:
    return [int(pid) for pid, ppid in processes("pid", "ppid") if int(ppid) == parent]


def is_anyone_left(group: int) -> bool:
    """Whether a process of the group does anything yet; a dead one may not have been buried."""
    return any(int(pgid) == group and state[0] != "Z" for pgid, state in processes("pgid", "state"))


def kill_postgres(data: Path) -> None:
    """All its processes."""
    postmaster = postmaster_of(data)
    for pid in (postmaster, *children_of(postmaster)):
        sigkill(pid)


def sigkill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_postmaster(data: Path) -> None:
    sigkill(postmaster_of(data))


def kill_backend(data: Path, chance: Random) -> None:
    """Any process of PostgreSQL but the first: one that serves a connection, or writes out, or cleans up."""
    sigkill(chance.choice(children_of(postmaster_of(data))))


def assert_verified(connection: Connection, conninfo: str) -> None:
    """As ``recount verify`` does it."""
    assert_log_is_whole(connection)
    fill_views(conninfo)
    assert [str(difference) for difference in find_differences(connection)] == []
    shadow.drop_shadow(connection)


def assert_log_is_whole(connection: Connection) -> None:
    assert [str(flaw) for flaw in log_flaws(connection)] == []


@dataclass(frozen=True)
class Victim:
    """A command that may be killed at any moment, and is run again until it ends by itself.

    ``prepare``: makes what it works on, in a store that is empty or in files below the directory; returns
    its arguments. ``check``: of the store, once it has ended; whether the log and the views hold is
    asked of each victim anyway. ``renew``: sees to it before each attempt that there is something to
    do, or something left to do. ``is_alone``: nobody writes beside it, and the log is no whole one until it
    has ended.
    """

    prepare: Callable[[Recount, Path], list[str]]
    check: Callable[[Connection, Path], None]
    renew: Callable[[Recount], None] = lambda application: None
    is_alone: bool = False


@dataclass(frozen=True)
class Command:
    """A command of ``recount`` on the database at ``conninfo``."""

    arguments: list[str]
    conninfo: str

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [str(RECOUNT), *self.arguments]
        env = environment(RECOUNT_DATABASE_URL=self.conninfo)
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, env=env, start_new_session=True, **quiet) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self) -> float:
        """To its end; returns the seconds it took."""
        began = time.monotonic()
        with self.running() as process:
            assert process.wait(ENDS_WITHIN_SECONDS) == 0
        return time.monotonic() - began

    def is_killed_after(self, seconds: float) -> bool:
        """False: it ended by itself before. None of its own processes lives on."""
        with self.running() as process:
            try:
                assert process.wait(seconds) == 0
                return False
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(ENDS_WITHIN_SECONDS)
                wait_until(lambda: not is_anyone_left(process.pid))
                return True


class Notetaker:
    """A process of tests/support/notetaker.py, once it stands ready."""

    def __init__(self, conninfo: str, how: str, *, dies_after: int) -> None:
        self._kills_itself = dies_after > 0
        module = "tests.support.notetaker"
        command = [sys.executable, "-m", module, conninfo, how, str(dies_after)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._wait_for("stands ready")

    def wait_until_it_leads(self) -> None:
        self._wait_for("leads")

    def _wait_for(self, line: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{line}\n"

    def die(self) -> None:
        """By itself, when it is at the moment it waits for; else now."""
        if not self._kills_itself:
            self._process.kill()
        assert self._process.wait(ENDS_WITHIN_SECONDS) == -signal.SIGKILL
        self.end()

    def end(self) -> None:
        self._process.kill()
        self._process.wait(ENDS_WITHIN_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
