"""The files of the embedded PostgreSQL: made, checked and configured before it runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from recountdb.eventlog.postgres.programs import (
    MAJOR_VERSION,
    Account,
    EmbeddedPostgresFailed,
    Programs,
    user_name,
)
from recountdb.eventlog.postgres.server_log import ServerLog

ROLE = "recount"  # and the name of the database
PORT = 5432  # only a part of the socket's name: there is no TCP

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_directories": ".",  # PostgreSQL's working directory, so never too long an address
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "cluster_name": "recount",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "1GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # What people said must not reach the log: no statements, no parameters, no DETAIL lines.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
_SETTINGS_WITH_LZ4 = {"wal_compression": "lz4", "default_toast_compression": "lz4"}

_INITDB_OPTIONS = (
    f"--username={ROLE} --auth=peer --encoding=UTF8 --locale=C --locale-provider=builtin"
    " --builtin-locale=C.UTF-8 --data-checksums --no-instructions"
).split()

_CONFIGURATION_HEAD = """# Written by Recount at each start. Your own changes belong into
# postgresql.conf, below the line that includes this file.
"""

# An error's first line can quote a value ("invalid input syntax for type uuid: ..."). Sessions of
# the role keep theirs out of the log, the caller has them anyway; a failing checkpoint or recovery
# is no session and still logs why.
_FIRST_STATEMENTS = f"""CREATE DATABASE {ROLE};
ALTER ROLE {ROLE} SET log_min_messages = 'log';
"""


class DataDirectory:
    """Directory of PostgreSQL's data and configuration. All methods need start.lock.

    ``settings`` are PostgreSQL's own; they override ours.
    """

    def __init__(self, path: Path, log: ServerLog, settings: Mapping[str, str]) -> None:
        self.path = path
        self._log = log
        self._settings = dict(settings)

    @property
    def is_made(self) -> bool:
        return (self.path / "PG_VERSION").exists()

    def check(self, account: Account) -> None:
        """Refuse data that are not ours to run, before anything is changed."""
        if not os.path.lexists(self.path) or not any(self.path.iterdir()):
            return
        if (owner := self.path.stat().st_uid) != account.user_id:
            raise EmbeddedPostgresFailed(
                f"The data in {self.path} belong to {user_name(owner)}, but PostgreSQL would run"
                f" as {account.name}: start Recount as the user it was first started as, or name"
                f" another directory."
            )
        version_file = self.path / "PG_VERSION"
        if not version_file.exists():
            raise EmbeddedPostgresFailed(
                f"{self.path} is neither empty nor a database of PostgreSQL: move it away, or"
                f" name another directory."
            )
        if (version := version_file.read_text().strip()) != MAJOR_VERSION:
            raise EmbeddedPostgresFailed(
                f"The data in {self.path} were written by PostgreSQL {version}, and this Recount"
                f" carries {MAJOR_VERSION}: dump them with the version that wrote them and load"
                f" the dump into a new directory, or use the Recount that made them."
            )

    def create(self, programs: Programs) -> None:
        """Create the database next to its place, then move it there, so that half of one never counts."""
        for leftover in self.path.parent.glob("postgres.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.path.parent))
        try:
            with _directory(fresh) as descriptor:
                programs.account.give(descriptor)
            self._fill(fresh, programs)
            fresh.rename(self.path)
            with _directory(self.path.parent) as descriptor:
                os.fsync(descriptor)  # a power cut must not undo the move
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _fill(self, fresh: Path, programs: Programs) -> None:
        where = ("-D", programs.name_of(fresh))
        single = ("--single", *where, "-c", "exit_on_error=on", "postgres")
        with self._log.open_file() as log:
            is_made = programs.run("initdb", *where, *_INITDB_OPTIONS, inside=fresh, log=log)
            is_made = is_made and programs.run(
                "postgres", *single, inside=fresh, log=log, text=_FIRST_STATEMENTS
            )
        if not is_made:
            raise self._log.failure(f"The database in {self.path} could not be made")
        with (fresh / "postgresql.conf").open("a") as file:
            file.write("\ninclude 'recount.conf'  # rewritten by Recount at each start\n")
            file.flush()
            os.fsync(file.fileno())  # as initdb did with all it wrote

    def configure(self, programs: Programs) -> None:
        settings = _SETTINGS | (_SETTINGS_WITH_LZ4 if programs.have_lz4() else {}) | self._settings
        lines = [f"{name} = {_quoted(value)}\n" for name, value in settings.items()]
        names = sorted({programs.account.name, user_name(os.geteuid())})
        files = {
            "recount.conf": _CONFIGURATION_HEAD + "".join(lines),
            "pg_hba.conf": f"local all {ROLE} peer map=recount\n",
            "pg_ident.conf": "".join(f'recount "{name}" {ROLE}\n' for name in names),
        }
        for name, text in files.items():
            _write(self.path / name, text, programs.account)


def _write(path: Path, text: str, account: Account) -> None:
    """Replace a file atomically. Never write through a link that the directory's owner may have made."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        account.give(descriptor)
    fresh.replace(path)


@contextlib.contextmanager
def _directory(path: Path) -> Iterator[int]:
    """Open the directory itself."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _quoted(value: str) -> str:
    """Return a value as a configuration file takes it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
