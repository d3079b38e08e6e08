"""Shared parts of the import commands: the store that they write to, and the report of what was done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from recountdb.api.cli.arguments import parse_user_id
from recountdb.api.cli.failures import PARTLY
from recountdb.api.cli.output import print_notice, show_json
from recountdb.api.cli.progress import show_message_rate
from recountdb.api.cli.store import contexts, locate_store
from recountdb.api.schemas.requests import NewUser
from recountdb.api.transfer.chat_import import FileReport, Report
from recountdb.api.transfer.importers.recording import Account, StoreImporter, StoreReport
from recountdb.api.transfer.importers.source import Person, Source
from recountdb.domain.commands.common import Start
from recountdb.domain.errors import AlreadyExists, InvalidInput
from recountdb.domain.events import Context
from recountdb.domain.users import Profile, User
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.clock import Clock


@dataclass(frozen=True)
class ImportOptions:
    """The options that every import has: where to, and how."""

    data: Path | None
    project: str
    user_id: str | None
    is_dry_run: bool
    as_json: bool


@dataclass(frozen=True)
class Target:
    """The store that is imported into: as arguments of an importer, and what makes contexts of commands.

    A dry run only reads the store, which may be missing; then there is no application.
    """

    arguments: dict[str, Any]
    make_context: Callable[[], Context]

    @property
    def application(self) -> Recount | None:
        return self.arguments.get("application")


@contextmanager
def open_target(options: ImportOptions) -> Iterator[Target]:
    place = locate_store(options.data)
    if not options.is_dry_run:
        with place.open_store(begins=True) as application:
            make_context = contexts(options.project, application.database.clock)
            yield Target({"application": application}, make_context)
        return
    make_context = contexts(options.project, Clock())  # a dry run records no times
    if place.is_missing:
        yield Target({}, make_context)
        return
    with place.open_database() as database:
        yield Target({"database": database}, make_context)


def import_source(source: Source, options: ImportOptions) -> None:
    """Import from another store and report. Exits with PARTLY where anything was skipped."""
    with open_target(options) as target:
        importer = StoreImporter(
            target.make_context,
            user_id=parse_user_id(options.user_id, "--user-id"),
            on_account=_show_json_account if options.as_json else _print_account,
            **target.arguments,
        )
        started = time.monotonic()
        try:
            added = 0 if target.application is None else _add_people(target, source.people)
            reports = importer.run(source.talks)
            show_message_rate(((one.messages, one.messages) for one in reports), source.messages_total)
        finally:
            _show_store_report(importer.report, time.monotonic() - started, options)
        if added:
            print_notice(f"{added:,} users added")
    if importer.report.lines_skipped or importer.report.messages_skipped:
        raise typer.Exit(PARTLY)


def _add_people(target: Target, people: Sequence[Person]) -> int:
    """Add the users that do not exist yet, and return how many."""
    assert target.application is not None
    added = 0
    for number, one in enumerate(people, 1):
        try:
            profile = Profile.model_validate(one.profile)
            NewUser.model_validate({"user_id": one.name, "metadata": one.metadata})
            command = Start(kind=User.KIND, name=one.name, profile=profile, metadata=one.metadata)
            target.application.execute(command, target.make_context())
        except AlreadyExists:
            continue
        except (ValueError, InvalidInput):
            print_notice(f"user {number} skipped: its id or profile cannot be taken")
            continue
        added += 1
    return added


def _print_account(account: Account) -> None:
    """Print what was skipped and the warnings, by the conversation's number; --json prints the names."""
    if account.reason is not None:
        print_notice(f"conversation {account.number} skipped: {account.reason}")
    for position, reason in account.skipped:
        print_notice(f"conversation {account.number}: message {position} skipped: {reason}")
    for warning in account.warnings:
        print_notice(f"conversation {account.number}: {warning}")


def _show_json_account(account: Account) -> None:
    skipped = [{"position": position, "reason": reason} for position, reason in account.skipped]
    show_json(vars(account) | {"skipped": skipped})


def _show_store_report(report: StoreReport, seconds: float, options: ImportOptions) -> None:
    if options.as_json:
        counts = dict(vars(report))
        counts["conversations_skipped"] = counts.pop("lines_skipped")
        show_json(counts | {"seconds": round(seconds, 3)})
        return
    _show_counts(report, options.is_dry_run, f", {report.messages_skipped:,} skipped ({seconds:.1f} s)")


def show_file_report(report: FileReport, seconds: float, options: ImportOptions) -> None:
    """Print what became of a file in chat format."""
    rate = round(report.messages / seconds)
    if options.as_json:
        show_json(vars(report) | {"seconds": round(seconds, 3), "messages_per_second": rate})
        return
    skipped = f", {report.messages_skipped:,} skipped" if report.messages_skipped else ""
    _show_counts(report, options.is_dry_run, f"{skipped} ({seconds:.1f} s, {rate:,} messages/s)")
    if not report.conversations:
        print_notice("there is nothing to import: it is empty")
    for kind, count in sorted(report.warnings.items()):
        print_notice(f"{kind} ({count:,}×)")


def _show_counts(report: Report, is_dry_run: bool, ending: str) -> None:
    """Print the counts of what was read and what became of it. ``ending`` ends the line on messages."""
    verb = "would be added" if is_dry_run else "added"
    typer.echo(
        f"conversations: {report.conversations:,} read, {report.conversations_added:,} {verb},"
        f" {report.conversations_grown:,} grown, {report.conversations_known:,} already there,"
        f" {report.lines_skipped:,} skipped"
    )
    typer.echo(
        f"messages: {report.messages:,} read, {report.messages_added:,} {verb},"
        f" {report.messages_known:,} already there{ending}"
    )
