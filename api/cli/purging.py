"""``recount purge``, ``purges``, ``hold`` and ``release``: erasure for good, and legal holds against it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import typer

from recountdb.api.cli.failures import PARTLY, tell
from recountdb.api.cli.output import show_json, show_table
from recountdb.api.cli.reading import listed, show_all_json
from recountdb.api.cli.store import contexts, name_of, opened, place, running
from recountdb.api.http.routes.purges import receipt_resource, target_resource
from recountdb.api.runtime import store_tables
from recountdb.api.services.purge import all_of, carry_out, days_ago
from recountdb.domain.commands import Command, Name, PlaceHold, ReleaseHold
from recountdb.domain.errors import InvalidInput
from recountdb.eventlog.postgres.database import Database, connect, told
from recountdb.projections.followers.scrub import scrub as scrub_tables
from recountdb.projections.lists.paging import Order
from recountdb.projections.queries.leftovers import describe
from recountdb.projections.queries.purge import Receipt, Result, due, page_receipts, receipts_of, rehearse

AGE = re.compile(r"(\d{1,6})([dhm])")
DAYS = {"d": 1.0, "h": 1 / 24, "m": 1 / 1440}


def purge(
    data: Path | None,
    project: str,
    named: Mapping[str, str | None],
    *,
    scope: str,
    older_than: str | None,
    reason: str | None,
    is_rehearsal: bool,
    scrub: bool,
    as_json: bool,
) -> None:
    """Purge what is named, or what was deleted long ago.

    ``named`` maps a kind to a name or None; at most one may be named, and then no age. Exits with PARTLY
    where something stays, or could not be scrubbed.
    """
    at = place(data)
    given = [(kind, name) for kind, name in named.items() if name is not None]
    if len(given) + (older_than is not None) > 1:
        raise InvalidInput("purge", "name one session, thread or user, or an age")
    with opened(at) as database, running(database) as application:
        if given:
            kind, name = given[0]
            targets = all_of(database, name_of(project, kind, name, scope))
        else:
            days = _days_in(older_than) if older_than else _retention(at.settings.retention_days)
            targets = due(database, days_ago(database, days), project)
        if is_rehearsal:
            results = [rehearse(application, target) for target in targets]
        else:
            context_for = contexts(project, database.clock)
            results = carry_out(
                application, targets, lambda _: context_for(), reason=reason, insist=bool(given)
            )
        receipts = receipts_of(database, results)
        denied = _scrub_all(database) if scrub and not is_rehearsal else []
    _show_results(results, receipts, is_rehearsal=is_rehearsal, as_json=as_json)
    if denied:
        tell(f"Scrubbed, but for what this role has no right to: {'; '.join(denied)}.")
    if denied or any(result.why_not is not None for result in results):
        raise typer.Exit(PARTLY)


def _scrub_all(database: Database) -> list[str]:
    """Scrub the store. Returns what this role has no right to."""
    with told(), connect(database.conninfo) as connection:
        return scrub_tables(connection, store_tables())


def _retention(days: float | str) -> float:
    """Return the retention in days. Raises InvalidInput where it is unlimited."""
    if isinstance(days, str):
        raise InvalidInput("--older-than", "must be given, for RECOUNT_RETENTION_DAYS keeps things forever")
    return days


def _days_in(age: str) -> float:
    """Return an age like ``30d``, ``12h`` or ``5m`` in days. Raises InvalidInput for another text."""
    match = AGE.fullmatch(age)
    if match is None:
        raise InvalidInput("--older-than", "must be an age like 30d, 12h or 5m")
    return int(match[1]) * DAYS[match[2]]


def _show_results(
    results: Sequence[Result], receipts: Sequence[Receipt], *, is_rehearsal: bool, as_json: bool
) -> None:
    if as_json:
        for result in results if is_rehearsal else [r for r in results if r.why_not is not None]:
            show_json(target_resource(result))
        for receipt in receipts:
            show_json(receipt_resource(receipt))
        return
    for result in results:
        if result.why_not is not None:
            tell(f"{result.target.kind} {result.target.name} stays: {result.why_not}")
    going = [result.target for result in results if result.why_not is None]
    if is_rehearsal:
        rows = [[t.kind, t.name, "whole" if t.message_ids is None else "some", t.messages] for t in going]
        show_table(["kind", "name", "of it", "messages"], rows)
        tell(f"This was a rehearsal: {len(going)} would be purged, nothing was.")
        return
    _show_receipts(receipts)
    if not all(receipt.is_erased for receipt in receipts):
        left = Counter[str]()
        for receipt in receipts:
            left.update(receipt.left)
        tell(f"Some data is not erased yet; rows are left in {describe(left)}.")
        tell("Erasing waits for a rebuild or check of the views; a server, or the next purge, tries again.")


def _show_receipts(receipts: Iterable[Receipt]) -> None:
    columns = ["position", "kind", "stream", "events", "messages", "purged", "by", "reason", "chain head"]
    rows = [
        [
            receipt.position,
            receipt.kind,
            receipt.stream_id,
            "" if receipt.events is None else receipt.events,
            receipt.messages,
            receipt.purged_at,
            receipt.actor,
            receipt.reason or "",
            receipt.chain_head.hex(),
        ]
        for receipt in receipts
    ]
    show_table(columns, rows)


def purges(data: Path | None, project: str, *, limit: int | None, order: Order, as_json: bool) -> None:
    """Show the receipts of what was purged in a project."""
    with opened(place(data)) as database, running(database) as application:
        found = listed(partial(page_receipts, application, project), limit, order)
        if as_json:
            show_all_json(map(receipt_resource, found))
        else:
            _show_receipts(found)


def hold(
    data: Path | None, project: str, named: Mapping[str, str | None], reason: str, *, scope: str
) -> None:
    target = _the_one(project, named, scope)
    _rule(data, project, PlaceHold(kind=target.kind, scope=target.scope, name=target.name, reason=reason))
    tell(f"The {target.kind} is not purged until 'recount release'.")


def release(data: Path | None, project: str, named: Mapping[str, str | None], *, scope: str) -> None:
    target = _the_one(project, named, scope)
    _rule(data, project, ReleaseHold(kind=target.kind, scope=target.scope, name=target.name))
    tell(f"The {target.kind} may be purged again.")


def _rule(data: Path | None, project: str, command: Command) -> None:
    with opened(place(data)) as database, running(database) as application:
        application.execute(command, contexts(project, database.clock)())


def _the_one(project: str, named: Mapping[str, str | None], scope: str) -> Name:
    given = [(kind, name) for kind, name in named.items() if name is not None]
    if len(given) != 1:
        raise InvalidInput("hold", "name one session, thread or user")
    kind, name = given[0]
    return name_of(project, kind, name, scope)
