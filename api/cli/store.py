"""The store that a command works on, kept open for as long as the command runs."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uuid_utils.compat import uuid7

from recountdb.api.runtime import migrate_at, open_database
from recountdb.api.services.keys import check_project
from recountdb.api.settings import Settings, read_settings
from recountdb.domain.commands import Name
from recountdb.domain.errors import Unavailable
from recountdb.domain.events import Context
from recountdb.domain.sessions import Session
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.clock import Clock
from recountdb.eventlog.postgres.database import Addresses, Database, connect
from recountdb.eventlog.postgres.embedded import EmbeddedPostgres
from recountdb.eventlog.postgres.schema import applied
from recountdb.projections.views.registry import CoreViews


@dataclass(frozen=True)
class Place:
    """A store's place. ``addresses`` are those of a named PostgreSQL; None means the embedded one."""

    settings: Settings
    addresses: Addresses | None

    @property
    def directory(self) -> Path:
        return self.settings.data.absolute()

    @property
    def is_embedded(self) -> bool:
        return self.addresses is None


def place(data: Path | None, **given: object) -> Place:
    """Return the store's place: the directory ``data``, or if that is None as the environment says.

    ``given`` are further settings from the command line. Raises SettingsInvalid.
    """
    settings = read_settings(data=data, **given)
    return Place(settings, None if data is not None else settings.addresses)


@contextmanager
def connected(place: Place, *, kept_running: bool = False) -> Iterator[Addresses]:
    """Yield where to connect, with PostgreSQL running. Raises EmbeddedPostgresFailed.

    With ``kept_running``, the embedded PostgreSQL is started again whenever it dies.
    """
    if place.addresses is not None:
        yield place.addresses
        return
    postgres = EmbeddedPostgres(place.directory)
    with postgres.kept_running() if kept_running else postgres as conninfo:
        yield Addresses(conninfo)


@contextmanager
def opened(place: Place, *, begins: bool = False, is_importing: bool = False) -> Iterator[Database]:
    """Yield the store's open database. With ``begins``, an empty one is set up first.

    Raises Unavailable and EmbeddedPostgresFailed, and ImportUnfinished unless ``is_importing`` a log.
    """
    if not begins:
        refuse_missing(place)
    with connected(place) as addresses:
        if begins:
            _set_up_new(addresses)
        connections_max = place.settings.connections_max
        database = open_database(addresses, connections_max=connections_max, is_importing=is_importing)
        try:
            yield database
        finally:
            database.close()


@contextmanager
def running(database: Database) -> Iterator[Recount]:
    """Yield the application, for commands that write or look into the past."""
    application = Recount(database, CoreViews(database))
    try:
        yield application
    finally:
        application.close()


def refuse_missing(place: Place) -> None:
    """Raise Unavailable where there is no data, for a command that reads makes no new database."""
    if is_missing(place):
        raise Unavailable(
            f"there are no data in {place.directory} yet: 'recount serve' and 'recount import' begin there"
        )


def is_missing(place: Place) -> bool:
    return place.is_embedded and not os.path.lexists(place.directory / "postgres")


def _set_up_new(addresses: Addresses) -> None:
    """Migrate an empty database. An older schema is left to 'recount migrate': a server may be using it."""
    with connect(addresses.direct) as connection:
        is_new = not applied(connection)
    if is_new:
        migrate_at(addresses)


def contexts(project: str, clock: Clock) -> Callable[[], Context]:
    """Return a function that makes the contexts of one command, with the user's name and one request id."""
    actor, request_id = f"cli:{_user_name()}", str(uuid7())
    return lambda: Context(check_project(project), actor, clock.now(), request_id)


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return str(os.geteuid())


def name_of(project: str, kind: str, name: str, scope: str) -> Name:
    """Return the full name of what a command line names. ``scope`` counts for sessions only."""
    return Name(project, kind, scope if kind == Session.KIND else "", name)
