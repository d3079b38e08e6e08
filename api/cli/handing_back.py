"""``recount export`` into the layouts of other stores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import typer

from recountdb.api.cli.failures import PARTLY, tell
from recountdb.api.cli.store import opened, place
from recountdb.api.cli.transfer import watched
from recountdb.api.services.keys import check_project
from recountdb.api.transfer.chat_export import messages_of, sessions_to_export
from recountdb.api.transfer.exporters.dynamodb import opened_table
from recountdb.api.transfer.exporters.envelopes import Writer
from recountdb.api.transfer.exporters.redis_lists import PREFIXES, RedisLists
from recountdb.api.transfer.importers import dynamodb
from recountdb.api.transfer.importers.redis_commands import redis_commands
from recountdb.domain.errors import NotFound
from recountdb.domain.messages import MessageState
from recountdb.domain.sessions import Session


class _Store(Protocol):
    """A store that takes sessions."""

    def key_of(self, session: Session) -> str:
        """Return the key that the session will have there."""

    def write(self, session: Session, messages: Iterable[MessageState]) -> str | None:
        """Write the session. Returns why it was not written, or None if it was."""


def export_redis(
    url: str,
    writer: Writer,
    *,
    prefix: str | None,
    ttl_seconds: int | None,
    replaces: bool,
    data: Path | None,
    project: str,
    names: Sequence[str],
) -> None:
    with redis_commands(url) as send:
        lists = RedisLists(
            send, writer, PREFIXES[writer] if prefix is None else prefix, ttl_seconds, replaces
        )
        _export(lists, data, project, names)


def export_dynamodb(
    table: str,
    writer: Writer,
    *,
    endpoint: str | None,
    region: str | None,
    attribute: str | None,
    ttl_seconds: int | None,
    replaces: bool,
    data: Path | None,
    project: str,
    names: Sequence[str],
) -> None:
    client = dynamodb.opened(endpoint, region)
    store = opened_table(
        client, table, writer, attribute=attribute, ttl_seconds=ttl_seconds, replaces=replaces
    )
    _export(store, data, project, names)


def _export(store: _Store, data: Path | None, project: str, names: Sequence[str]) -> None:
    """Write the live sessions. Exits with PARTLY where some could not be written."""
    written: set[str] = set()
    skipped = 0
    with opened(place(data)) as database:
        sessions = watched(sessions_to_export(database, check_project(project), names))
        for number, session in enumerate(sessions, 1):
            reason: str | None = "another session of the same id was exported: only one can have its key"
            if store.key_of(session) not in written:
                try:
                    reason = store.write(session, messages_of(database, session))
                except NotFound:  # it was deleted a moment ago
                    continue
            if reason is None:
                written.add(store.key_of(session))
            else:
                skipped += 1
                tell(f"session {number} skipped: {reason}")
    typer.echo(f"sessions: {len(written):,} exported, {skipped:,} skipped")
    if skipped:
        raise typer.Exit(PARTLY)
