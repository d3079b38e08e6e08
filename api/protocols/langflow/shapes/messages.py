"""A message in Langflow's two shapes, and its translation into Recount's message and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue, RootModel, field_validator

from recountdb.api.protocols.langflow.shapes.content_blocks import group_blocks
from recountdb.api.protocols.metadata import find_own_members
from recountdb.domain.messages import MessageState, text_of
from recountdb.domain.values import Document, Metadata, Text
from recountdb.projections.views.messages import FoundMessage

KEY = "langflow"
"""The key of a message's metadata that holds the members without a counterpart in Recount."""

SENDERS = {"user": "User", "human": "User", "assistant": "Machine", "ai": "Machine"}
"""Role → sender, for messages that Langflow did not write; any other role is its own sender."""

SENDER_NAMES = {"user": "User", "human": "User", "assistant": "AI", "ai": "AI"}
"""Role → display name, for the same messages."""

EXTRAS = (
    "sender",
    "context_id",
    "files",
    "error",
    "edit",
    "properties",
    "category",
    "content_blocks",
    "session_metadata",
    "run_id",
    "duration",
    "is_output",
)
"""The members of a Langflow message that are kept in the metadata."""


# ---- requests -----------------------------------------------------------------------------------


class Source(BaseModel):
    id: Text | None = None
    display_name: Text | None = None
    source: Text | None = None


class Usage(BaseModel):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None


class Properties(BaseModel):
    """The way the user interface shows a message. Only the members that were given are kept."""

    text_color: Text | None = None
    background_color: Text | None = None
    edited: bool = False
    source: Source = Source()
    icon: Text | None = None
    allow_markdown: bool = False
    positive_feedback: bool | None = None
    state: Literal["partial", "complete"] = "complete"
    targets: list[Document] = []
    usage: Usage | None = None
    build_duration: float | None = None

    @field_validator("source", mode="before")
    @classmethod
    def _all_three(cls, value: object) -> object:
        if value is None:
            return Source()
        return {"id": value, "display_name": value, "source": value} if isinstance(value, str) else value


class MessageUpdate(BaseModel):
    """The body of a PUT. Null counts as absent, and unknown members are ignored."""

    model_config = ConfigDict(extra="ignore")

    text: Text | None = None
    sender: Text | None = None
    sender_name: Text | None = None
    session_id: Text | None = None
    context_id: Text | None = None
    files: list[Text] | None = None
    edit: bool | None = None
    error: bool | None = None
    properties: Properties | None = None
    session_metadata: Metadata | None = None
    category: Text | None = None
    content_blocks: list[Metadata] | None = None

    def given(self) -> dict[str, Any]:
        """Return the members that were given, as JSON."""
        return self.model_dump(exclude_unset=True, exclude_none=True, mode="json")


class MessageIds(RootModel[list[UUID]]):
    """The body of a deletion of messages."""


class SessionIds(RootModel[list[str]]):
    """The body of a deletion of sessions."""


def build_changes(
    update: Mapping[str, Any], message: MessageState, *, is_edit: bool
) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
    """Return an update as new values of Recount's members, and a patch of the metadata.

    ``is_edit``: whether another text marks the message as edited.
    """
    changes: dict[str, JsonValue] = {}
    extras = {name: _wrap(update[name]) for name in EXTRAS if name in update}
    if "text" in update and update["text"] != text_of(message.content):
        changes["content"] = update["text"]
        if is_edit:
            extras["edit"] = True
    if "sender_name" in update:
        changes["name"] = update["sender_name"]
    if "sender" in update or "category" in update:
        own = find_own_members(message.metadata, KEY)
        sender = update.get("sender", _sender_of(message))
        changes["role"] = _role_of(sender, update.get("category", own.get("category")))
        extras["sender"] = sender
    return changes, {KEY: extras} if extras else {}


def unwrap(value: JsonValue) -> JsonValue:
    """Return a stored value without the list that an object was wrapped in."""
    match value:
        case [dict() as only]:
            return only
    return value


# ---- translation --------------------------------------------------------------------------------


def from_langflow_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of domain.messages.Message, except the id, for a Langflow message."""
    extras = {name: message[name] for name in EXTRAS if message.get(name) is not None}
    return {
        "role": _role_of(message["sender"], message.get("category")),
        "content": message.get("text") or "",
        "name": message.get("sender_name"),
        "user_id": message.get("user_id"),
        "timestamp": message.get("timestamp"),
        "metadata": {KEY: extras},
    }


def find_roles(names: Mapping[str, str], name: str) -> list[str]:
    """Return the roles that ``names``, one of the two tables above, maps to ``name``."""
    found = [role for role, other in names.items() if other == name]
    return found if name in names else [*found, name]


def find_flow(scope: str) -> str | None:
    """Return the flow id that a session's scope holds; None if the scope holds none."""
    try:
        return str(UUID(scope))
    except ValueError:
        return None


# ---- responses ----------------------------------------------------------------------------------


def to_list_item(found: FoundMessage) -> dict[str, Any]:
    """Return a message in shape A, that of lists."""
    full = to_full_message(found)
    full["files"] = json.dumps(full["files"])
    names = (
        "id flow_id timestamp sender sender_name session_id context_id text files edit duration properties"
        " category content_blocks session_metadata"
    )
    return {name: full[name] for name in names.split()}


def to_single_message(found: FoundMessage) -> dict[str, Any]:
    """Return a message in shape B, that of a single message."""
    full = to_full_message(found)
    names = (
        "timestamp sender sender_name session_id context_id text files error edit properties category"
        " content_blocks session_metadata id flow_id run_id"
    )
    return {name: full[name] for name in names.split()}


def to_full_message(found: FoundMessage) -> dict[str, Any]:
    """Return the members of both shapes."""
    message, own = found.message, find_own_members(found.message.metadata, KEY)
    return {
        "id": str(message.id),
        "flow_id": find_flow(found.scope),
        "timestamp": _format_time(message.timestamp or message.recorded_at),
        "sender": _sender_of(message),
        "sender_name": _sender_name_of(message),
        "session_id": found.conversation,
        "context_id": own.get("context_id"),
        "text": text_of(message.content),
        "files": own.get("files") or [],
        "error": bool(own.get("error")),
        "edit": bool(own.get("edit")),
        "duration": own.get("duration"),
        "properties": complete_properties(own),
        "category": own.get("category", "message"),
        "content_blocks": group_blocks(own.get("content_blocks")),
        "session_metadata": unwrap(own.get("session_metadata")),
        "run_id": own.get("run_id"),
    }


def complete_properties(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return all properties, with defaults for absent ones; a value of the wrong type is ignored."""
    stored = unwrap(own.get("properties"))
    complete = Properties()
    for name, value in stored.items() if isinstance(stored, dict) else ():
        try:
            valid = Properties.model_validate({name: value})
        except ValueError:
            continue
        if name in Properties.model_fields:
            setattr(complete, name, getattr(valid, name))
    return complete.model_dump(mode="json")


def _wrap(value: JsonValue) -> JsonValue:
    """Return ``value`` as a patch that replaces the old value.

    An object is wrapped in a list, because a patch merges objects but replaces lists.
    """
    return [value] if isinstance(value, dict) else value


def _role_of(sender: str, category: object = None) -> str:
    """Return the role for a message of this sender. The sender itself is kept in the metadata."""
    if sender == "User":
        return "user"
    if sender == "Machine" or category == "error":
        return "assistant"
    return sender or "unknown"


def _sender_of(message: MessageState) -> str:
    sender = find_own_members(message.metadata, KEY).get("sender")
    return sender if isinstance(sender, str) else SENDERS.get(message.role, message.role)


def _sender_name_of(message: MessageState) -> str:
    return SENDER_NAMES.get(message.role, message.role) if message.name is None else message.name


def _format_time(moment: datetime) -> str:
    """Format a time as Langflow does and its user interface parses it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC"
