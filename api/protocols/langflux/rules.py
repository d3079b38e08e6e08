"""Flowise's rules: the chat and session of a prediction, and the choice of messages by their ratings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from recountdb.api.protocols.langflux.errors import FlowiseRefusal
from recountdb.api.protocols.langflux.shapes.messages import (
    KEY,
    find_created_time,
    find_role,
    find_session_id,
)
from recountdb.api.protocols.metadata import find_own_members
from recountdb.projections.views.messages import FoundMessage


class Ids(NamedTuple):
    """The chat and the session of a prediction; one chat may have several sessions.

    ``is_given``: whether the request itself determines both.
    """

    chat_id: str
    session_id: str
    is_given: bool


def resolve_ids(body: Mapping[str, Any], *, is_internal: bool = False, fresh: str = "") -> Ids:
    """Return the ids of a prediction. Raises a refusal for one that is not a text.

    The chat is body.chatId, else overrideConfig.sessionId, else ``fresh``. The session is
    overrideConfig.sessionId, else body.chatId, else the chat. An empty text counts for the chat alone. From
    the canvas (``is_internal``) the session is the chat, unless the flow's memory node has one.
    """
    override = body.get("overrideConfig")
    session = override.get("sessionId") if isinstance(override, dict) else None
    chat = body.get("chatId")
    for given in (session, chat):
        if given is not None and not isinstance(given, str):
            raise FlowiseRefusal(500, "Error: chatId and sessionId must be strings")
    chat_id = chat if chat is not None else session if session is not None else fresh
    if is_internal:
        return Ids(chat_id, chat_id or fresh, False)
    return Ids(chat_id, session or chat or chat_id or fresh, bool(session or chat))


def adopt_ids(ids: Ids, answer: Mapping[str, Any]) -> Ids:
    """Return the ids of a prediction, those that the Flowise chose if the request left them open."""
    if ids.is_given:
        return ids
    chat_id, session_id = answer.get("chatId"), answer.get("sessionId")
    chat = chat_id if isinstance(chat_id, str) and chat_id else ids.chat_id
    session = session_id if isinstance(session_id, str) and session_id else chat or ids.session_id
    return Ids(chat, session, True)


def choose_rated(
    messages: Sequence[FoundMessage], ratings: Collection[str], *, with_one_before: bool
) -> list[FoundMessage]:
    """Return the messages with such a rating, each with the one before it in its session.

    Both ``messages`` and the result are ordered oldest first.
    """
    before: dict[str, FoundMessage] = {}
    chosen: dict[Any, FoundMessage] = {}
    for found in messages:
        if not find_session_id(found) and with_one_before:
            continue
        if is_rated(found, ratings):
            previous = before.get(found.conversation)
            if previous is not None and with_one_before:
                chosen[previous.message.id] = previous
            chosen[found.message.id] = found
        before[found.conversation] = found
    return sorted(chosen.values(), key=lambda found: find_created_time(found.message))


def is_rated(found: FoundMessage, ratings: Collection[str]) -> bool:
    """Return whether a message is an answer with one of these ratings."""
    feedback = find_own_members(found.message.metadata, KEY).get("feedback") or {}
    return find_role(found.message) == "apiMessage" and feedback.get("rating") in ratings
