"""The embedded PostgreSQL through its whole life, with real processes that are really killed.

As root, most of this runs PostgreSQL as the service user, and the tests that name an ordinary user
run a process as ``nobody``; as an ordinary user, everything runs as that user and what needs root
is skipped.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
import psycopg_pool
import pytest

from recountdb.domain.errors import RecountError
from recountdb.eventlog.postgres import embedded, programs
from recountdb.eventlog.postgres.embedded import EmbeddedPostgres
from recountdb.eventlog.postgres.programs import Account, EmbeddedPostgresFailed, Programs, packaged_home
from tests.support.processes import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

# Runs until its input ends, so it cannot outlive the test that started it.
HOLDER = """
import sys
from pathlib import Path
import psycopg
from recountdb.eventlog.postgres.embedded import EmbeddedPostgres
from recountdb.eventlog.postgres.programs import EmbeddedPostgresFailed
try:
    with EmbeddedPostgres(Path(sys.argv[1])) as conninfo:
        print(conninfo, flush=True)
        sys.stdin.read()
except EmbeddedPostgresFailed as failure:
    print(f"refused: {failure}", flush=True)
"""


# Becomes nobody only after the imports: Python itself may lie where that user cannot read.
AS_NOBODY = """
import os, pwd
entry = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(entry.pw_gid)
os.setuid(entry.pw_uid)
"""


@dataclass
class Holder:
    """Another process that uses the embedded PostgreSQL until told to leave."""

    process: subprocess.Popen[str]

    def told(self) -> str:
        """What it said first: where to connect, or why it was refused."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(30) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)


Hold = Callable[..., Holder]


@pytest.fixture
def hold() -> Iterator[Hold]:
    with contextlib.ExitStack() as stack:

        def start(directory: Path, script: str = HOLDER, **options: Any) -> Holder:
            process = subprocess.Popen(
                [sys.executable, "-c", script, str(directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=REPOSITORY,
                **options,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return Holder(process)

        yield start


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    """Where data may go. Afterwards nothing may run there, whatever the test did."""
    directory = tmp_path / "data"
    yield directory
    is_left = is_running(directory)
    if is_left:
        os.kill(postmaster(directory), signal.SIGQUIT)
    assert not is_left, "the test left PostgreSQL running"
    shutil.rmtree(directory, ignore_errors=True)  # 40 MB, which pytest would keep for three runs


@pytest.fixture
def directory(empty: Path, made: Path) -> Path:
    """Data that were used and stopped before, the test's own."""
    return copied(made, empty)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data to copy: making them waits for the disk, copying does not."""
    directory = tmp_path_factory.mktemp("made") / "data"
    with EmbeddedPostgres(directory):
        pass
    yield directory
    shutil.rmtree(directory)


def copied(made: Path, place: Path) -> Path:
    subprocess.run(["cp", "-a", str(made), str(place)], check=True)
    return place


@dataclass(frozen=True)
class Ordinary:
    """An ordinary user: a directory of theirs, and a holder's script that runs as that user."""

    home: Path
    script: str


@pytest.fixture
def ordinary() -> Iterator[Ordinary]:
    home = Path(tempfile.mkdtemp(prefix="recount-test-"))
    try:
        yield become_ordinary(home) if IS_ROOT else Ordinary(home, HOLDER)
        assert not is_running(home / "data"), "the test left PostgreSQL running"
    finally:
        shutil.rmtree(home)


def become_ordinary(home: Path) -> Ordinary:
    entry = pwd.getpwnam("nobody")
    account = Account("nobody", entry.pw_uid, entry.pw_gid)
    if not Programs(packaged_home(), account).are_usable():
        pytest.skip("the user nobody cannot reach PostgreSQL's programs in this environment")
    os.chown(home, entry.pw_uid, entry.pw_gid)
    return Ordinary(home, HOLDER.replace("try:", f"{AS_NOBODY}try:", 1))


def is_running(directory: Path) -> bool:
    with contextlib.suppress(OSError), (directory / "server.lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def postmaster(directory: Path) -> int:
    return int((directory / "postgres" / "postmaster.pid").read_text().split()[0])


def process_exists(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def fetch(conninfo: str, statement: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(psycopg.connect(conninfo, autocommit=True)) as connection:
        cursor = connection.execute(cast(Any, statement))
        return cursor.fetchall() if cursor.description else []


def fetch_one(conninfo: str, statement: str) -> Any:
    return fetch(conninfo, statement)[0][0]


STARTED = "SELECT pg_postmaster_start_time()"


# A life without accidents


def test_the_first_start_makes_a_private_utf8_database(empty: Path) -> None:
    with EmbeddedPostgres(empty) as conninfo:
        row = fetch(
            conninfo,
            "SELECT current_user::text, current_database()::text, pg_encoding_to_char(encoding),"
            " datlocale, datcollate, current_setting('data_checksums'),"
            " current_setting('fsync'), current_setting('synchronous_commit'),"
            " current_setting('jit'), current_setting('TimeZone'),"
            " current_setting('server_version_num')::int / 10000"
            " FROM pg_database WHERE datname = current_database()",
        )
    names = ("recount", "recount", "UTF8", "C.UTF-8", "C")
    assert row == [(*names, "on", "on", "on", "off", "UTC", 18)]
    for place in (empty, empty / "postgres"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_data_survive_a_stop_and_a_start(directory: Path) -> None:
    with EmbeddedPostgres(directory) as conninfo:
        fetch(conninfo, "CREATE TABLE kept AS SELECT 'remember me' AS word")
    assert not is_running(directory)
    with EmbeddedPostgres(directory) as conninfo:
        assert fetch_one(conninfo, "SELECT word FROM kept") == "remember me"


def test_a_pool_takes_what_start_returns(directory: Path) -> None:
    with (
        EmbeddedPostgres(directory) as conninfo,
        psycopg_pool.ConnectionPool(conninfo, min_size=1, open=True) as pool,
        pool.connection() as connection,
    ):
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_starting_twice_is_starting_once_and_stopping_twice_is_no_error(directory: Path) -> None:
    postgres = EmbeddedPostgres(directory)
    first = fetch_one(postgres.start(), STARTED)
    assert fetch_one(postgres.start(), STARTED) == first
    postgres.stop()
    assert not is_running(directory)
    postgres.stop()


def test_settings_of_the_caller_win(directory: Path) -> None:
    with EmbeddedPostgres(directory, settings={"cluster_name": "it's \\ mine"}) as conninfo:
        assert fetch_one(conninfo, "SHOW cluster_name") == "it's \\ mine"


def test_variables_for_another_server_lead_nobody_astray(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGHOSTADDR"):
        monkeypatch.setenv(name, "127.0.0.1")
    for name in ("PGPORT", "PGUSER", "PGDATABASE", "PGDATA"):
        monkeypatch.setenv(name, "1")
    with EmbeddedPostgres(directory) as conninfo:
        assert fetch_one(conninfo, "SELECT current_user::text") == "recount"


def test_threads_share_one_object_or_have_their_own(directory: Path) -> None:
    shared = EmbeddedPostgres(directory)

    def use(number: int) -> Any:
        own = EmbeddedPostgres(directory) if number % 2 else shared
        began = fetch_one(own.start(), STARTED)
        if own is not shared:
            own.stop()
        return began

    began = fetch_one(shared.start(), STARTED)  # or one of the others could be the last before it
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(use, range(16))) == {began}
    shared.stop()


def test_a_program_that_forgets_to_stop_stops_at_its_exit(directory: Path, hold: Hold) -> None:
    script = HOLDER.replace("with EmbeddedPostgres(Path(sys.argv[1])) as conninfo:", "if True:")
    script = script.replace("print(conninfo", "print(EmbeddedPostgres(Path(sys.argv[1])).start()")
    holder = hold(directory, script)
    assert fetch_one(holder.told(), "SELECT 1") == 1
    holder.leave()
    assert not is_running(directory)


# Several processes


def test_the_last_process_to_leave_stops_it(directory: Path, hold: Hold) -> None:
    first = EmbeddedPostgres(directory)
    began = fetch_one(first.start(), STARTED)
    server = postmaster(directory)
    second = hold(directory)
    conninfo = second.told()
    first.stop()
    assert fetch_one(conninfo, STARTED) == began
    second.leave()
    assert not is_running(directory)
    # We are its parent and live on: it must not stay behind as a zombie of ours.
    wait_until(lambda: not process_exists(server))


def test_four_processes_start_at_once(empty: Path, hold: Hold) -> None:
    holders = [hold(empty) for _ in range(4)]
    assert len({fetch_one(holder.told(), STARTED) for holder in holders}) == 1
    for holder in holders:
        assert is_running(empty)
        holder.leave()
    assert not is_running(empty)


def test_ctrl_c_reaches_us_before_postgresql(directory: Path, hold: Hold) -> None:
    script = HOLDER.replace(
        "        print(conninfo, flush=True)\n        sys.stdin.read()\n",
        "        try:\n"
        "            print(conninfo, flush=True)\n"
        "            sys.stdin.read()\n"
        "        except KeyboardInterrupt:\n"
        "            print(psycopg.connect(conninfo).execute('SELECT 42').fetchone()[0])\n",
    )
    holder = hold(directory, script, start_new_session=True)
    holder.told()
    os.killpg(holder.process.pid, signal.SIGINT)
    assert holder.told() == "42"
    holder.leave()
    assert not is_running(directory)


@on_linux
def test_postgresql_inherits_its_own_lock_and_nothing_else(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_PROVIDERS_API_KEY", "sesame")
    with EmbeddedPostgres(directory):
        process = Path(f"/proc/{postmaster(directory)}")
        names = {str(descriptor.readlink()) for descriptor in (process / "fd").iterdir()}
        assert b"sesame" not in (process / "environ").read_bytes()
    ours = {name for name in names if name.startswith(f"{directory}/") and "/postgres/" not in name}
    assert ours == {f"{directory}/server.lock", f"{directory}/postgres.log"}


# Accidents


def test_what_a_killed_process_leaves_running_is_adopted(directory: Path, hold: Hold) -> None:
    holder = hold(directory)
    began = fetch_one(holder.told(), STARTED)
    holder.kill()
    assert is_running(directory)
    with EmbeddedPostgres(directory) as conninfo:
        assert fetch_one(conninfo, STARTED) == began
    assert not is_running(directory)


def test_a_killed_postgresql_recovers_at_the_next_start(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded, "_NOTICE_AFTER_SECONDS", 0)
    caplog.set_level(logging.INFO, embedded.__name__)
    postgres = EmbeddedPostgres(directory)
    fetch(postgres.start(), "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    os.kill(postmaster(directory), signal.SIGKILL)
    caplog.clear()
    # Started again by the very object that still holds its share.
    assert fetch_one(postgres.start(), "SELECT count(*) FROM kept") == 1000
    assert "it may be recovering" in caplog.text
    assert "was interrupted" in postgres.log.read_text()
    postgres.stop()


def test_a_number_left_by_a_crash_may_be_anyones_by_now(directory: Path) -> None:
    postgres = EmbeddedPostgres(directory)
    postgres.start()
    data = directory / "postgres"
    left = {name: (data / name).read_text() for name in ("postmaster.pid", ".s.PGSQL.5432.lock")}
    server = postmaster(directory)
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: not is_running(directory))
    # PostgreSQL believes the number only of a process that runs as the same user.
    become: dict[str, Any] = {"user": programs.SERVICE_USER} if IS_ROOT else {}
    with subprocess.Popen(["sleep", "60"], **become) as somebody_else:
        for name, text in left.items():
            (data / name).write_text(text.replace(str(server), str(somebody_else.pid), 1))
        assert fetch_one(postgres.start(), "SELECT 1") == 1
        postgres.stop()
        assert somebody_else.poll() is None
        somebody_else.kill()


def test_a_start_waits_for_processes_of_the_former_one(directory: Path) -> None:
    with EmbeddedPostgres(directory):
        pass
    with (directory / "server.lock").open() as former:
        fcntl.flock(former, fcntl.LOCK_EX)
        timer = threading.Timer(0.5, lambda: fcntl.flock(former, fcntl.LOCK_UN))
        timer.start()
        began = time.monotonic()
        with EmbeddedPostgres(directory) as conninfo:
            assert time.monotonic() - began >= 0.5
            assert fetch_one(conninfo, "SELECT 1") == 1
        timer.join()


@pytest.mark.parametrize("step", ["base", "global/pg_control", "base/5"])
def test_an_interrupted_first_start_begins_anew(empty: Path, hold: Hold, step: str) -> None:
    holder = hold(empty, start_new_session=True)
    wait_until(lambda: any(empty.glob(f"postgres.new-*/{step}")))
    os.killpg(holder.process.pid, signal.SIGKILL)
    holder.process.wait()
    assert not (empty / "postgres").exists()
    with EmbeddedPostgres(empty) as conninfo:
        assert fetch_one(conninfo, "SELECT 1") == 1
    assert not list(empty.glob("postgres.new-*"))


def test_the_directory_is_deleted_under_our_feet(directory: Path) -> None:
    postgres = EmbeddedPostgres(directory)
    postgres.start()
    server = postmaster(directory)
    while directory.exists():
        shutil.rmtree(directory, ignore_errors=True)  # PostgreSQL is still making files there
    postgres.stop()
    with contextlib.suppress(ProcessLookupError):
        os.kill(server, signal.SIGQUIT)  # it notices by itself, but perhaps only within a minute
    wait_until(lambda: not process_exists(server))


# Who gets in


@on_linux
def test_no_port_is_open(directory: Path) -> None:
    with EmbeddedPostgres(directory) as conninfo:
        assert fetch_one(conninfo, "SHOW listen_addresses") == ""
        process = Path(f"/proc/{postmaster(directory)}")
        links = {str(descriptor.readlink()) for descriptor in (process / "fd").iterdir()}
        tables = [(process / "net" / name).read_text() for name in ("tcp", "tcp6")]
        open_ports = {f"socket:[{line.split()[9]}]" for table in tables for line in table.splitlines()}
    assert not links & open_ports


@needs_root
def test_another_user_cannot_connect_even_where_the_way_is_open(made: Path) -> None:
    home = Path(tempfile.mkdtemp(prefix="recount-test-"))
    script = f"import psycopg, sys\n{AS_NOBODY}\npsycopg.connect(sys.argv[1])"

    def try_as_nobody(conninfo: str) -> str:
        command = [sys.executable, "-c", script, conninfo]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        return done.stderr

    try:
        settings = {"unix_socket_permissions": "0777"}
        with EmbeddedPostgres(copied(made, home / "data"), settings=settings) as conninfo:
            assert "Permission denied" in try_as_nobody(conninfo)
            for place in (home, home / "data", home / "data" / "postgres"):
                place.chmod(0o711)
            assert "Peer authentication failed" in try_as_nobody(conninfo)
            for place in (home, home / "data", home / "data" / "postgres"):
                place.chmod(0o700)
    finally:
        shutil.rmtree(home)


def test_the_log_keeps_no_words_of_a_failing_statement(directory: Path) -> None:
    postgres = EmbeddedPostgres(directory)
    with postgres as conninfo:
        fetch(conninfo, "CREATE TABLE word (word text PRIMARY KEY)")
        fetch(conninfo, "INSERT INTO word VALUES ('our secret')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            fetch(conninfo, "INSERT INTO word VALUES ('our secret')")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            fetch(conninfo, "SELECT 'our secret'::uuid")
    assert "our secret" not in postgres.log.read_text()


# Where the data may lie


@needs_root
def test_directories_above_stay_closed(empty: Path) -> None:
    closed = empty / "closed"
    closed.mkdir(parents=True, mode=0o700)
    modes = {place: place.stat() for place in (closed, *closed.parents)}
    with EmbeddedPostgres(closed / "data") as conninfo:
        assert fetch_one(conninfo, "SHOW data_directory") == "/proc/self/cwd"
        fetch(conninfo, "CREATE EXTENSION vector")  # reads files of the programs, too
    for place, before in modes.items():
        after = place.stat()
        assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
    owners = {path.name: path.owner() for path in (closed / "data").iterdir()}
    assert {name for name, owner in owners.items() if owner == "recount"} == {"postgres"}


@pytest.mark.parametrize("name", ["long" * 40, "a,b", "it's mine", "ein Verzeichnis mit ü"])
def test_any_name_of_a_directory_will_do(
    empty: Path, made: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="recount-test-") as links:
        monkeypatch.setattr(tempfile, "tempdir", links)
        empty.mkdir()
        copied(made, empty / name)
        with EmbeddedPostgres(empty / name) as conninfo:
            assert fetch_one(conninfo, "SELECT 1") == 1
            assert all(stat.S_IMODE(link.stat().st_mode) == 0o700 for link in Path(links).iterdir())
        assert not list(Path(links).iterdir())
    assert not is_running(empty / name)


def test_an_ordinary_user_needs_nobody(ordinary: Ordinary, hold: Hold) -> None:
    for _ in range(2):
        holder = hold(ordinary.home / "data", ordinary.script)
        assert "refused" not in holder.told()
        holder.leave()
    assert (ordinary.home / "data" / "postgres").owner() == ordinary.home.owner()


@needs_root
def test_root_leaves_the_data_of_others_alone(ordinary: Ordinary, hold: Hold) -> None:
    holder = hold(ordinary.home / "data", ordinary.script)
    holder.told()
    holder.leave()
    with pytest.raises(EmbeddedPostgresFailed, match="belong to nobody"):
        EmbeddedPostgres(ordinary.home / "data").start()


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_an_unwritable_directory_is_refused(ordinary: Ordinary, hold: Hold, mode: int) -> None:
    (ordinary.home / "data").mkdir()
    (ordinary.home / "data").chmod(mode)
    told = hold(ordinary.home / "data", ordinary.script).told()
    assert "refused: The user nobody may not use" in told
    assert "belongs to root" in told
    assert "name a directory that this user may write" in told


@needs_root
def test_programs_out_of_reach_are_copied_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = programs.packaged_home().parent
    unreachable = directory / "closed"
    unreachable.mkdir(parents=True, mode=0o700)
    kept = shutil.ignore_patterns("pginstall", "include", "*.a")
    for source in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, unreachable / source.name, symlinks=True, ignore=kept)
    home = unreachable / package.name / "pginstall18"
    copies = Path(tempfile.mkdtemp(prefix="recount-test-"))
    copies.chmod(0o755)
    monkeypatch.setattr(programs, "packaged_home", lambda: home)
    monkeypatch.setattr(programs, "COPIES", copies / "recount")
    try:
        made = []
        for _ in range(2):
            with EmbeddedPostgres(directory) as conninfo:
                fetch(conninfo, "CREATE EXTENSION IF NOT EXISTS vector")
                program = Path(f"/proc/{postmaster(directory)}/exe").readlink()
                assert program.is_relative_to(copies)
                made.append(program.stat().st_ino)
        assert made[0] == made[1]
        assert len(list((copies / "recount").glob("*-*"))) == 1
    finally:
        shutil.rmtree(copies)


# Refusals say what to do


def refusal(directory: Path, **options: Any) -> str:
    with pytest.raises(EmbeddedPostgresFailed) as caught:
        EmbeddedPostgres(directory, **options).start()
    assert isinstance(caught.value, RecountError)
    message = str(caught.value)
    assert "\n" not in message
    assert not is_running(directory)
    return message


def test_data_of_another_version_are_refused(directory: Path) -> None:
    with EmbeddedPostgres(directory):
        pass
    (directory / "postgres" / "PG_VERSION").write_text("17\n")
    assert "written by PostgreSQL 17" in refusal(directory)


def test_something_else_in_the_place_of_the_data_is_refused(empty: Path) -> None:
    (empty / "postgres").mkdir(parents=True)
    if IS_ROOT:
        shutil.chown(empty / "postgres", "nobody")
    (empty / "postgres" / "diary.txt").write_text("Dear diary")
    assert "move it away" in refusal(empty) or "belong to nobody" in refusal(empty)
    assert (empty / "postgres" / "diary.txt").exists()


@pytest.mark.parametrize("place", [".", "postgres"])
def test_a_file_where_a_directory_should_be_is_refused(tmp_path: Path, place: str) -> None:
    culprit = tmp_path / "data" / place
    culprit.parent.mkdir(exist_ok=True)
    culprit.write_text("")
    assert f"{culprit} is not a directory" in refusal(tmp_path / "data")


def test_a_mistaken_setting_is_named_in_the_log_that_the_refusal_names(directory: Path) -> None:
    message = refusal(directory, settings={"work_mem": "plenty"})
    assert "Correct or remove the setting" in message
    assert str(directory / "postgres.log") in message
    assert "work_mem" in (directory / "postgres.log").read_text()


def test_a_postgresql_that_others_started_is_not_ours_to_use(directory: Path, hold: Hold) -> None:
    holder = hold(directory)
    conninfo = holder.told()
    holder.kill()
    (directory / "server.lock").rename(directory / "lock.gone")
    with pytest.raises(EmbeddedPostgresFailed, match="did not start"):
        EmbeddedPostgres(directory).start()
    assert fetch_one(conninfo, "SELECT 1") == 1
    (directory / "lock.gone").rename(directory / "server.lock")
    with EmbeddedPostgres(directory):
        pass


@needs_root
def test_a_full_disk_is_named(empty: Path) -> None:
    empty.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(empty)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        message = refusal(empty)
    finally:
        subprocess.run(["umount", "-l", str(empty)], check=True)
    assert "The disk is full: make room" in message
