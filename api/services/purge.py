"""Purges: erasing for good, started by the clock, over HTTP or from the command line.

A purge has two steps. First a command ends each stream (or marks some of its messages for erasure), which the
log records: from then on reads find nothing, and the name is free. Then the erasure follower (see
projections.followers.eraser) erases the content. So at whatever moment a process is killed, either nothing
happened to a stream, or the log says that it is to be erased.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from uuid_utils.compat import uuid7

from recountdb.api.services.read_audit import forget_reads
from recountdb.domain.catalog import KINDS
from recountdb.domain.commands.base import Name
from recountdb.domain.commands.retention import EraseMessages, Purge
from recountdb.domain.errors import ExpectationFailed, NotFound, OnHold, Unavailable
from recountdb.domain.events import Context
from recountdb.domain.users import User
from recountdb.eventlog.application import Recount
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.postgres.advisory_locks import PURGE_LOCK
from recountdb.eventlog.postgres.database import Connection, Database, connect
from recountdb.eventlog.postgres.exclusive_locks import exclusive, store_lock
from recountdb.projections.followers.eraser import erase_until
from recountdb.projections.queries.purge import (
    Receipt,
    Target,
    find_deleted,
    find_receipts,
    find_target,
    find_targets_of_user,
    find_versions,
)

ACTOR = "job:purge"
PATIENCE_SECONDS = 5.0  # how long to wait for another purge, such as the server's own
RETENTION_OVER = "deleted longer ago than the retention time"
MESSAGES_MAX = 1000  # messages of one conversation that one command marks for erasure
ATTEMPTS_MAX = 20  # to purge a conversation that others keep writing to

ContextFor = Callable[[str], Context]
"""A function that returns the context for purging something of a project."""


@dataclass(frozen=True)
class PurgeResult:
    """PurgeResult of purging a target.

    ``versions``: of the events that record it; empty when ``why_not`` says why it was not purged, and in a
    dry run.
    """

    target: Target
    versions: Sequence[int] = ()
    why_not: str | None = None


class PurgeOutcome(NamedTuple):
    """PurgeOutcome of a purge: the result for each target, and the receipts; a dry run has none."""

    results: Sequence[PurgeResult]
    receipts: Sequence[Receipt]


def purge(
    application: Recount,
    targets: Iterable[Target],
    context_for: ContextFor,
    *,
    reason: str | None,
    insist: bool,
    is_dry_run: bool = False,
) -> PurgeOutcome:
    """Purge ``targets`` as ``purge_targets`` does, or only tell what would be purged, and return receipts."""
    if is_dry_run:
        return PurgeOutcome([check_target(application, target) for target in targets], [])
    results = purge_targets(application, targets, context_for, reason=reason, insist=insist)
    return PurgeOutcome(results, load_receipts(application.database, results))


def purge_targets(
    application: Recount,
    targets: Iterable[Target],
    context_for: ContextFor,
    *,
    reason: str | None,
    insist: bool,
    patience_seconds: float = PATIENCE_SECONDS,
) -> list[PurgeResult]:
    """Purge ``targets``, and erase them before returning.

    While the views are being rebuilt, erasing waits for the rebuild but this function does not; then the
    receipts say so. ``insist``: see ``purge_target``. Raises Unavailable when another purge is under way and
    does not end in time, ClocksApart when this machine's clock disagrees with the database's.
    """
    clock = application.database.clock
    application.database.read(clock.refuse_apart)
    with (
        connect(application.database.conninfo) as connection,
        hold_purge_lock(connection, patience_seconds=patience_seconds),
    ):
        results = [
            purge_target(
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


def purge_due(application: Recount, retention_days: float) -> list[PurgeResult]:
    """Purge, in all projects, everything that was deleted more than ``retention_days`` ago."""
    request_id = str(uuid7())
    database = application.database

    def context_for(project: str) -> Context:
        return Context(project, ACTOR, database.clock.now(), request_id)

    targets = find_deleted(database, days_ago(database, retention_days))
    return purge_targets(
        application, targets, context_for, reason=RETENTION_OVER, insist=False, patience_seconds=0
    )


def purge_target(
    application: Recount, target: Target, context: Context, *, reason: str | None, insist: bool
) -> PurgeResult:
    """Record in the log that ``target`` is purged.

    ``insist``: also when it was written to since it was found; otherwise such a target is kept, because it
    may be live again.
    """
    try:
        if target.message_ids is None:
            return PurgeResult(target, [_end_stream(application, target, context, reason, insist=insist)])
        ids = target.message_ids
        parts = (ids[start : start + MESSAGES_MAX] for start in range(0, len(ids), MESSAGES_MAX))
        return PurgeResult(
            target, [_erase_messages(application, target, part, context, reason) for part in parts]
        )
    except (OnHold, NotFound, ExpectationFailed) as error:
        return PurgeResult(target, why_not=str(error))


def check_target(application: Recount, target: Target) -> PurgeResult:
    """Return the result that ``purge_target`` would have now, without purging."""
    state = application.state_of(KINDS[target.kind], target.stream_id)
    if state is not None and state.hold is not None:
        return PurgeResult(target, why_not=str(OnHold(target.kind)))
    people = {target.name if target.kind == User.KIND else getattr(state, "user_id", None)}
    ids = target.message_ids or ()
    for start in range(0, len(ids), MESSAGES_MAX):
        some = ids[start : start + MESSAGES_MAX]
        people |= {said.user_id for said in application.views.find_messages(target.stream_id, some, ())}
    for person in people:
        if person is not None and application.views.find_hold(target.project, person) is not None:
            return PurgeResult(target, why_not=str(OnHold(User.KIND)))
    return PurgeResult(target)


def days_ago(database: Database, days: float) -> datetime:
    """Return the time ``days`` ago, by the database's clock. Raises ClocksApart."""
    return database.read(database.clock.refuse_apart) - timedelta(days=days)


def find_targets(database: Database, name: Name) -> Iterable[Target]:
    """Return a session or thread, or a user with everything that is theirs, as targets.

    Raises NotFound, perhaps only when the result is iterated.
    """
    if name.kind == User.KIND:
        return find_targets_of_user(database, name.project, name.name)
    return [find_target(database, name)]


def load_receipts(database: Database, results: Iterable[PurgeResult]) -> list[Receipt]:
    """Return the receipts of results, by position."""
    places = [(result.target.stream_id, version) for result in results for version in result.versions]
    return find_receipts(database, places)


@contextmanager
def hold_purge_lock(connection: Connection, *, patience_seconds: float = 0) -> Iterator[None]:
    """Hold the exclusive lock of purges, across all servers.

    Raises Unavailable when another purge is under way and does not end within ``patience_seconds``.
    """
    lock = store_lock(connection, PURGE_LOCK)
    refusal = Unavailable("another purge is under way: wait until it is done")
    with exclusive(connection, lock, refusal=refusal, patience_seconds=patience_seconds):
        yield


def _end_stream(
    application: Recount, target: Target, context: Context, reason: str | None, *, insist: bool
) -> int:
    """End the stream of ``target``, and return the version of the event that says so."""
    for _ in range(ATTEMPTS_MAX):
        command = Purge(
            kind=target.kind,
            scope=target.scope,
            name=target.name,
            messages=target.messages,
            reason=reason,
            expected_version=target.version,
        )
        try:
            return application.execute(command, context).state.version
        except ExpectationFailed:
            if not insist:
                raise
            name = Name(target.project, target.kind, target.scope, target.name)
            target = find_target(application.database, name)
    raise Unavailable("it is written to all the while: try again when it rests")


def _erase_messages(
    application: Recount, target: Target, ids: Sequence[UUID], context: Context, reason: str | None
) -> int:
    """Mark messages of ``target`` for erasure, and return the version of the event that says so."""
    for _ in range(ATTEMPTS_MAX):
        version = application.log.last_version(target.stream_id)
        command = EraseMessages(
            kind=target.kind,
            scope=target.scope,
            name=target.name,
            message_ids=ids,
            versions=find_versions(application.database, target.stream_id, ids),
            reason=reason,
            expected_version=version,
        )
        with suppress(ExpectationFailed):
            return application.execute(command, context).state.version
    raise Unavailable("it is written to all the while: try again when it rests")
