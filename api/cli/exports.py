"""Shared parts of the commands that export into other stores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import typer

from recountdb.api.cli.failures import PARTLY
from recountdb.api.cli.output import print_notice
from recountdb.api.cli.progress import show_count
from recountdb.api.cli.store import locate_store
from recountdb.api.services.keys import check_project
from recountdb.api.transfer.chat_export import messages_of, sessions_to_export
from recountdb.domain.errors import NotFound
from recountdb.domain.messages import MessageState
from recountdb.domain.sessions import Session


class TargetStore(Protocol):
    """A store that takes sessions."""

    def key_of(self, session: Session) -> str:
        """Return the key that the session will have there."""

    def write(self, session: Session, messages: Iterable[MessageState]) -> str | None:
        """Write the session. Returns why it was not written, or None if it was."""


def export_sessions(target: TargetStore, data: Path | None, project: str, names: Sequence[str]) -> None:
    """Write the live sessions, or those named. Exits with PARTLY where some could not be written."""
    written: set[str] = set()
    skipped = 0
    with locate_store(data).open_database() as database:
        sessions = show_count(sessions_to_export(database, check_project(project), names), "sessions")
        for number, session in enumerate(sessions, 1):
            reason: str | None = "another session of the same id was exported: only one can have its key"
            if target.key_of(session) not in written:
                try:
                    reason = target.write(session, messages_of(database, session))
                except NotFound:  # it was deleted a moment ago
                    continue
            if reason is None:
                written.add(target.key_of(session))
            else:
                skipped += 1
                print_notice(f"session {number} skipped: {reason}")
    typer.echo(f"sessions: {len(written):,} exported, {skipped:,} skipped")
    if skipped:
        raise typer.Exit(PARTLY)
