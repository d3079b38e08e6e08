"""Backups taken while writers run, and what comes back: everything that was acknowledged, and in order.

What docs/guides/back-up-and-restore.md says, done with PostgreSQL's own programs: those of the embedded
one, and version 15 where it is installed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from recountdb.api.runtime import migrate_database, open_database
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.errors import Unavailable
from recountdb.eventlog.application import Recount
from recountdb.eventlog.integrity.checkpoints import take_checkpoints
from recountdb.eventlog.integrity.verify import log_flaws
from recountdb.eventlog.postgres.database import connect
from recountdb.eventlog.postgres.embedded import EmbeddedPostgres
from recountdb.eventlog.postgres.programs import account_for_postgres, packaged_home, programs_for
from recountdb.projections.rebuild import build as rebuild
from recountdb.projections.rebuild import shadow
from tests.support.fixtures import SERVERS
from tests.support.postgres import wait_for
from tests.support.processes import context, recount_on, wait_until
from tests.support.programs import need_postgres_15
from tests.support.stories import say, tell_stories

pytestmark = pytest.mark.sql

PATIENCE_SECONDS = 60
WRITERS = 3

# The machine stays up, so what PostgreSQL has handed to it is safe from a killed process.
SETTINGS = {"fsync": "off", "listen_addresses": "", "archive_mode": "on", "max_wal_senders": "4"}


@dataclass
class Programs:
    """PostgreSQL's programs, and how subprocess runs them as a user that PostgreSQL accepts."""

    directory: Path
    account: dict[str, Any]

    def run(self, program: str, *arguments: object, stdin: IO[bytes] | None = None) -> None:
        """Raises CalledProcessError with what the program said."""
        subprocess.run(
            [self.directory / program, *map(str, arguments)],
            check=True,
            capture_output=True,
            cwd="/",
            stdin=stdin,
            timeout=PATIENCE_SECONDS,
            **self.account,
        )

    def make(self, directory: Path) -> Path:
        """A directory that the programs may write."""
        directory.mkdir(mode=0o700)
        if self.account:
            os.chown(directory, self.account["user"], self.account["group"])
        return directory


@pytest.fixture(params=SERVERS)
def programs(request: pytest.FixtureRequest) -> Programs:
    if request.param == "embedded":
        packaged = programs_for(account_for_postgres())
        return Programs(packaged.home / "bin", packaged.account.switching())
    directory = need_postgres_15("pg_basebackup")
    if os.geteuid() != 0:
        return Programs(directory, {})
    nobody = pwd.getpwnam("nobody")
    return Programs(directory, {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()})


@dataclass
class Cluster:
    """A server on ``home``/data, with its WAL archived in ``archive``."""

    programs: Programs
    home: Path
    archive: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        return self.home / "data"

    def conninfo(self, name: str = "postgres") -> str:
        return make_conninfo(host=str(self.home), user="recount", dbname=name)

    def start(self, **settings: str) -> None:
        """Start it and wait until it takes writes, so until a recovery is over."""
        given = SETTINGS | {"archive_command": f"cp %p {self.archive}/%f"} | settings
        given |= {"unix_socket_directories": str(self.home)}
        flags = [flag for name, value in given.items() for flag in ("-c", f"{name}={value}")]
        self.process = subprocess.Popen(
            [self.programs.directory / "postgres", "-D", self.data, *flags],
            cwd=self.home,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self.programs.account,
        )
        wait_for(self.conninfo(), self.process)
        wait_until(lambda: not self.ask("SELECT pg_is_in_recovery()"))

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE_SECONDS)

    def ask(self, statement: str) -> Any:
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            row = connection.execute(statement.encode()).fetchone()
        return None if row is None else row[0]


@contextmanager
def clusters(programs: Programs) -> Iterator[Callable[[str], Cluster]]:
    """Makes clusters under names, with one archive for all; in the end they are stopped and gone."""
    directory = Path(tempfile.mkdtemp(prefix="recount-test-"))
    directory.chmod(0o755)
    archive = programs.make(directory / "archive")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)

        def make(name: str) -> Cluster:
            cluster = Cluster(programs, programs.make(directory / name), archive)
            stack.callback(cluster.stop)
            return cluster

        yield make


@pytest.fixture
def make_cluster(programs: Programs) -> Iterator[Callable[[str], Cluster]]:
    with clusters(programs) as make:
        yield make


@pytest.fixture
def cluster(programs: Programs, make_cluster: Callable[[str], Cluster]) -> Cluster:
    """A running server with a store on it that has some of everything, and a checkpoint."""
    cluster = make_cluster("first")
    initdb = ("-U", "recount", "-A", "trust", "-E", "UTF8", "--no-sync")
    programs.run("initdb", "-D", cluster.data, *initdb)
    cluster.start()
    with connect(cluster.conninfo()) as connection:
        connection.execute("CREATE DATABASE recount")
    with connect(cluster.conninfo("recount")) as connection:
        migrate_database(connection)
    with recount_on(cluster.conninfo("recount")) as application:
        tell_stories(application, 2)
        take_checkpoints(application.database)
    return cluster


class Writers:
    """Write until they are told to end, or the database is gone; keep what was acknowledged, in order."""

    def __init__(self, application: Recount) -> None:
        self.acknowledged: list[str] = []
        self._application = application
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(WRITERS)]

    def _write(self, writer: int) -> None:
        number = 0
        while not self._is_over.is_set():
            text = f"{writer} {number}"
            adding = AddMessages(kind="session", name=f"busy {writer}", messages=say(text))
            try:
                self._application.execute(adding, context())
            except Unavailable:
                return
            self.acknowledged.append(text)
            number += 1

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()

    def write_some(self, count: int = 50) -> list[str]:
        """Wait until so many more were acknowledged; returns all of them."""
        wanted = len(self.acknowledged) + count
        wait_until(lambda: len(self.acknowledged) >= wanted)
        return list(self.acknowledged)


def contents(conninfo: str) -> set[str]:
    """What is said in the sessions that are written to meanwhile."""
    with connect(conninfo) as connection:
        rows = connection.execute(
            "SELECT content FROM messages JOIN sessions USING (stream_id) WHERE sessions.name LIKE 'busy %'"
        )
        return {content for (content,) in rows}


def check(conninfo: str) -> None:
    """What 'recount verify' looks at; and that one can go on from here."""
    database = open_database(conninfo, connections_max=1)
    database.close()
    with connect(conninfo) as connection:
        assert list(log_flaws(connection)) == []
        rebuild.fill_views(conninfo)
        assert list(rebuild.find_differences(connection)) == []
        shadow.drop_shadow(connection)
    with recount_on(conninfo) as application:
        tell_stories(application, first=100)
        take_checkpoints(application.database)
    with connect(conninfo) as connection:
        assert list(log_flaws(connection)) == []


def test_a_dump_taken_while_writers_run(programs: Programs, cluster: Cluster) -> None:
    with recount_on(cluster.conninfo("recount")) as application, Writers(application) as writers:
        before = writers.write_some()
        file = cluster.home / "recount.dump"
        programs.run("pg_dump", "-Fc", "-f", file, cluster.conninfo("recount"))
        after = writers.write_some()
    programs.run("createdb", "--maintenance-db", cluster.conninfo(), "restored")
    programs.run(
        "pg_restore", "--exit-on-error", "--single-transaction", "-d", cluster.conninfo("restored"), file
    )
    found = contents(cluster.conninfo("restored"))
    assert set(before) <= found < set(after)
    check(cluster.conninfo("restored"))


@pytest.mark.parametrize("programs", ["embedded"], indirect=True)
def test_the_embedded_one_can_be_dumped_while_it_runs(cluster: Cluster, tmp_path: Path) -> None:
    """By its own programs, through its private socket, as the guide says."""
    directory, file = tmp_path / "data", tmp_path / "shop.dump"
    with EmbeddedPostgres(directory) as conninfo:
        with connect(conninfo) as connection:
            migrate_database(connection)
        with recount_on(conninfo) as application, Writers(application) as writers:
            before = writers.write_some()
            place = (f"--host={directory}/postgres", "--username=recount", "recount")
            dump = [str(packaged_home() / "bin/pg_dump"), "--format=custom", f"--file={file}", *place]
            subprocess.run(dump, check=True, timeout=PATIENCE_SECONDS)
    file.chmod(0o644)
    with file.open("rb") as dumped:
        cluster.programs.run("createdb", "--maintenance-db", cluster.conninfo(), "restored")
        restore = ("pg_restore", "--exit-on-error", "--single-transaction")
        cluster.programs.run(*restore, "-d", cluster.conninfo("restored"), stdin=dumped)
    assert contents(cluster.conninfo("restored")) >= set(before)
    check(cluster.conninfo("restored"))


def restored(make_cluster: Callable[[str], Cluster], base: Path, name: str, **settings: str) -> Cluster:
    """A new server from a copy of the base backup and the archived WAL."""
    cluster = make_cluster(name)
    shutil.copytree(base, cluster.data)
    (cluster.data / "recovery.signal").touch()
    for path in (cluster.data, *cluster.data.rglob("*")):
        if cluster.programs.account:
            os.chown(path, cluster.programs.account["user"], cluster.programs.account["group"])
    # It archives nothing, for the archive is that of the first server.
    own = {"archive_mode": "off", "restore_command": f"cp {cluster.archive}/%f %p"}
    cluster.start(**own, **settings)
    return cluster


@pytest.fixture
def base(programs: Programs, cluster: Cluster) -> Callable[[], Path]:
    """Takes a base backup."""

    def take() -> Path:
        target = cluster.home / "base"
        programs.run("pg_basebackup", "-D", target, "-c", "fast", "-X", "stream", "-d", cluster.conninfo())
        return target

    return take


def test_a_base_backup_and_wal_after_the_server_was_killed(
    cluster: Cluster, base: Callable[[], Path], make_cluster: Callable[[str], Cluster]
) -> None:
    with recount_on(cluster.conninfo("recount")) as application, Writers(application) as writers:
        writers.write_some()
        backup = base()
        writers.write_some()
        cluster.ask("SELECT pg_switch_wal()")
        writers.write_some()
        cluster.kill()
        writers.join()
    # What was not archived yet, saved from the disk of the dead server.
    for segment in (cluster.data / "pg_wal").glob("[0-9A-F]" * 24):
        shutil.copy(segment, backup / "pg_wal")
    second = restored(make_cluster, backup, "second")
    assert contents(second.conninfo("recount")) >= set(writers.acknowledged)
    check(second.conninfo("recount"))


def test_recovery_to_a_moment(
    cluster: Cluster, base: Callable[[], Path], make_cluster: Callable[[str], Cluster]
) -> None:
    backup = base()
    with recount_on(cluster.conninfo("recount")) as application:
        with Writers(application) as writers:
            writers.write_some()
        before = set(writers.acknowledged)
        moment = cluster.ask("SELECT clock_timestamp()::text")
        time.sleep(0.01)
        mistake = AddMessages(kind="session", name="busy mistake", messages=say("a mistake"))
        application.execute(mistake, context())
    last = cluster.ask("SELECT pg_walfile_name(pg_switch_wal())")
    wait_until(lambda: (cluster.archive / last).exists())
    assert "a mistake" in contents(cluster.conninfo("recount"))
    second = restored(
        make_cluster, backup, "second", recovery_target_time=moment, recovery_target_action="promote"
    )
    assert contents(second.conninfo("recount")) == before
    check(second.conninfo("recount"))
