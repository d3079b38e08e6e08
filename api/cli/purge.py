"""``recount purge`` and ``purges``: erase for good, and list what was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from recountdb.api.cli.failures import PARTLY
from recountdb.api.cli.options import (
    AsJson,
    Data,
    Limit,
    Order,
    Project,
    Scope,
    SessionOption,
    ThreadOption,
)
from recountdb.api.cli.output import print_notice, show_all_json, show_table

TARGETS = "name one session, thread or user, or an age"

RECEIPT_COLUMNS = {
    "position": "position",
    "kind": "kind",
    "stream": "stream_id",
    "events": "events",
    "messages": "messages",
    "purged": "purged_at",
    "by": "actor",
    "reason": "reason",
    "chain head": "chain_head",
}
"""Columns of a table of receipts, and the members that they show."""

app = typer.Typer(rich_markup_mode=None)


@app.command()
def purge(
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            help="Everything deleted longer ago: 30d, 12h, 5m. Default: RECOUNT_RETENTION_DAYS, or 30d.",
        ),
    ] = None,
    session: SessionOption = None,
    thread: ThreadOption = None,
    user: Annotated[
        str | None,
        typer.Option(metavar="ID", help="This user, their sessions, and what they said among others."),
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept in the log for good.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report what would be purged.")] = False,
    scrub: Annotated[
        bool,
        typer.Option(
            "--scrub", help="Also rewrite all tables, so that no freed page keeps old bytes. Writers wait."
        ),
    ] = False,
    scope: Scope = "",
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Erase for good what was deleted long ago, or what is named. Prints a receipt for each stream.

    A named session, thread or user goes, deleted or live. Whatever is under a legal hold stays; then the exit
    code is 1.
    """
    named = {"session": session, "thread": thread, "user": user}
    targets, receipts, denied = _purge(
        *(data, project, named),
        scope=scope,
        older_than=older_than,
        reason=reason,
        is_dry_run=dry_run,
        scrub=scrub,
    )
    kept = [target for target in targets if target["why_not"] is not None]
    if as_json:
        show_all_json([*(targets if dry_run else kept), *receipts])
    else:
        for target in kept:
            print_notice(f"{target['kind']} {target['name']} stays: {target['why_not']}")
        if dry_run:
            _show_plan([target for target in targets if target["why_not"] is None])
        else:
            _show_receipts(receipts)
            _warn_of_leftovers(receipts)
    if denied:
        print_notice(f"Scrubbed, but for what this role has no right to: {'; '.join(denied)}.")
    if denied or kept:
        raise typer.Exit(PARTLY)


def _purge(
    data: Path | None,
    project: str,
    named: Mapping[str, str | None],
    *,
    scope: str,
    older_than: str | None,
    reason: str | None,
    is_dry_run: bool,
    scrub: bool,
) -> tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]], Sequence[str]]:
    """Purge what is named, or what was deleted long ago.

    Return targets and receipts as resources, and what this role had no right to scrub.
    """
    from recountdb.api.cli.arguments import choose_name, parse_age
    from recountdb.api.cli.store import contexts, locate_store
    from recountdb.api.schemas.purges import purge_resource
    from recountdb.api.services import purge as purges
    from recountdb.domain.errors import InvalidInput
    from recountdb.projections.queries.purge import find_deleted

    name = choose_name(project, named, scope, what="purge", advice=TARGETS)
    if name is not None and older_than is not None:
        raise InvalidInput("purge", TARGETS)
    place = locate_store(data)
    with place.open_store() as application:
        database = application.database
        if name is not None:
            found = purges.find_targets(database, name)
        else:
            days = parse_age(older_than, "--older-than") if older_than else place.settings.retention_days
            if isinstance(days, str):
                forever = "must be given, for RECOUNT_RETENTION_DAYS keeps things forever"
                raise InvalidInput("--older-than", forever)
            found = find_deleted(database, purges.days_ago(database, days), project)
        context_for = contexts(project, database.clock)
        outcome = purges.purge(
            application,
            found,
            lambda _: context_for(),
            reason=reason,
            insist=name is not None,
            is_dry_run=is_dry_run,
        )
        denied = _scrub(database.conninfo) if scrub and not is_dry_run else []
    resource = purge_resource(outcome)
    return resource["targets"], resource["receipts"], denied


def _scrub(conninfo: str) -> list[str]:
    """Rewrite all tables of the store. Return what this role has no right to."""
    from recountdb.api.runtime import store_tables
    from recountdb.eventlog.postgres.database import connect, translate_errors
    from recountdb.projections.followers.scrub import scrub

    with translate_errors(), connect(conninfo) as connection:
        return scrub(connection, store_tables())


def _show_plan(targets: Sequence[Mapping[str, Any]]) -> None:
    rows = [[t["kind"], t["name"], "whole" if t["whole"] else "some", t["messages"]] for t in targets]
    show_table(["kind", "name", "of it", "messages"], rows)
    print_notice(f"This was a dry run: {len(targets)} would be purged, nothing was.")


def _show_receipts(receipts: Iterable[Mapping[str, Any]]) -> None:
    rows = [[receipt[member] for member in RECEIPT_COLUMNS.values()] for receipt in receipts]
    show_table(list(RECEIPT_COLUMNS), rows)


def _warn_of_leftovers(receipts: Iterable[Mapping[str, Any]]) -> None:
    """Report what is not erased yet."""
    left = Counter[str]()
    for receipt in receipts:
        left.update(receipt["left"])
    if all(receipt["is_erased"] for receipt in receipts):
        return
    from recountdb.projections.queries.leftovers import describe_leftovers

    print_notice(f"Some data is not erased yet; rows are left in {describe_leftovers(left)}.")
    print_notice("A rebuild or check of the views is running. The server or the next purge will finish it.")


@app.command()
def purges(
    limit: Limit = None,
    order: Order = "oldest",
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List the receipts of what was purged."""
    from recountdb.api.cli.lists import list_some
    from recountdb.api.cli.store import locate_store
    from recountdb.api.schemas.purges import receipt_resource
    from recountdb.projections.queries.purge import page_receipts

    with locate_store(data).open_store() as application:
        found = map(receipt_resource, list_some(partial(page_receipts, application, project), limit, order))
        if as_json:
            show_all_json(found)
        else:
            _show_receipts(found)
