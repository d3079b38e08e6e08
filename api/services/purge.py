"""Purging, started by the clock, over HTTP or from the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from uuid_utils.compat import uuid7

from recountdb.api.services.read_audit import forget_reads
from recountdb.domain.commands import Name
from recountdb.domain.errors import Unavailable
from recountdb.domain.events import Context
from recountdb.domain.users import User
from recountdb.eventlog.application import Recount
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.postgres.database import Database, connect
from recountdb.projections.followers.eraser import erase_until
from recountdb.projections.queries.purge import Result, Target, alone, due, named, of_user, purge

ACTOR = "job:purge"
PATIENCE_SECONDS = 5.0  # how long to wait for another purge, such as the server's own
RETENTION_OVER = "deleted longer ago than the retention time"

ContextFor = Callable[[str], Context]
"""A function that returns the context for purging something of a project."""


def carry_out(
    application: Recount,
    targets: Iterable[Target],
    context_for: ContextFor,
    *,
    reason: str | None,
    insist: bool,
    patience_seconds: float = PATIENCE_SECONDS,
) -> list[Result]:
    """Purge ``targets``, and erase them before returning.

    While the views are being rebuilt, erasing waits for the rebuild but this function does not; then the
    receipts say so. For ``insist`` see projections.queries.purge. Raises Unavailable when another purge is
    under way and does not end in time, ClocksApart when this machine's clock disagrees with the database's.
    """
    clock = application.database.clock
    application.database.read(clock.refuse_apart)
    with (
        connect(application.database.conninfo) as connection,
        alone(connection, patience_seconds=patience_seconds),
    ):
        results = [
            purge(
                application,
                target,
                replace(context_for(target.project), at=clock.now()),
                reason=reason,
                insist=insist,
            )
            for target in targets
        ]
        with suppress(Unavailable):
            erase_until(connection, settled_position(connection), forget_reads)
        return results


def purge_due(application: Recount, retention_days: float) -> list[Result]:
    """Purge, in all projects, everything that was deleted more than ``retention_days`` ago."""
    request_id = str(uuid7())
    database = application.database

    def context_for(project: str) -> Context:
        return Context(project, ACTOR, database.clock.now(), request_id)

    targets = due(database, days_ago(database, retention_days))
    return carry_out(
        application, targets, context_for, reason=RETENTION_OVER, insist=False, patience_seconds=0
    )


def days_ago(database: Database, days: float) -> datetime:
    """Return the time ``days`` ago, by the database's clock. Raises ClocksApart."""
    return database.read(database.clock.refuse_apart) - timedelta(days=days)


def all_of(database: Database, name: Name) -> Iterable[Target]:
    """Return a session or thread, or a user with everything that is theirs, as targets.

    Raises NotFound, perhaps only when the result is iterated.
    """
    if name.kind == User.KIND:
        return of_user(database, name.project, name.name)
    return [named(database, name)]
