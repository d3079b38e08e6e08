"""Zep's request models, and its response objects made of Recount's states."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from uuid_utils.compat import uuid7

from recountdb.domain.messages import Message, MessageState, text_of
from recountdb.domain.sessions import Session
from recountdb.domain.users import User
from recountdb.domain.values import Metadata, Text
from recountdb.projections.queries.search import Ranked

KEY = "zep"
"""The key of a session's metadata that holds the members without a counterpart in Recount."""

NOBODY = UUID(int=0)
TOKENS_MAX = 2**53
NO_SUMMARY = {
    "uuid": str(NOBODY),
    "created_at": "0001-01-01T00:00:00Z",
    "content": "",
    "recent_message_uuid": str(NOBODY),
    "token_count": 0,
}
"""Zep's own placeholder for a summary that it has not made yet."""


class _Body(BaseModel):
    """A request body: unknown members are ignored, null counts as absent, and types must match exactly."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class NewSession(_Body):
    session_id: Text | None = None
    user_id: Text | None = None
    metadata: Metadata | None = None


class MetadataPatch(_Body):
    """A patch of a session's or message's metadata; other members that Zep's clients send are ignored."""

    metadata: Metadata | None = None

    @property
    def merged(self) -> dict[str, Any]:
        """Return the metadata to merge, without the top-level key ``system``, which Zep keeps to itself."""
        return {key: value for key, value in (self.metadata or {}).items() if key != "system"}


class NewMessage(_Body):
    uuid: Annotated[UUID, Field(strict=False)] | None = None
    role: Text | None = None
    content: Text | None = None
    token_count: int | None = None
    metadata: Metadata | None = None

    def to_message(self) -> Message:
        tokens = self.token_count
        return Message(
            id=self.given_id or uuid7(),
            role=self.role or "",
            content=self.content or "",
            token_count=tokens if tokens is not None and 0 <= tokens <= TOKENS_MAX else None,
            metadata=self.metadata,
        )

    @property
    def given_id(self) -> UUID | None:
        return None if self.uuid == NOBODY else self.uuid


class NewMemory(_Body):
    messages: list[NewMessage] | None = None


class UserMembers(_Body):
    """A user to create or to change."""

    user_id: Text | None = None
    email: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    metadata: Metadata | None = None

    @property
    def profile(self) -> dict[str, str]:
        """Return the members of the profile that are not empty."""
        said = {"email": self.email, "first_name": self.first_name, "last_name": self.last_name}
        return {name: value for name, value in said.items() if value}


class Summary(_Body):
    """A summary of a session up to a message, with that message's id."""

    uuid: Annotated[UUID, Field(strict=False)]
    created_at: Text
    content: Text
    recent_message_uuid: Annotated[UUID, Field(strict=False)]
    token_count: int = 0
    metadata: Metadata | None = None


class SearchPayload(_Body):
    text: Text | None = None
    metadata: dict[str, Any] | None = None
    search_scope: str | None = None
    search_type: str | None = None
    mmr_lambda: Annotated[float, Field(allow_inf_nan=False)] | None = None


def session_object(session: Session) -> dict[str, Any]:
    return {
        "uuid": session.id,
        "id": session.number,
        "created_at": moment(session.created_at),
        "updated_at": moment(session.updated_at),
        "deleted_at": None,
        "session_id": session.name,
        "metadata": {key: value for key, value in (session.metadata or {}).items() if key != KEY} or None,
        "user_id": session.user_id,
    }


def memory_object(messages: Iterable[MessageState], summary: Summary | None) -> dict[str, Any]:
    shown = NO_SUMMARY if summary is None else summary.model_dump(mode="json", exclude_none=True)
    return {"messages": list(map(message_object, messages)), "summary": shown}


def message_object(message: MessageState) -> dict[str, Any]:
    return {
        "uuid": message.id,
        "created_at": moment(message.timestamp or message.recorded_at),
        "updated_at": moment(message.updated_at),
        "role": message.role,
        "content": text_of(message.content),
        **_said({"metadata": message.metadata}),
        "token_count": message.token_count or 0,
    }


def user_object(user: User) -> dict[str, Any]:
    profile = user.profile
    return {
        "uuid": user.id,
        "id": user.number,
        "created_at": moment(user.created_at),
        "updated_at": moment(user.updated_at),
        "deleted_at": None,
        "user_id": user.name,
        **_said({"email": profile.email, "first_name": profile.first_name, "last_name": profile.last_name}),
        **_said({"metadata": user.metadata}),
    }


def search_result(ranked: Ranked) -> dict[str, Any]:
    """Return a search result; its ``embedding`` is always null (see projections.queries.search)."""
    found = message_object(ranked.message)
    return {"message": found, "summary": None, "dist": ranked.score, "embedding": None}


def _said(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value}


def moment(when: datetime) -> str:
    """Format a time by RFC 3339 in UTC, with microseconds less their trailing zeros."""
    text = when.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}Z"
