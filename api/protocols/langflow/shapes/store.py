"""A message as Langflow's components have it, which its in-process store sends and gets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from uuid_utils.compat import uuid7

from recountdb.api.protocols.langflow.errors import LangflowRefusal
from recountdb.api.protocols.langflow.shapes.content_blocks import decode_node
from recountdb.api.protocols.langflow.shapes.messages import (
    EXTRAS,
    KEY,
    from_langflow_message,
    to_full_message,
    unwrap,
)
from recountdb.api.protocols.metadata import find_own_members
from recountdb.api.protocols.responder.exchange import build_message
from recountdb.domain.errors import InvalidInput
from recountdb.domain.messages import Message
from recountdb.domain.values import Document, Text, to_utc
from recountdb.projections.views.messages import FoundMessage

MESSAGES_MAX = 10_000
REQUIRED = ("session_id", "sender", "sender_name")
UPDATABLE = ("text", "sender", "sender_name", "session_id", *EXTRAS[1:])


class ComponentMessage(BaseModel):
    """A message with Langflow's members; a member that was not given is absent."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Document]  # the members in EXTRAS

    id: Text | None = None
    text: Text = ""
    sender: Text = ""
    sender_name: Text = ""
    session_id: Text = ""
    flow_id: Text | None = None
    user_id: Text | None = None
    timestamp: Text | None = None


class MessageBatch(BaseModel):
    """The body of a write. ``flow_id`` and ``user_id`` say what is executing, and override the messages'.

    ``run_id``: the run of the messages that name none.
    """

    flow_id: Text | None = None
    user_id: Text | None = None
    run_id: Text | None = None
    messages: list[ComponentMessage] = Field(max_length=MESSAGES_MAX)


def refuse_incomplete(messages: Iterable[ComponentMessage]) -> None:
    for message in messages:
        missing = [name for name in REQUIRED if not getattr(message, name)]
        if missing:
            raise LangflowRefusal(
                400, f"a message needs {', '.join(REQUIRED)}; missing: {', '.join(missing)}"
            )


def to_recount_message(one: ComponentMessage, batch: MessageBatch, *, now: datetime) -> Message:
    """Return a message as Recount's. Raises InvalidInput."""
    members: dict[str, Any] = one.model_dump()
    if batch.run_id and not members.get("run_id"):
        members["run_id"] = batch.run_id
    members["user_id"] = batch.user_id or one.user_id
    if one.timestamp:
        members["timestamp"] = parse_timestamp(one.timestamp)
    try:
        message_id = UUID(one.id) if one.id else uuid7()
    except ValueError:
        raise InvalidInput("id", "must be a UUID") from None
    return build_message(message_id, from_langflow_message(members), now=now)


_SPACED_OFFSET = re.compile(r"\s+(?=[+-]\d\d:?\d\d$)")


def parse_timestamp(text: str) -> datetime:
    """Parse a time in Langflow's format or ISO 8601; without a zone it is UTC. Raises InvalidInput."""
    text = text.strip()
    if text.upper().endswith("UTC"):
        text = text[:-3].rstrip()
    try:
        return to_utc(datetime.fromisoformat(_SPACED_OFFSET.sub("", text)))
    except ValueError:
        raise InvalidInput("timestamp", "must be a time, as 2026-11-20 12:00:00.000000 UTC") from None


def to_component_members(found: FoundMessage) -> dict[str, Any]:
    """Return all members of a message, with its content blocks as they are stored."""
    own = find_own_members(found.message.metadata, KEY)
    blocks = map(decode_node, own.get("content_blocks") or [])
    return {
        **to_full_message(found),
        "content_blocks": [block for block in blocks if block is not None],
        "user_id": found.message.user_id,
        "is_output": bool(own.get("is_output")),
        "session_metadata": unwrap(own.get("session_metadata")),
    }
