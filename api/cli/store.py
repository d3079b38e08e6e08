"""Which store a command works on, and having it open for as long as the command runs."""

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
    """``addresses``: of a PostgreSQL that was named; None: the embedded one in ``directory``."""

    settings: Settings
    addresses: Addresses | None

    @property
    def directory(self) -> Path:
        return self.settings.data.absolute()

    @property
    def is_embedded(self) -> bool:
        return self.addresses is None


def place(data: Path | None, **given: object) -> Place:
    """Where the store is: ``data`` as told to the command, else as the environment says.

    Raises SettingsInvalid.
    """
    settings = read_settings(data=data, **given)
    return Place(settings, None if data is not None else settings.addresses)


@contextmanager
def connected(place: Place, *, kept_running: bool = False) -> Iterator[Addresses]:
    """PostgreSQL, running; yields where to connect. Raises EmbeddedPostgresFailed.

    ``kept_running``: the embedded one is started again whenever it dies.
    """
    if place.addresses is not None:
        yield place.addresses
        return
    postgres = EmbeddedPostgres(place.directory)
    with postgres.kept_running() if kept_running else postgres as conninfo:
        yield Addresses(conninfo)


@contextmanager
def opened(place: Place, *, begins: bool = False, is_importing: bool = False) -> Iterator[Database]:
    """The store's database. With ``begins``, one that holds nothing yet is set up first.

    Raises Unavailable and EmbeddedPostgresFailed; ImportUnfinished unless a log ``is_importing``.
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
    """The application, for commands that write or look into the past."""
    application = Recount(database, CoreViews(database))
    try:
        yield application
    finally:
        application.close()


def refuse_missing(place: Place) -> None:
    """A command that reads makes no new database. Raises Unavailable."""
    if is_missing(place):
        raise Unavailable(
            f"there are no data in {place.directory} yet: 'recount serve' and 'recount import' begin there"
        )


def is_missing(place: Place) -> bool:
    return place.is_embedded and not os.path.lexists(place.directory / "postgres")


def _set_up_new(addresses: Addresses) -> None:
    """An old schema is left to 'recount migrate', for a server of its version may be using it."""
    with connect(addresses.direct) as connection:
        is_new = not applied(connection)
    if is_new:
        migrate_at(addresses)


def contexts(project: str, clock: Clock) -> Callable[[], Context]:
    """Makes the contexts of what one command does: all with the user's name and one request id."""
    actor, request_id = f"cli:{_user_name()}", str(uuid7())
    return lambda: Context(check_project(project), actor, clock.now(), request_id)


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return str(os.geteuid())


def name_of(project: str, kind: str, name: str, scope: str) -> Name:
    """What a command line names; of all that it can name, sessions alone have a scope."""
    return Name(project, kind, scope if kind == Session.KIND else "", name)
