"""A feedback in Flowise's shape."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from recountdb.api.protocols.langflux.shapes.messages import KEY, format_flowise_time
from recountdb.api.protocols.metadata import find_own_members
from recountdb.domain.values import Text
from recountdb.projections.views.messages import FoundMessage

Rating = Literal["THUMBS_UP", "THUMBS_DOWN"]


class FeedbackToGive(BaseModel):
    """The body of a feedback, given or changed. Unknown members are ignored."""

    model_config = ConfigDict(extra="ignore")

    chatflowid: Text | None = None
    chatId: Text | None = None  # noqa: N815 - the contract's names
    messageId: Text | None = None  # noqa: N815
    rating: Rating | None = None
    content: Text | None = None


def to_feedback(found: FoundMessage, body: FeedbackToGive, now: datetime) -> dict[str, Any]:
    """Return the feedback that a body gives on a message; its id is that of the message."""
    return {
        "id": str(found.message.id),
        "chatflowid": found.scope,
        "chatId": find_chat_id(found),
        "messageId": str(found.message.id),
        "rating": body.rating,
        "content": body.content,
        "createdDate": format_flowise_time(now),
    }


def find_chat_id(found: FoundMessage) -> str:
    """Return the chat of a message."""
    return str(find_own_members(found.message.metadata, KEY).get("chatId", found.conversation))
