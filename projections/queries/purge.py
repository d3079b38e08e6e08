"""Purges: finding what is to be erased for good, and recording in the log that it is.

A purge has two steps. First a command ends each stream (or marks some of its messages for erasure), which the
log records: from then on reads find nothing, and the name is free. Then the erasure follower (see
projections.followers.eraser) erases the content. So at whatever moment a process is killed, either nothing
happened to a stream, or the log says that it is to be erased.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from recountdb.domain.commands import KINDS, EraseMessages, Name, Purge
from recountdb.domain.errors import ExpectationFailed, NotFound, OnHold, Unavailable
from recountdb.domain.events import Context
from recountdb.domain.users import User
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.advisory_locks import PURGE_LOCK
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.eventlog.postgres.exclusive_locks import exclusive, store_lock
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.lists.paging import Page, Window, page_of
from recountdb.projections.queries.audit_trail import bounds
from recountdb.projections.queries.leftovers import of_messages, of_stream

SQL = Statements(__name__, "purge")

FOUND = 500  # streams that are searched for at a time
MESSAGES_MAX = 1000  # messages of one conversation that one command marks for erasure
ATTEMPTS_MAX = 20  # to purge a conversation that others keep writing to
NOBODY = UUID(int=0)


@dataclass(frozen=True)
class Target:
    """Stream to purge as a whole, or with ``message_ids`` only these of its messages.

    ``messages``: how many messages are purged. ``version``: the version of the stream when it was found.
    """

    kind: str
    project: str
    scope: str
    name: str
    stream_id: UUID
    version: int
    messages: int
    message_ids: Sequence[UUID] | None = None


@dataclass(frozen=True)
class Receipt:
    """Receipt of a purge: which stream, how much of it, when, by whom and why.

    ``events`` is None when only some messages of the stream were purged. ``chain_head``: the link of the
    event at ``version`` that records the purge, over all that was erased (see eventlog.integrity.chain).
    ``is_erased``: nothing is left of it; otherwise ``left`` gives the number of rows left by table, at most
    COUNTED_MAX (see projections.queries.leftovers) for each.
    """

    position: int
    kind: str
    stream_id: UUID
    version: int
    events: int | None
    messages: int
    purged_at: datetime
    actor: str
    reason: str | None
    chain_head: bytes
    is_erased: bool
    left: Mapping[str, int]


@dataclass(frozen=True)
class Result:
    """Result of purging a target.

    ``versions``: of the events that record it; empty when ``why_not`` says why it was not purged.
    """

    target: Target
    versions: Sequence[int] = ()
    why_not: str | None = None


@contextmanager
def alone(connection: Connection, *, patience_seconds: float = 0) -> Iterator[None]:
    """Hold the exclusive lock of purges, across all servers.

    Raises Unavailable when another purge is under way and does not end within ``patience_seconds``.
    """
    lock = store_lock(connection, PURGE_LOCK)
    refusal = Unavailable("another purge is under way: wait until it is done")
    with exclusive(connection, lock, refusal=refusal, patience_seconds=patience_seconds):
        yield


def due(database: Database, before: datetime, project: str | None = None) -> Iterator[Target]:
    """Yield what was deleted before a time: streams, and messages of live ones.

    ``project``: None means all projects.

    Targets under a legal hold, their own or their user's, are left out.
    """
    which = {"before": before, "project": project}
    yield from found(database, "select_deleted", which)
    yield from found(database, "select_deleted_messages", which)


def named(database: Database, name: Name) -> Target:
    """Return a session, thread or user as a target, deleted or live. Raises NotFound."""
    for row in database.fetch(SQL["select_named"], name._asdict()):
        return _target_from(row)
    raise NotFound(name.kind)


def of_user(database: Database, project: str, user: str) -> Iterator[Target]:
    """Yield everything of a user: their sessions, their messages in other conversations, and the user.

    A session of theirs in which others spoke is kept, without the user's own messages. Raises NotFound when
    there is nothing.
    """
    which = {"project": project, "name": user}
    is_known = False
    for statement in ("select_owned", "select_said"):
        for target in found(database, statement, which):
            is_known = True
            yield target
    try:
        yield named(database, Name(project, User.KIND, "", user))
    except NotFound:
        if not is_known:
            raise


def found(database: Database, statement: str, which: dict[str, Any]) -> Iterator[Target]:
    """Yield targets by stream, fetched in batches as they are consumed."""
    after = NOBODY
    while True:
        page = {"after": after, "limit": FOUND, **which}
        targets = [_target_from(row) for row in database.fetch(SQL[statement], page, prepare=False)]
        yield from targets
        if len(targets) < FOUND:
            return
        after = targets[-1].stream_id


def _target_from(row: Sequence[Any]) -> Target:
    kind, project, scope, name, stream_id, version, what = row
    whole = (what, None) if isinstance(what, int) else (len(what), what)
    return Target(kind, project, scope, name, stream_id, version, *whole)


def purge(
    application: Recount, target: Target, context: Context, *, reason: str | None, insist: bool
) -> Result:
    """Record in the log that ``target`` is purged.

    ``insist``: also when it was written to since it was found; otherwise such a target is kept, because it
    may be live again.
    """
    try:
        if target.message_ids is None:
            return Result(target, [end(application, target, context, reason, insist=insist)])
        ids = target.message_ids
        parts = (ids[start : start + MESSAGES_MAX] for start in range(0, len(ids), MESSAGES_MAX))
        versions = [erase_messages(application, target, part, context, reason) for part in parts]
        return Result(target, versions)
    except (OnHold, NotFound, ExpectationFailed) as error:
        return Result(target, why_not=str(error))


def rehearse(application: Recount, target: Target) -> Result:
    """Return the result that ``purge`` would have now, without purging (dry run).

    Its ``versions`` are empty in any case.
    """
    state = application.state_of(KINDS[target.kind], target.stream_id)
    if state is not None and state.hold is not None:
        return Result(target, why_not=str(OnHold(target.kind)))
    people = {target.name if target.kind == User.KIND else getattr(state, "user_id", None)}
    ids = target.message_ids or ()
    for start in range(0, len(ids), MESSAGES_MAX):
        some = ids[start : start + MESSAGES_MAX]
        people |= {said.user_id for said in application.views.find_messages(target.stream_id, some, ())}
    for person in people:
        if person is not None and application.views.find_hold(target.project, person) is not None:
            return Result(target, why_not=str(OnHold(User.KIND)))
    return Result(target)


def end(application: Recount, target: Target, context: Context, reason: str | None, *, insist: bool) -> int:
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
            target = named(application.database, name)
    raise Unavailable("it is written to all the while: try again when it rests")


def erase_messages(
    application: Recount, target: Target, ids: Sequence[UUID], context: Context, reason: str | None
) -> int:
    for _ in range(ATTEMPTS_MAX):
        version = application.log.last_version(target.stream_id)
        about = {"id": target.stream_id, "ids": list(ids)}
        versions = application.database.fetch(SQL["select_versions"], about)
        command = EraseMessages(
            kind=target.kind,
            scope=target.scope,
            name=target.name,
            message_ids=ids,
            versions=[version for (version,) in versions],
            reason=reason,
            expected_version=version,
        )
        with suppress(ExpectationFailed):
            return application.execute(command, context).state.version
    raise Unavailable("it is written to all the while: try again when it rests")


def receipts_of(database: Database, results: Sequence[Result]) -> list[Receipt]:
    """Return the receipts of results, by position."""
    places = [(result.target.stream_id, version) for result in results for version in result.versions]
    which = {"ids": [stream for stream, _ in places], "versions": [version for _, version in places]}
    return [_receipt_from(database, *row) for row in database.fetch(SQL["select_receipts"], which)]


def page_receipts(application: Recount, project: str, window: Window) -> Page[Receipt]:
    """Return a page of the receipts of a project, by position."""
    settled, epochs = application.log.settled()
    low, high = bounds(window.after_in(epochs), window.order, settled + 1)
    within = {"project": project, "gt": low, "lt": high, "limit": window.limit + 1}
    sql = SQL["page_receipts_descending" if window.order == "newest" else "page_receipts"]
    rows = application.database.fetch(sql, within, prepare=False)
    receipts = [_receipt_from(application.database, *row) for row in rows]
    return page_of(receipts, window, lambda receipt: receipt.position, epochs)


def _receipt_from(
    database: Database,
    position: int,
    stream_id: UUID,
    version: int,
    topic: str,
    recorded_at: datetime,
    event: dict[str, Any],
    link: bytes,
    is_erased: bool,
) -> Receipt:
    def find_left(connection: Connection) -> dict[str, int]:
        if topic.endswith(".purged"):
            return of_stream(connection, stream_id, version)
        return of_messages(connection, stream_id, event["versions"])

    return Receipt(
        position=position,
        kind=topic.partition(".")[0],
        stream_id=stream_id,
        version=version,
        events=event.get("events"),
        messages=event["messages"],
        purged_at=recorded_at,
        actor=event["actor"],
        reason=event.get("reason"),
        chain_head=link,
        is_erased=is_erased,
        left={} if is_erased else database.read(find_left),
    )
