"""A chat message in Flowise's shape, and its translation into Recount's message and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from recountdb.domain.errors import InvalidInput
from recountdb.domain.exact_json import NotJson, read_json
from recountdb.domain.messages import MessageState
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


class NewChatMessage(BaseModel):
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


def scope_of(chatflow: str) -> str | None:
    """Return the scope of a chatflow's sessions; None if ``chatflow`` is not a valid id."""
    try:
        return str(UUID(chatflow))
    except ValueError:
        return None


def members_of(message: Mapping[str, Any], timestamp: datetime | None) -> dict[str, Any]:
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


def extras_of(message: MessageState) -> dict[str, Any]:
    kept = (message.metadata or {}).get(KEY)
    return kept if isinstance(kept, dict) else {}


def feedback_of(message: MessageState) -> dict[str, Any] | None:
    """Return the last feedback on a message, with all members; None if there is none."""
    kept = extras_of(message).get("feedback")
    return {name: kept.get(name) for name in FEEDBACK} if isinstance(kept, dict) and kept else None


def role_of(message: MessageState) -> str:
    return "userMessage" if message.role in ("user", "human") else "apiMessage"


def created(message: MessageState) -> datetime:
    return message.timestamp or message.recorded_at


def wire_time(moment: datetime) -> str:
    """Format a time as JavaScript does, in UTC with milliseconds."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _text_of(message: MessageState) -> str:
    """Return the content as a text; for a list of parts, that of the text parts."""
    if isinstance(message.content, str):
        return message.content
    texts = (part.get("text") if isinstance(part, dict) else part for part in message.content or [])
    return "\n".join(text for text in texts if isinstance(text, str))


def session_id_of(found: FoundMessage) -> str | None:
    session_id: str | None = extras_of(found.message).get("sessionId", found.conversation)
    return session_id


def chat_message(found: FoundMessage, *, as_strings: bool = False, feedback: bool = False) -> dict[str, Any]:
    """Return a message in Flowise's shape.

    ``as_strings``: whether JSON columns are texts, as in responses of servers up to 2.0.5. ``feedback``:
    whether the feedback is included.
    """
    message, extras = found.message, extras_of(found.message)
    column = _json_text if as_strings else _decoded
    told = {
        "id": str(message.id),
        "role": role_of(message),
        "chatflowid": found.scope,
        "executionId": extras.get("executionId"),
        "content": _text_of(message),
    }
    told |= {name: column(extras.get(name)) for name in JSON_COLUMNS}
    prompts = extras.get("followUpPrompts")
    told |= {
        "chatType": extras.get("chatType") or DEFAULT_CHAT_TYPE,
        "chatId": extras.get("chatId", found.conversation),
        "memoryType": extras.get("memoryType"),
        "sessionId": session_id_of(found),
        "createdDate": wire_time(created(message)),
        "leadEmail": extras.get("leadEmail"),
        "followUpPrompts": _json_text(prompts),
        "execution": None,
    }
    if feedback:
        told["feedback"] = feedback_of(message)
    return told


def _decoded(value: object) -> object:
    """Return a column decoded; a text that is not JSON, or would not decode exactly, stays a text."""
    if isinstance(value, str):
        try:
            return read_json(value)
        except (NotJson, InvalidInput):
            return value
    return value


def _json_text(value: object) -> object:
    """Return a value as a JSON text, in JavaScript's format; a text and None stay as they are."""
    return value if value is None or isinstance(value, str) else to_json(value).decode()
