"""Purging: what is to go for good is found, and each stream told to end.

Two steps. Here a command ends each stream (or has some messages of it erased), which the log records:
from then on reads find nothing, and the name is free. The erasure follower (see projections.followers.eraser)
then erases what was said. So whatever is killed when, either nothing happened to a stream or the log
says that it is to be erased.
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
from recountdb.projections.queries.audit_trail import bounds
from recountdb.projections.queries.leftovers import of_messages, of_stream
from recountdb.projections.queries.paging import Page, Window, page_of

SQL = Statements(__name__, "purge")

FOUND = 500  # streams that are looked for at a time
MESSAGES_MAX = 1000  # messages of one conversation that one command has erased
ATTEMPTS_MAX = 20  # at a conversation that is written to all the while
NOBODY = UUID(int=0)


@dataclass(frozen=True)
class Target:
    """What is to go: a stream as a whole, or those of its messages that ``message_ids`` names.

    ``messages``: how many go with it. ``version``: as of which all this was found.
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
    """What was purged: which stream, how much of it, when, by whom and why.

    ``events`` is None where the stream goes on without some messages. ``chain_head``: the link of the
    event at ``version`` that says so, over all that was erased (see eventlog.integrity.chain). ``is_erased``:
    nothing of it is left; else ``left`` says in which tables how many rows are, a thousand of each at most.
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
    """What came of a target. ``versions``: of the events that say so; none where ``why_not`` says why."""

    target: Target
    versions: Sequence[int] = ()
    why_not: str | None = None


@contextmanager
def alone(connection: Connection, *, patience_seconds: float = 0) -> Iterator[None]:
    """One purge at a time, however many servers there are.

    Raises Unavailable where another one is on, and does not end in time.
    """
    lock = store_lock(connection, PURGE_LOCK)
    refusal = Unavailable("another purge is under way: wait until it is done")
    with exclusive(connection, lock, refusal=refusal, patience_seconds=patience_seconds):
        yield


def due(database: Database, before: datetime, project: str | None = None) -> Iterator[Target]:
    """What was deleted before a time, in a project or in all: streams, and messages of live ones.

    Nothing that is under a legal hold, of its own or of its user.
    """
    which = {"before": before, "project": project}
    yield from found(database, "select_deleted", which)
    yield from found(database, "select_deleted_messages", which)


def named(database: Database, name: Name) -> Target:
    """A session, thread or user, deleted or live. Raises NotFound."""
    for row in database.fetch(SQL["select_named"], name._asdict()):
        return _target_from(row)
    raise NotFound(name.kind)


def of_user(database: Database, project: str, user: str) -> Iterator[Target]:
    """All that is of a user: sessions of theirs, their messages among others', and what is known of them.

    A session of theirs in which somebody else spoke stays, without what they said themselves.
    Raises NotFound where there is nothing.
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
    """Targets by stream, looked for as they are used up."""
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
    """Tell the log that ``target`` is to go.

    ``insist``: also if it was written to since it was found; else it stays, for it may be live again.
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
    """What ``purge`` would come to, were it called now."""
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
    """By position."""
    places = [(result.target.stream_id, version) for result in results for version in result.versions]
    which = {"ids": [stream for stream, _ in places], "versions": [version for _, version in places]}
    return [_receipt_from(database, *row) for row in database.fetch(SQL["select_receipts"], which)]


def page_receipts(application: Recount, project: str, window: Window) -> Page[Receipt]:
    """What was purged in a project, by position."""
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
