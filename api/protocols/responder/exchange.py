"""An exchange: a question is recorded, answered by somebody who knows the conversation, and so is the answer.

The question is recorded before the responder is asked, so it stays even if no answer comes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from starlette.responses import Response, StreamingResponse
from uuid_utils.compat import uuid7

from recountdb.api.protocols.base import RequestContext
from recountdb.api.protocols.responder.chat import Turn
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.errors import InvalidInput
from recountdb.domain.messages import Message, MessageState
from recountdb.domain.sessions import Session
from recountdb.domain.values import check_name
from recountdb.projections.queries.recent_messages import RecentFilter, find_newest_messages

HISTORY_MAX = 100
"""The number of earlier messages that a responder is given."""

ROLES = {"user": "user", "human": "user", "assistant": "assistant", "ai": "assistant", "system": "system"}
"""Role → role at a chat endpoint. Messages with other roles, such as tools, are not sent."""


@dataclass(frozen=True)
class Exchange:
    """A session in which a question and its answer are recorded."""

    context: RequestContext
    scope: str
    session: str

    async def history(self, without: dict[str, Any] | None = None) -> list[MessageState]:
        """Return the newest messages, oldest first, except those whose metadata contain ``without``."""
        said = RecentFilter(scope=self.scope, session=self.session, without=without)
        newest = await self.context.find_whole(find_newest_messages, said, limit=HISTORY_MAX)
        return [found.message for found in reversed(newest)]

    async def record(self, members: Mapping[str, Any], message_id: UUID | None = None) -> Message:
        """Record a message, timestamped now unless its members give a time. Raises InvalidInput."""
        message = build_message(message_id or uuid7(), {**members}, now=self.context.store.now())
        command = AddMessages(
            kind=Session.KIND,
            name=_check_session(self.session),
            scope=self.scope,
            messages=[message],
            given_ids=frozenset([message.id] if message_id is not None else []),
            hidden_ids="renew",
        )
        outcome = await self.context.execute(command)
        return message.model_copy(update={"id": outcome.message_ids[0]})


def build_message(message_id: UUID, members: dict[str, Any], *, now: datetime) -> Message:
    """Return a message, timestamped ``now`` unless its members give a time. Raises InvalidInput."""
    members["timestamp"] = members.get("timestamp") or now
    try:
        return Message(id=message_id, **members)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise InvalidInput(".".join(map(str, first["loc"])), str(first["msg"])) from None


def _check_session(name: str) -> str:
    """Return ``name``. Raises InvalidInput when it is not a valid name of a session."""
    try:
        return check_name(name)
    except ValueError as error:
        raise InvalidInput("session id", str(error)) from None


def build_turns(history: Sequence[MessageState], question: str) -> list[Turn]:
    """Return the turns to send to a chat endpoint: the conversation so far, and the question."""
    earlier = (
        Turn(ROLES[message.role], message.content)
        for message in history
        if message.role in ROLES and isinstance(message.content, str)
    )
    return [*earlier, Turn("user", question)]


async def stream_response(parts: AsyncIterator[bytes], headers: Mapping[str, str] | None = None) -> Response:
    """Return a response that streams ``parts`` as they come. Raises an error that precedes the first part."""
    first = await anext(parts, b"")

    async def all_parts() -> AsyncIterator[bytes]:
        yield first
        async for part in parts:
            yield part

    return StreamingResponse(all_parts(), media_type="text/event-stream", headers=headers)
