"""A chat message in Flowise's words, and how it becomes one of ours and back."""

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
"""Under this key of a message's metadata is what ours have no place for."""

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
"""What Flowise keeps as JSON texts, and tells decoded."""

EXTRAS = (*JSON_COLUMNS, "executionId", "chatType", "chatId", "memoryType", "leadEmail", "followUpPrompts")
"""The members of a chat message that are kept in the metadata; so is a ``sessionId``, null or empty."""

FEEDBACK = ("id", "chatflowid", "chatId", "messageId", "rating", "content", "createdDate")
"""The members of a feedback."""

ROLES = {"userMessage": "user", "apiMessage": "assistant"}
CHAT_TYPES = ("INTERNAL", "EXTERNAL", "EVALUATION", "MCP", "SCHEDULED", "WEBHOOK")
DEFAULT_CHAT_TYPE = "EXTERNAL"
"""Of a message that was not written by Flowise."""


class NewChatMessage(BaseModel):
    """The body of a POST. Members that are not named here are passed over."""

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
    """The scope of a chatflow's sessions; None for what is no id of one."""
    try:
        return str(UUID(chatflow))
    except ValueError:
        return None


def members_of(message: Mapping[str, Any], timestamp: datetime | None) -> dict[str, Any]:
    """Members of domain.messages.Message, all but the id, for a chat message."""
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
    """The last one on it, with all members."""
    kept = extras_of(message).get("feedback")
    return {name: kept.get(name) for name in FEEDBACK} if isinstance(kept, dict) and kept else None


def role_of(message: MessageState) -> str:
    return "userMessage" if message.role in ("user", "human") else "apiMessage"


def created(message: MessageState) -> datetime:
    return message.timestamp or message.recorded_at


def wire_time(moment: datetime) -> str:
    """As JavaScript writes a time: three digits of a second, UTC."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _text_of(message: MessageState) -> str:
    """What was said, as a text; of a list of parts, those that are text."""
    if isinstance(message.content, str):
        return message.content
    texts = (part.get("text") if isinstance(part, dict) else part for part in message.content or [])
    return "\n".join(text for text in texts if isinstance(text, str))


def session_id_of(found: FoundMessage) -> str | None:
    session_id: str | None = extras_of(found.message).get("sessionId", found.conversation)
    return session_id


def chat_message(found: FoundMessage, *, as_strings: bool = False, feedback: bool = False) -> dict[str, Any]:
    """``as_strings``: the JSON columns as texts, as servers up to 2.0.5 told them."""
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
    """A column decoded by itself; what cannot be decoded, or would not be the same, stays a text."""
    if isinstance(value, str):
        try:
            return read_json(value)
        except (NotJson, InvalidInput):
            return value
    return value


def _json_text(value: object) -> object:
    """As JavaScript writes it."""
    return value if value is None or isinstance(value, str) else to_json(value).decode()
