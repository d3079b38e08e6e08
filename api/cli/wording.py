"""The words in which commands print messages, and a session's events as a conversation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import typer

from recountdb.api.cli.output import shortened, shown
from recountdb.domain.aggregate import Deleted, MetadataMerged, Undeleted
from recountdb.domain.events import Event
from recountdb.domain.messages import (
    MessageAdded,
    MessageDeleted,
    MessageEdited,
    MessageEvent,
    MessageMetadataMerged,
    MessageState,
    message_from,
)
from recountdb.domain.sessions import SessionRenamed, SessionStarted
from recountdb.eventlog.application import Recount


def content_of(message: MessageState) -> Any:
    """Return the content, with the tools that were called."""
    if not message.tool_calls:
        return message.content
    calls = "\n".join(f"→ {_describe_call(call)}" for call in message.tool_calls)
    return calls if message.content is None else f"{message.content}\n{calls}"


def _describe_call(call: Any) -> str:
    match call:
        case {"function": {"name": str(name), "arguments": str(arguments)}}:
            return f"{name}({arguments})"
        case _:
            return shortened(call)


class ConversationPrinter:
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
            typer.secho(f"{moment}  {self._describe(event)}", dim=True)

    def _describe(self, event: Event) -> str:
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
                return f"{self._number_of(event.message_id)} {_describe_change(event)}"
            case _:
                return event.TOPIC

    def _number_of(self, message_id: UUID) -> str:
        """Return the message's number in the session. It may have been added before the part replayed."""
        if message_id not in self._versions:
            for message in self._application.views.find_messages(self._stream_id, [message_id], ()):
                self._versions[message_id] = message.version
        return f"message {self._versions.get(message_id, message_id)}"


def _describe_change(event: MessageEvent) -> str:
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
