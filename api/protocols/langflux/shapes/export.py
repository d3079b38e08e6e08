"""Flowise's figures and its export of conversations, made of chat messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from recountdb.api.protocols.langflux.shapes.messages import KEY, find_session_id, to_flowise_message
from recountdb.api.protocols.metadata import find_own_members
from recountdb.domain.values import Text
from recountdb.projections.views.messages import FoundMessage

SOURCES = {
    "INTERNAL": "UI",
    "EXTERNAL": "API/Embed",
    "EVALUATION": "Evaluation",
    "MCP": "MCP",
    "SCHEDULED": "Scheduled",
    "WEBHOOK": "Webhook",
}

ATTACHED = ("sourceDocuments", "usedTools", "fileAnnotations", "agentReasoning", "artifacts")
STORED = "stored-file"
"""The type of an upload that Flowise stores, and whose path the export includes."""


class ExportRequest(BaseModel):
    """The body of an export. Unknown members are ignored."""

    model_config = ConfigDict(extra="ignore")

    chatflowId: Text = ""  # noqa: N815 - the contract's names
    chatType: list[Text] | Text | None = None  # noqa: N815
    feedbackType: list[Text] | Text | None = None  # noqa: N815
    startDate: Text | None = None  # noqa: N815
    endDate: Text | None = None  # noqa: N815


def count_messages(found: Sequence[FoundMessage]) -> dict[str, int]:
    """Return the figures of messages: how many there are, in how many sessions, and how they are rated."""
    own = [find_own_members(one.message.metadata, KEY) for one in found]
    ratings = [(members.get("feedback") or {}).get("rating") for members in own]
    return {
        "totalMessages": len(found),
        "totalSessions": len({find_session_id(one) for one in found} - {None}),
        "totalFeedback": sum(rating is not None for rating in ratings),
        "positiveFeedback": ratings.count("THUMBS_UP"),
    }


def group_conversations(found: Sequence[FoundMessage]) -> list[dict[str, Any]]:
    """Group messages, which come oldest first, by chat, memory and session.

    The conversation with the newest message is first.
    """
    by_key: dict[tuple[str, str | None, str | None], list[dict[str, Any]]] = {}
    for one in found:
        message = to_flowise_message(one, has_feedback=True)
        key = (str(message["chatId"]), message["memoryType"], message["sessionId"])
        # Each message moves its conversation to the end, so the one with the newest message is last.
        messages = by_key.pop(key, [])
        messages.append(message)
        by_key[key] = messages
    return [_to_conversation(*key, messages) for key, messages in reversed(by_key.items())]


def _to_conversation(
    chat_id: str, memory: str | None, session_id: str | None, messages: list[dict[str, Any]]
) -> dict[str, Any]:
    emails = (message["leadEmail"] for message in reversed(messages) if message["leadEmail"])
    return {
        "id": chat_id,
        "source": SOURCES.get(messages[0]["chatType"], messages[0]["chatType"]),
        "sessionId": session_id,
        "memoryType": memory,
        "email": next(emails, None),
        "messages": list(map(_to_exported, messages)),
    }


def _to_exported(message: dict[str, Any]) -> dict[str, Any]:
    exported = {
        "content": message["content"],
        "role": "user" if message["role"] == "userMessage" else "bot",
        "time": message["createdDate"],
    }
    uploads = message["fileUploads"]
    files = [one for one in uploads if isinstance(one, dict)] if isinstance(uploads, list) else []
    if paths := [one["name"] for one in files if one.get("type") == STORED and "name" in one]:
        exported["filePaths"] = paths
    exported |= {name: message[name] for name in ATTACHED if message[name] is not None}
    if message["feedback"]:
        exported["feedback"] = message["feedback"].get("content")
    return exported
