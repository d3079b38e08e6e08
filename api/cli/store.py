"""The store that a command works on, kept open for as long as the command runs."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uuid_utils.compat import uuid7

from recountdb.api.cli.claim import find_server
from recountdb.api.runtime import migrate_at, open_database, open_store
from recountdb.api.services.keys import check_project
from recountdb.api.settings import Settings, read_settings
from recountdb.domain.commands.base import Command
from recountdb.domain.errors import Unavailable
from recountdb.domain.events import Context
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.clock import Clock
from recountdb.eventlog.postgres.database import Addresses, Database, connect
from recountdb.eventlog.postgres.embedded import EmbeddedPostgres
from recountdb.eventlog.postgres.schema import load_applied
from recountdb.projections.rebuild.progress import is_served


@dataclass(frozen=True)
class StoreLocation:
    """A store's place. ``named``: the addresses of a PostgreSQL server; None means the embedded one."""

    settings: Settings
    named: Addresses | None

    @property
    def directory(self) -> Path:
        return self.settings.data.absolute()

    @property
    def is_embedded(self) -> bool:
        return self.named is None

    @property
    def is_missing(self) -> bool:
        return self.is_embedded and not os.path.lexists(self.directory / "postgres")

    def refuse_missing(self) -> None:
        """Raise Unavailable where there is no data, for a command that reads makes no new database."""
        if self.is_missing:
            raise Unavailable(
                f"there is no data in {self.directory} yet: run 'recount serve' or 'recount import' first"
            )

    @contextmanager
    def run_postgres(self, *, keep_running: bool = False) -> Iterator[Addresses]:
        """Yield where to connect, with PostgreSQL running. Raises EmbeddedPostgresFailed.

        With ``keep_running``, the embedded PostgreSQL is started again whenever it dies.
        """
        if self.named is not None:
            yield self.named
            return
        postgres = EmbeddedPostgres(self.directory)
        with postgres.keep_running() if keep_running else postgres as conninfo:
            yield Addresses(conninfo)

    @contextmanager
    def open_database(self, *, begins: bool = False, is_importing: bool = False) -> Iterator[Database]:
        """Yield the store's open database, for commands that need no application.

        ``begins``: set up an empty one first. ``is_importing``: take one whose import is unfinished.
        Raises Unavailable, EmbeddedPostgresFailed, ImportUnfinished.
        """
        with self._set_up(begins=begins) as addresses:
            connections_max = self.settings.connections_max
            database = open_database(addresses, connections_max=connections_max, is_importing=is_importing)
            try:
                yield database
            finally:
                database.close()

    @contextmanager
    def open_store(self, *, begins: bool = False) -> Iterator[Recount]:
        """Yield the store's application, for commands that write or look into the past.

        ``begins``: set up an empty database first. Raises what ``open_database`` raises.
        """
        with (
            self._set_up(begins=begins) as addresses,
            open_store(addresses, connections_max=self.settings.connections_max) as application,
        ):
            yield application

    @contextmanager
    def _set_up(self, *, begins: bool) -> Iterator[Addresses]:
        if not begins:
            self.refuse_missing()
        with self.run_postgres() as addresses:
            if begins:
                _migrate_new(addresses)
            yield addresses

    def describe(self, addresses: Addresses) -> dict[str, Any]:
        """Return which database it is, never with a password."""
        with connect(addresses.direct) as connection:
            info = connection.info
            major, minor = divmod(info.server_version, 10_000)
            common = {"postgresql": f"{major}.{minor}", "is_embedded": self.is_embedded}
            if self.is_embedded:
                return common | {"directory": str(self.directory)}
            return common | {"host": info.host, "port": info.port, "name": info.dbname, "user": info.user}

    def refuse_served(self, database: Database, remedy: str) -> None:
        """Raise Unavailable where a server uses the store. ``remedy`` ends its text."""
        server = find_server(self.directory) if self.is_embedded else None
        if server is not None or is_served(database):
            where = f" at {server.address}" if server and server.address else ""
            raise Unavailable(f"a server uses the database{where}: {remedy}")


def locate_store(data: Path | None, **given: object) -> StoreLocation:
    """Return the store's place: the directory ``data``, or if that is None as the environment says.

    ``given`` are further settings from the command line. Raises SettingsInvalid.
    """
    settings = read_settings(data=data, **given)
    return StoreLocation(settings, None if data is not None else settings.addresses)


def _migrate_new(addresses: Addresses) -> None:
    """Migrate an empty database. An older schema is left to 'recount migrate': a server may be using it."""
    with connect(addresses.direct) as connection:
        is_new = not load_applied(connection)
    if is_new:
        migrate_at(addresses)


def execute_command(data: Path | None, project: str, command: Command) -> None:
    """Execute one command of the domain on the store."""
    with locate_store(data).open_store() as application:
        application.execute(command, contexts(project, application.database.clock)())


def contexts(project: str, clock: Clock) -> Callable[[], Context]:
    """Return a function that makes the contexts of one command, with the user's name and one request id."""
    actor, request_id = f"cli:{_user_name()}", str(uuid7())
    return lambda: Context(check_project(project), actor, clock.now(), request_id)


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return str(os.geteuid())
