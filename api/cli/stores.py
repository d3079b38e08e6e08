"""``recount import`` from other stores: each conversation becomes a session, and has an account."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from recountdb.api.cli.failures import PARTLY, tell
from recountdb.api.cli.output import show_json
from recountdb.api.cli.store import contexts, place
from recountdb.api.cli.transfer import checked_user, clock_of, show_counts, show_progress, target
from recountdb.api.schemas.requests import NewUser
from recountdb.api.transfer.importers import dynamodb, flowise, langflow, motorhead, redis_lists, zep
from recountdb.api.transfer.importers.recording import Account, StoreImporter, StoreReport
from recountdb.api.transfer.importers.redis_commands import redis_commands, upstash_commands
from recountdb.api.transfer.importers.source import Person, Source
from recountdb.api.transfer.importers.tables import opened_tables
from recountdb.domain.commands import Start
from recountdb.domain.errors import AlreadyExists, InvalidInput
from recountdb.domain.users import Profile, User
from recountdb.eventlog.application import Recount

DATABASES = {"langflow": langflow.read, "flowise": flowise.read, "zep": zep.read}


@dataclass(frozen=True)
class Into:
    """The options that every import from a store has: where to, and how."""

    data: Path | None
    project: str
    user_id: str | None
    is_rehearsal: bool
    as_json: bool


def import_database(kind: str, where: str, into: Into) -> None:
    with ExitStack() as stack:
        _bring_in(stack, DATABASES[kind](stack.enter_context(opened_tables(where))), into)


def import_redis(url: str, wanted: redis_lists.Wanted, into: Into) -> None:
    with ExitStack() as stack:
        _bring_in(stack, redis_lists.read(stack.enter_context(redis_commands(url)), wanted), into)


def import_upstash(url: str, token: str, wanted: redis_lists.Wanted, into: Into) -> None:
    with ExitStack() as stack:
        _bring_in(stack, redis_lists.read(stack.enter_context(upstash_commands(url, token)), wanted), into)


def import_motorhead(url: str, into: Into) -> None:
    with ExitStack() as stack:
        _bring_in(stack, motorhead.read(stack.enter_context(redis_commands(url))), into)


def import_dynamodb(endpoint: str | None, region: str | None, wanted: dynamodb.Wanted, into: Into) -> None:
    with ExitStack() as stack:
        _bring_in(stack, dynamodb.read(dynamodb.opened(endpoint, region), wanted), into)


def _bring_in(stack: ExitStack, source: Source, into: Into) -> None:
    """Import from ``source`` and report. Exits with PARTLY where anything was skipped."""
    options: dict[str, Any] = target(stack, place(into.data), is_rehearsal=into.is_rehearsal)
    importer = StoreImporter(
        contexts(into.project, clock_of(options)),
        user_id=checked_user(into.user_id),
        on_account=_show_json_account if into.as_json else _tell_account,
        **options,
    )
    started = time.monotonic()
    try:
        people = _add_people(options.get("application"), source.people, into)
        show_progress(importer.run(source.talks), source.messages_total, lambda report: report.messages)
    finally:
        _show_report(importer.report, time.monotonic() - started, into)
    if people:
        tell(f"{people:,} users added")
    if importer.report.lines_skipped or importer.report.messages_skipped:
        raise typer.Exit(PARTLY)


def _add_people(application: Recount | None, people: Sequence[Person], into: Into) -> int:
    """Add the users that do not exist yet, and return how many. Without an application, add none."""
    added = 0
    if application is None:
        return 0
    make_context = contexts(into.project, application.database.clock)
    for number, one in enumerate(people, 1):
        try:
            profile = Profile.model_validate(one.profile)
            NewUser.model_validate({"user_id": one.name, "metadata": one.metadata})
            command = Start(kind=User.KIND, name=one.name, profile=profile, metadata=one.metadata)
            application.execute(command, make_context())
        except AlreadyExists:
            continue
        except (ValueError, InvalidInput):
            tell(f"user {number} skipped: its id or profile cannot be taken")
            continue
        added += 1
    return added


def _tell_account(account: Account) -> None:
    """Print what was skipped and the warnings, by the conversation's number; --json prints the names."""
    if account.reason is not None:
        tell(f"conversation {account.number} skipped: {account.reason}")
    for position, reason in account.skipped:
        tell(f"conversation {account.number}: message {position} skipped: {reason}")
    for warning in account.warnings:
        tell(f"conversation {account.number}: {warning}")


def _show_json_account(account: Account) -> None:
    skipped = [{"position": position, "reason": reason} for position, reason in account.skipped]
    show_json(vars(account) | {"skipped": skipped})


def _show_report(report: StoreReport, seconds: float, into: Into) -> None:
    if into.as_json:
        counts = dict(vars(report))
        counts["conversations_skipped"] = counts.pop("lines_skipped")
        show_json(counts | {"seconds": round(seconds, 3)})
        return
    show_counts(report, into.is_rehearsal, f", {report.messages_skipped:,} skipped ({seconds:.1f} s)")
