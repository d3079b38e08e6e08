"""A primary and a streaming standby of PostgreSQL's own programs, for tests of failing over."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from tests.support.postgres import FAST, wait_for
from tests.support.processes import wait_until

QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
USER = "recount"


def as_nobody(directory: Path) -> dict[str, Any]:
    """Give the directory to somebody other than root; return how to run programs as them."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("nobody")
    shutil.chown(directory, account.pw_uid, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@dataclass
class Member:
    """One of the two servers, reached by its socket only."""

    programs: Path
    directory: Path
    as_other: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def conninfo(self) -> str:
        return make_conninfo(host=str(self.directory), user=USER, dbname="postgres")

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        subprocess.run(command, check=True, cwd=self.directory, **QUIET, **self.as_other)

    def start(self) -> None:
        settings = {**FAST, "listen_addresses": "", "unix_socket_directories": str(self.directory)}
        settings["synchronous_commit"] = "on"
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        command = [str(self.programs / "postgres"), "-D", str(self.data), *flags]
        self.process = subprocess.Popen(
            command, cwd=self.directory, start_new_session=True, **QUIET, **self.as_other
        )
        wait_for(self.conninfo, self.process)

    def value(self, sql: str, *parameters: Any) -> Any:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            row = connection.execute(sql, parameters).fetchone()
            return None if row is None else row[0]

    def execute(self, sql: str) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(sql)

    def kill(self) -> None:
        """Kill the server with all its processes, as a power cut does."""
        assert self.process is not None
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        for pid in [self.process.pid, *map(int, children.stdout.split())]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)


@dataclass
class Pair:
    """``both``: where whoever follows a failover connects."""

    primary: Member
    standby: Member

    @property
    def both(self) -> str:
        hosts = f"{self.primary.directory},{self.standby.directory}"
        return make_conninfo(host=hosts, user=USER, dbname="postgres", target_session_attrs="read-write")

    def wait_for_standby(self) -> None:
        """Return once the standby has replayed all that was written up to now."""
        lsn = self.primary.value("SELECT pg_current_wal_insert_lsn()::text")
        wait_until(lambda: self.standby.value("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn) is True)

    def cut_off(self) -> None:
        """Let nothing reach the standby any more; the primary does not notice."""
        os.kill(self.primary.value("SELECT pid FROM pg_stat_replication"), signal.SIGSTOP)

    def fail_over(self) -> None:
        """Kill the primary and promote the standby."""
        self.primary.kill()
        self.promote()

    def promote(self) -> None:
        self.standby.value("SELECT pg_promote()")
        wait_until(lambda: self.standby.value("SELECT pg_is_in_recovery()") is False)


@contextmanager
def streaming(programs: Path, *, is_synchronous: bool = False) -> Iterator[Pair]:
    """A primary and a standby that follows it."""
    with member(programs) as primary, member(programs) as standby:
        primary.run("initdb", "-D", str(primary.data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        primary.start()
        source = ["-h", str(primary.directory), "-U", USER]
        standby.run("pg_basebackup", "-D", str(standby.data), "-R", "-X", "stream", "-c", "fast", *source)
        standby.start()
        wait_until(lambda: primary.value("SELECT count(*) FROM pg_stat_replication") == 1)
        if is_synchronous:
            primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            primary.execute("SELECT pg_reload_conf()")
            wait_until(lambda: primary.value("SELECT sync_state FROM pg_stat_replication") == "sync")
        yield Pair(primary, standby)


@contextmanager
def member(programs: Path) -> Iterator[Member]:
    directory = Path(tempfile.mkdtemp(prefix="recount-test-"))
    one = Member(programs, directory, as_nobody(directory))
    try:
        yield one
    finally:
        one.stop()
        shutil.rmtree(directory, ignore_errors=True)
