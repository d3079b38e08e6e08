"""``recount diff`` and ``recount replay``: changes between two moments, and a session played again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import typer

from recountdb.api.cli.output import shortened, show_json, shown
from recountdb.api.cli.reading import content_of, moment_in
from recountdb.api.cli.store import opened, place, running
from recountdb.api.http.query_parameters import SPEED_MAX
from recountdb.api.schemas.diff import difference_resource
from recountdb.api.schemas.responses import event_resource, origin_ids
from recountdb.domain.aggregate import Deleted, MetadataMerged, Undeleted
from recountdb.domain.commands import Name
from recountdb.domain.errors import InvalidInput
from recountdb.domain.events import Event
from recountdb.domain.messages import (
    MessageAdded,
    MessageDeleted,
    MessageEdited,
    MessageEvent,
    MessageMetadataMerged,
    message_from,
)
from recountdb.domain.sessions import Session, SessionRenamed, SessionStarted
from recountdb.eventlog.application import Recount
from recountdb.projections.lists.paging import KEY_MAX
from recountdb.projections.queries.diff import compare
from recountdb.projections.queries.history import AsOf, stream_named
from recountdb.projections.queries.replay import paced, stream_entries
from recountdb.projections.views.sessions import session_names

SPEED = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,6})?)x?", re.ASCII)

Pause = Callable[[float], object]
"""A function that waits for a number of seconds."""


def diff(
    data: Path | None, project: str, session: str, *, scope: str, from_: str, to: str | None, as_json: bool
) -> None:
    old = moment_in(from_, "--from")
    new = AsOf() if to is None else moment_in(to, "--to")
    with opened(place(data)) as database, running(database) as application:
        before, after = compare(application, Name(project, Session.KIND, scope, session), old, new)
        origins = session_names(database, project, origin_ids([after.conversation]))
        difference = difference_resource(before, after, origins)
    if as_json:
        show_json(difference)
    else:
        for words in difference["words"]:
            typer.echo(shown(words))


def replay(
    data: Path | None,
    project: str,
    session: str,
    *,
    scope: str,
    speed: str,
    first: int | None,
    last: int | None,
    as_json: bool,
    pause: Pause = time.sleep,
) -> None:
    """Print the session's events at their pace. Ctrl-C ends it without an error."""
    wanted = _speed_in(speed)
    with suppress(KeyboardInterrupt), opened(place(data)) as database, running(database) as application:
        stream_id = stream_named(application, Name(project, Session.KIND, scope, session))
        lines = _Lines(application, stream_id)
        entries = stream_entries(application.log, stream_id, first or 1, last or KEY_MAX - 1)
        for seconds, entry in paced(entries, wanted):
            if seconds:
                pause(seconds)
            if as_json:
                show_json(event_resource(entry))
            else:
                lines.show(application.read(entry))


def _speed_in(text: str) -> float:
    """Return 10.0 for ``10x``, and 0.0, which means no pauses, for ``max``. Raises InvalidInput."""
    if text == "max":
        return 0.0
    found = SPEED.fullmatch(text)
    if found is None or float(found[1]) > SPEED_MAX:
        raise InvalidInput("--speed", "must be a number like 10x, or max for no pauses")
    return float(found[1])


class _Lines:
    """Printer of a session's events as a conversation: messages in full, other events as dim lines."""

    def __init__(self, application: Recount, stream_id: UUID) -> None:
        self._application = application
        self._stream_id = stream_id
        self._versions: dict[UUID, int] = {}

    def show(self, event: Event) -> None:
        moment = shown(event.recorded_at)
        if isinstance(event, MessageAdded):
            message = message_from(event)
            self._versions[message.id] = message.version
            said_at = shown(message.timestamp or message.recorded_at)
            typer.echo(f"{said_at}  {shown(message.role)}: {shown(content_of(message))}")
        else:
            typer.secho(f"{moment}  {self.told(event)}", dim=True)

    def told(self, event: Event) -> str:
        """Return what happened, as one line."""
        match event:
            case SessionStarted(origin=origin):
                return "the session began" if origin is None else f"forked at version {origin.version}"
            case SessionRenamed():
                return f"renamed to {shown(event.name)}"
            case Deleted():
                return "the session was deleted"
            case Undeleted():
                return "the session was undeleted"
            case MetadataMerged():
                return f"metadata: {shortened(event.metadata)}"
            case MessageEvent():
                return f"{self.name_of(event.message_id)} {_told_of_message(event)}"
            case _:
                return event.TOPIC

    def name_of(self, message_id: UUID) -> str:
        """Return the message's number in the session. It may have been added before the part replayed."""
        if message_id not in self._versions:
            for message in self._application.views.find_messages(self._stream_id, [message_id], ()):
                self._versions[message_id] = message.version
        return f"message {self._versions.get(message_id, message_id)}"


def _told_of_message(event: MessageEvent) -> str:
    match event:
        case MessageEdited():
            changes: dict[str, Any] = dict(event.changes)
            text = changes["content"] if list(changes) == ["content"] else changes
            return f"was edited: {shortened(text)}"
        case MessageMetadataMerged():
            return f"metadata: {shortened(event.metadata)}"
        case MessageDeleted():
            return "was deleted"
        case _:
            return event.TOPIC
