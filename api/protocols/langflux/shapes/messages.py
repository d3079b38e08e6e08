"""A chat message in Flowise's shape, and its translation into Recount's message and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from recountdb.api.protocols.metadata import find_own_members
from recountdb.domain.errors import InvalidInput
from recountdb.domain.exact_json import NotJson, read_json
from recountdb.domain.messages import MessageState, text_of
from recountdb.domain.values import Document, Text
from recountdb.projections.views.messages import FoundMessage

KEY = "langflux"
"""The key of a message's metadata that holds the members without a counterpart in Recount."""

JSON_COLUMNS = (
    "sourceDocuments",
    "usedTools",
    "fileAnnotations",
    "agentReasoning",
    "reasonContent",
    "fileUploads",
    "artifacts",
    "action",
)
"""The members that Flowise stores as JSON texts, and decodes in responses."""

EXTRAS = (*JSON_COLUMNS, "executionId", "chatType", "chatId", "memoryType", "leadEmail", "followUpPrompts")
"""The members of a chat message that are kept in the metadata; a ``sessionId`` is, if null or empty."""

FEEDBACK = ("id", "chatflowid", "chatId", "messageId", "rating", "content", "createdDate")
"""The members of a feedback."""

ROLES = {"userMessage": "user", "apiMessage": "assistant"}
CHAT_TYPES = ("INTERNAL", "EXTERNAL", "EVALUATION", "MCP", "SCHEDULED", "WEBHOOK")
DEFAULT_CHAT_TYPE = "EXTERNAL"
"""The chat type of a message that Flowise did not write."""


class ChatMessageToAdd(BaseModel):
    """The body of a POST. Unknown members are ignored."""

    model_config = ConfigDict(extra="ignore")

    id: UUID | None = None
    role: Text = "userMessage"
    content: Text | None = None
    chatType: Text = "INTERNAL"  # noqa: N815 - the contract's names
    chatId: Text | None = None  # noqa: N815
    memoryType: Text | None = None  # noqa: N815
    sessionId: Text | None = None  # noqa: N815
    createdDate: Text | None = None  # noqa: N815
    leadEmail: Text | None = None  # noqa: N815
    executionId: Text | None = None  # noqa: N815
    followUpPrompts: Document = None  # noqa: N815
    sourceDocuments: Document = None  # noqa: N815
    usedTools: Document = None  # noqa: N815
    fileAnnotations: Document = None  # noqa: N815
    agentReasoning: Document = None  # noqa: N815
    reasonContent: Document = None  # noqa: N815
    fileUploads: Document = None  # noqa: N815
    action: Document = None
    artifacts: Document = None


def find_scope(chatflow: str) -> str | None:
    """Return the scope of a chatflow's sessions; None if ``chatflow`` is not a valid id."""
    try:
        return str(UUID(chatflow))
    except ValueError:
        return None


def from_flowise_message(message: Mapping[str, Any], timestamp: datetime | None) -> dict[str, Any]:
    """Return the members of domain.messages.Message, except the id, for a chat message."""
    extras = {name: message[name] for name in EXTRAS if message.get(name) is not None}
    if not message.get("sessionId"):
        extras["sessionId"] = message.get("sessionId")
    return {
        "role": ROLES.get(message["role"], message["role"] or "unknown"),
        "content": message.get("content") or "",
        "timestamp": timestamp,
        "metadata": {KEY: extras},
    }


def find_feedback(message: MessageState) -> dict[str, Any] | None:
    """Return the last feedback on a message, with all members; None if there is none."""
    feedback = find_own_members(message.metadata, KEY).get("feedback")
    return (
        {name: feedback.get(name) for name in FEEDBACK} if isinstance(feedback, dict) and feedback else None
    )


def find_role(message: MessageState) -> str:
    """Return Flowise's role for a message."""
    return "userMessage" if message.role in ("user", "human") else "apiMessage"


def find_created_time(message: MessageState) -> datetime:
    """Return the time that the caller gave, or else the time when the message was recorded."""
    return message.timestamp or message.recorded_at


def format_flowise_time(moment: datetime) -> str:
    """Format a time as JavaScript does, in UTC with milliseconds."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def find_session_id(found: FoundMessage) -> str | None:
    """Return the ``sessionId`` of a message, which may be null or empty, unlike its session's name."""
    session_id: str | None = find_own_members(found.message.metadata, KEY).get(
        "sessionId", found.conversation
    )
    return session_id


def to_flowise_message(
    found: FoundMessage, *, as_strings: bool = False, has_feedback: bool = False
) -> dict[str, Any]:
    """Return a message in Flowise's shape.

    ``as_strings``: whether JSON columns are texts, as in responses of servers up to 2.0.5. ``has_feedback``:
    whether the feedback is included.
    """
    message, own = found.message, find_own_members(found.message.metadata, KEY)
    column = _encode if as_strings else _decode
    shown = {
        "id": str(message.id),
        "role": find_role(message),
        "chatflowid": found.scope,
        "executionId": own.get("executionId"),
        "content": text_of(message.content),
    }
    shown |= {name: column(own.get(name)) for name in JSON_COLUMNS}
    prompts = own.get("followUpPrompts")
    shown |= {
        "chatType": own.get("chatType") or DEFAULT_CHAT_TYPE,
        "chatId": own.get("chatId", found.conversation),
        "memoryType": own.get("memoryType"),
        "sessionId": find_session_id(found),
        "createdDate": format_flowise_time(find_created_time(message)),
        "leadEmail": own.get("leadEmail"),
        "followUpPrompts": _encode(prompts),
        "execution": None,
    }
    if has_feedback:
        shown["feedback"] = find_feedback(message)
    return shown


def _decode(value: object) -> object:
    """Return a column decoded; a text that is not JSON, or would not decode exactly, stays a text."""
    if isinstance(value, str):
        try:
            return read_json(value)
        except (NotJson, InvalidInput):
            return value
    return value


def _encode(value: object) -> object:
    """Return a value as a JSON text, in JavaScript's format; a text and None stay as they are."""
    return value if value is None or isinstance(value, str) else to_json(value).decode()
