"""A message in Langflow's two shapes, and its translation into Recount's message and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue, field_validator

from recountdb.api.transfer.cleaning import loads
from recountdb.domain.messages import MessageState
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


def changes_of(
    update: Mapping[str, Any], message: MessageState, *, is_edit: bool
) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
    """Return an update as new values of Recount's members, and a patch of the metadata.

    ``is_edit``: whether another text marks the message as edited.
    """
    changes: dict[str, JsonValue] = {}
    extras = {name: _whole(update[name]) for name in EXTRAS if name in update}
    if "text" in update and update["text"] != _text_of(message):
        changes["content"] = update["text"]
        if is_edit:
            extras["edit"] = True
    if "sender_name" in update:
        changes["name"] = update["sender_name"]
    if "sender" in update or "category" in update:
        kept = extras_of(message)
        sender = update.get("sender", _sender_of(message))
        changes["role"] = _role_of(sender, update.get("category", kept.get("category")))
        extras["sender"] = sender
    return changes, {KEY: extras} if extras else {}


def _whole(value: JsonValue) -> JsonValue:
    """Return ``value`` as a patch that replaces the old value.

    An object is wrapped in a list, because a patch merges objects but replaces lists.
    """
    return [value] if isinstance(value, dict) else value


def unwrapped(value: JsonValue) -> JsonValue:
    match value:
        case [dict() as only]:
            return only
    return value


# ---- translation --------------------------------------------------------------------------------


def _role_of(sender: str, category: object = None) -> str:
    """Return the role for a message of this sender. The sender itself is kept in the metadata."""
    if sender == "User":
        return "user"
    if sender == "Machine" or category == "error":
        return "assistant"
    return sender or "unknown"


def members_of(message: Mapping[str, Any]) -> dict[str, Any]:
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


def extras_of(message: MessageState) -> dict[str, Any]:
    kept = (message.metadata or {}).get(KEY)
    return kept if isinstance(kept, dict) else {}


def _sender_of(message: MessageState) -> str:
    sender = extras_of(message).get("sender")
    return sender if isinstance(sender, str) else SENDERS.get(message.role, message.role)


def _sender_name_of(message: MessageState) -> str:
    return SENDER_NAMES.get(message.role, message.role) if message.name is None else message.name


def roles_with(names: Mapping[str, str], name: str) -> list[str]:
    """Return the roles that ``names``, one of the two tables above, maps to ``name``."""
    found = [role for role, other in names.items() if other == name]
    return found if name in names else [*found, name]


def _text_of(message: MessageState) -> str:
    """Return the content as a text; for a list of parts, that of the text parts."""
    if isinstance(message.content, str):
        return message.content
    texts = (part.get("text") if isinstance(part, dict) else part for part in message.content or [])
    return "\n".join(text for text in texts if isinstance(text, str))


def _wire_time(moment: datetime) -> str:
    """Format a time as Langflow does and its user interface parses it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC"


def flow_in(scope: str) -> str | None:
    """Return the flow id that a session's scope holds; None if the scope holds none."""
    try:
        return str(UUID(scope))
    except ValueError:
        return None


# ---- responses ----------------------------------------------------------------------------------


def list_item(found: FoundMessage) -> dict[str, Any]:
    """Return a message in shape A, that of lists."""
    told = told_by(found)
    told["files"] = json.dumps(told["files"])
    names = (
        "id flow_id timestamp sender sender_name session_id context_id text files edit duration properties"
        " category content_blocks session_metadata"
    )
    return {name: told[name] for name in names.split()}


def single(found: FoundMessage) -> dict[str, Any]:
    """Return a message in shape B, that of a single message."""
    told = told_by(found)
    names = (
        "timestamp sender sender_name session_id context_id text files error edit properties category"
        " content_blocks session_metadata id flow_id run_id"
    )
    return {name: told[name] for name in names.split()}


def told_by(found: FoundMessage) -> dict[str, Any]:
    """Return the members of both shapes."""
    message, extras = found.message, extras_of(found.message)
    return {
        "id": str(message.id),
        "flow_id": flow_in(found.scope),
        "timestamp": _wire_time(message.timestamp or message.recorded_at),
        "sender": _sender_of(message),
        "sender_name": _sender_name_of(message),
        "session_id": found.conversation,
        "context_id": extras.get("context_id"),
        "text": _text_of(message),
        "files": extras.get("files") or [],
        "error": bool(extras.get("error")),
        "edit": bool(extras.get("edit")),
        "duration": extras.get("duration"),
        "properties": properties_of(extras),
        "category": extras.get("category", "message"),
        "content_blocks": groups_of(extras.get("content_blocks")),
        "session_metadata": unwrapped(extras.get("session_metadata")),
        "run_id": extras.get("run_id"),
    }


def properties_of(extras: Mapping[str, Any]) -> dict[str, Any]:
    """Return all properties, with defaults for absent ones; a value of the wrong type is ignored."""
    stored = unwrapped(extras.get("properties"))
    complete = Properties()
    for name, value in stored.items() if isinstance(stored, dict) else ():
        try:
            read = Properties.model_validate({name: value})
        except ValueError:
            continue
        if name in Properties.model_fields:
            setattr(complete, name, getattr(read, name))
    return complete.model_dump(mode="json")


# ---- content blocks -----------------------------------------------------------------------------

STEPS = "Agent Steps"


def groups_of(stored: object) -> list[dict[str, Any]]:
    """Return the content blocks as Langflow's clients know them: groups of leaves, not nested deeper.

    Text beside the groups becomes the end of the first group with an agent's steps.
    """
    nodes = [node for node in map(decoded, stored if isinstance(stored, list) else []) if node is not None]
    groups = [node for node in nodes if _is_group(node)]
    leaves = [node for node in nodes if not _is_group(node)]
    if not groups:
        is_agent = any(leaf.get("type") == "tool_use" for leaf in leaves)
        return [_group({"title": STEPS, "contents": leaves})] if is_agent else []
    output = "".join(str(leaf.get("text") or "") for leaf in leaves if leaf.get("type") == "text")
    steps = next((place for place, node in enumerate(groups) if node.get("title") == STEPS), None)
    return [_group(node, output if place == steps else "") for place, node in enumerate(groups)]


def decoded(node: object) -> dict[str, Any] | None:
    """Return a node, decoding one that is JSON in a text; None if it is not a node."""
    if isinstance(node, str):
        try:
            node = loads(node)
        except ValueError:
            return None
    return node if isinstance(node, dict) else None


def _is_group(node: Mapping[str, Any]) -> bool:
    """Return whether a node is a group. Old nodes have no type, and are recognized by their members."""
    return node["type"] == "group" if "type" in node else {"title", "contents"} <= node.keys()


def _group(node: Mapping[str, Any], output: str = "") -> dict[str, Any]:
    """Return a node as a group; ``output``, the text beside it, is appended as its last leaf."""
    contents = _leaves_of(node.get("contents"))
    if output:
        header = {"title": "Output", "icon": "MessageSquare"}
        contents.append({"type": "text", "duration": None, "header": header, "text": output})
    return {
        "title": node.get("title"),
        "contents": contents,
        "allow_markdown": node.get("allow_markdown", True),
        "media_url": node.get("media_url"),
    }


def _leaves_of(contents: object) -> list[dict[str, Any]]:
    nodes: Iterable[object] = contents if isinstance(contents, list) else []
    return [
        {name: value for name, value in leaf.items() if name not in ("id", "contents")}
        for leaf in map(decoded, nodes)
        if leaf is not None
    ]
