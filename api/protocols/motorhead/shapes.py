"""Motorhead's requests and responses, and their translation into Recount's messages and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from uuid_utils.compat import uuid7

from recountdb.api.protocols.metadata import find_own_members
from recountdb.domain.messages import Message, MessageState, text_of
from recountdb.domain.sessions import Session
from recountdb.domain.values import Text
from recountdb.projections.queries.search import Ranked

KEY = "motorhead"
"""The key of a session's metadata that holds the members without a counterpart in Recount."""


# ---- requests; unknown members are ignored --------------------------------------------------------


class Utterance(BaseModel):
    """A message, as a role and what it said."""

    role: Text
    content: Text

    def to_message(self) -> Message:
        """Return this as Recount's message, with a new id."""
        return Message(id=uuid7(), role=self.role, content=self.content)


class UtterancesToAdd(BaseModel):
    """Messages to add to a session, and perhaps a new context."""

    messages: list[Utterance]
    context: Text | None = None


class Retrieval(BaseModel):
    """A question to search a session's messages for."""

    text: Text


# ---- responses ------------------------------------------------------------------------------------

EMPTY_MEMORY: dict[str, Any] = {"messages": [], "context": None, "tokens": 0}
"""The memory of a session that does not exist."""

DONE: dict[str, Any] = {"status": "Ok"}


def to_motorhead_memory(session: Session, messages: Sequence[MessageState]) -> dict[str, Any]:
    """Return the memory of a session. ``messages``: newest first, an order that is kept."""
    own = find_own_members(session.metadata, KEY)
    context, tokens = own.get("context"), own.get("tokens")
    return {
        "messages": [{"role": message.role, "content": text_of(message.content)} for message in messages],
        "context": context if isinstance(context, str) else None,
        "tokens": tokens if type(tokens) is int else 0,
    }


def to_motorhead_hit(ranked: Ranked) -> dict[str, Any]:
    """Return a search result, whose distance is 0 for the same words and 1 for unrelated ones."""
    message, distance = ranked.message, 1 - ranked.score
    return {
        "role": message.role,
        "content": text_of(message.content),
        "dist": round(min(max(distance, 0.0), 1.0), 6),
    }


# ---- metadata -------------------------------------------------------------------------------------


def find_namespaces(session: Session) -> set[str]:
    """Return the namespaces whose listings include a session."""
    namespaces = find_own_members(session.metadata, KEY).get("namespaces")
    if not isinstance(namespaces, dict):
        return set()
    return {name for name, is_listed in namespaces.items() if is_listed is True}
