"""The figures of a chatflow, and the export of its conversations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from recountdb.api.protocols.base import body_as, visit
from recountdb.api.protocols.langflux.chatmessages import (
    MILLISECOND,
    Query,
    Wanted,
    by_chat_type,
    find,
    many_in,
    moment_in,
    scope_in,
)
from recountdb.api.protocols.langflux.errors import refused
from recountdb.api.protocols.langflux.messages import chat_message, extras_of, session_id_of
from recountdb.api.schemas.responses import Json
from recountdb.domain.values import Text
from recountdb.projections.queries.recent_messages import Said
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


class _ExportRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")

    chatflowId: Text = ""  # noqa: N815 - the contract's names
    chatType: list[Text] | Text | None = None  # noqa: N815
    feedbackType: list[Text] | Text | None = None  # noqa: N815
    startDate: Text | None = None  # noqa: N815
    endDate: Text | None = None  # noqa: N815


def add_routes(router: APIRouter) -> None:
    @router.get("/api/v1/stats/{chatflow}")
    async def stats(chatflow: str, request: Request) -> Response:
        """Count the messages of a chatflow, and the ratings of its answers."""
        here = await visit(request)
        wanted = Query(request).wanted(scope_in(chatflow), has_feedback=True)
        found = await find(here, replace(wanted, page=0))
        ratings = [(extras_of(one.message).get("feedback") or {}).get("rating") for one in found]
        return Json(
            {
                "totalMessages": len(found),
                "totalSessions": len({session_id_of(one) for one in found} - {None}),
                "totalFeedback": sum(rating is not None for rating in ratings),
                "positiveFeedback": ratings.count("THUMBS_UP"),
            }
        )

    @router.post("/api/v1/export-import/chatflow-messages")
    async def export(request: Request) -> Response:
        """Export the conversations of a chatflow, newest first."""
        here = await visit(request, scope="read")
        body = await body_as(request, _ExportRequest)
        if not body.chatflowId:
            raise refused(400, "Error: chatflowId is required!")
        types, ratings = _listed(body.chatType), _listed(body.feedbackType)
        until = moment_in("endDate", body.endDate) + MILLISECOND if body.endDate else None
        said = Said(
            scope=scope_in(body.chatflowId),
            label=by_chat_type(types) if types else None,
            since=moment_in("startDate", body.startDate) if body.startDate else None,
            until=until,
        )
        return Json(_conversations(await find(here, Wanted(said, ratings or None))))


def _listed(value: list[str] | str | None) -> list[str]:
    """Return a value, several, or the items of a JSON array, as a list."""
    return many_in([value] if isinstance(value, str) else value or ())


def _conversations(found: list[FoundMessage]) -> list[dict[str, Any]]:
    """Group messages, which come oldest first, by chat, memory and session.

    The conversation with the newest message is first.
    """
    by_key: dict[tuple[str, str | None, str | None], list[dict[str, Any]]] = {}
    for one in found:
        told = chat_message(one, feedback=True)
        key = (str(told["chatId"]), told["memoryType"], told["sessionId"])
        # Each message moves its conversation to the end, so the one with the newest message is last.
        messages = by_key.pop(key, [])
        messages.append(told)
        by_key[key] = messages
    return [_conversation(*key, messages) for key, messages in reversed(by_key.items())]


def _conversation(
    chat_id: str, memory: str | None, session_id: str | None, messages: list[dict[str, Any]]
) -> dict[str, Any]:
    emails = (message["leadEmail"] for message in reversed(messages) if message["leadEmail"])
    return {
        "id": chat_id,
        "source": SOURCES.get(messages[0]["chatType"], messages[0]["chatType"]),
        "sessionId": session_id,
        "memoryType": memory,
        "email": next(emails, None),
        "messages": [_exported(message) for message in messages],
    }


def _exported(message: dict[str, Any]) -> dict[str, Any]:
    told = {
        "content": message["content"],
        "role": "user" if message["role"] == "userMessage" else "bot",
        "time": message["createdDate"],
    }
    uploads = message["fileUploads"]
    files = [one for one in uploads if isinstance(one, dict)] if isinstance(uploads, list) else []
    if paths := [one["name"] for one in files if one.get("type") == STORED and "name" in one]:
        told["filePaths"] = paths
    told |= {name: message[name] for name in ATTACHED if message[name] is not None}
    if message["feedback"]:
        told["feedback"] = message["feedback"].get("content")
    return told
