"""Queries about purges: what can be erased for good, and the receipts of what was (see services.purge)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from recountdb.domain.commands.base import Name
from recountdb.domain.errors import NotFound
from recountdb.domain.users import User
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.lists.paging import Page, Window, make_page
from recountdb.projections.queries.audit_trail import bound_page
from recountdb.projections.queries.leftovers import find_message_leftovers, find_stream_leftovers

SQL = Statements(__name__, "purge")

FOUND = 500  # streams that are searched for at a time
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


def find_deleted(database: Database, before: datetime, project: str | None = None) -> Iterator[Target]:
    """Yield what was deleted before a time, in ``project`` or in all: streams, and messages of live ones.

    Targets under a legal hold, their own or their user's, are left out.
    """
    which = {"before": before, "project": project}
    yield from _find_by_stream(database, "select_deleted", which)
    yield from _find_by_stream(database, "select_deleted_messages", which)


def find_target(database: Database, name: Name) -> Target:
    """Return a session, thread or user as a target, deleted or live. Raises NotFound."""
    for row in database.fetch(SQL["select_named"], name._asdict()):
        return _target_from(row)
    raise NotFound(name.kind)


def find_targets_of_user(database: Database, project: str, user: str) -> Iterator[Target]:
    """Yield everything of a user: their sessions, their messages in other conversations, and the user.

    A session of theirs in which others spoke is kept, without the user's own messages. Raises NotFound when
    there is nothing.
    """
    which = {"project": project, "name": user}
    is_known = False
    for statement in ("select_owned", "select_said"):
        for target in _find_by_stream(database, statement, which):
            is_known = True
            yield target
    try:
        yield find_target(database, Name(project, User.KIND, "", user))
    except NotFound:
        if not is_known:
            raise


def _find_by_stream(database: Database, statement: str, which: dict[str, Any]) -> Iterator[Target]:
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


def find_versions(database: Database, stream_id: UUID, message_ids: Iterable[UUID]) -> list[int]:
    """Return the versions of all events about these messages of a stream that are not erased."""
    about = {"id": stream_id, "ids": list(message_ids)}
    return [version for (version,) in database.fetch(SQL["select_versions"], about)]


def find_receipts(database: Database, places: Sequence[tuple[UUID, int]]) -> list[Receipt]:
    """Return the receipts of the events at these places, each a stream and a version; by position."""
    which = {"ids": [stream for stream, _ in places], "versions": [version for _, version in places]}
    return [_receipt_from(database, *row) for row in database.fetch(SQL["select_receipts"], which)]


def page_receipts(application: Recount, project: str, window: Window) -> Page[Receipt]:
    """Return a page of the receipts of a project, by position."""
    settled, epochs = application.log.settled()
    low, high = bound_page(window.after_in(epochs), window.order, settled + 1)
    within = {"project": project, "gt": low, "lt": high, "limit": window.limit + 1}
    sql = SQL["page_receipts_descending" if window.order == "newest" else "page_receipts"]
    rows = application.database.fetch(sql, within, prepare=False)
    receipts = [_receipt_from(application.database, *row) for row in rows]
    return make_page(receipts, window, lambda receipt: receipt.position, epochs)


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
            return find_stream_leftovers(connection, stream_id, version)
        return find_message_leftovers(connection, stream_id, event["versions"])

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
