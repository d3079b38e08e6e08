"""Zep's request models, and its response objects made of Recount's states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from uuid_utils.compat import uuid7

from recountdb.domain.messages import Message, MessageState, text_of
from recountdb.domain.sessions import Session
from recountdb.domain.users import User
from recountdb.domain.values import Metadata, Text
from recountdb.projections.queries.search import Ranked

T = TypeVar("T")

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


class SessionToStart(_Body):
    session_id: Text | None = None
    user_id: Text | None = None
    metadata: Metadata | None = None


class MetadataToMerge(_Body):
    """A patch of a session's or message's metadata; other members that Zep's clients send are ignored."""

    metadata: Metadata | None = None

    @property
    def merged(self) -> dict[str, Any]:
        """Return the metadata to merge, without the top-level key ``system``, which Zep keeps to itself."""
        return {key: value for key, value in (self.metadata or {}).items() if key != "system"}


class MessageToAdd(_Body):
    uuid: Annotated[UUID, Field(strict=False)] | None = None
    role: Text | None = None
    content: Text | None = None
    token_count: int | None = None
    metadata: Metadata | None = None

    def to_message(self) -> Message:
        """Return this as Recount's message, with a new id if none is given."""
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


class MemoryToAdd(_Body):
    messages: list[MessageToAdd] | None = None


class UserDetails(_Body):
    """A user to create or to change."""

    user_id: Text | None = None
    email: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    metadata: Metadata | None = None

    @property
    def profile(self) -> dict[str, str]:
        """Return the members of the profile that are not empty."""
        return _filled({"email": self.email, "first_name": self.first_name, "last_name": self.last_name})


class Summary(_Body):
    """A summary of a session up to a message, with that message's id."""

    uuid: Annotated[UUID, Field(strict=False)]
    created_at: Text
    content: Text
    recent_message_uuid: Annotated[UUID, Field(strict=False)]
    token_count: int = 0
    metadata: Metadata | None = None


class SearchRequest(_Body):
    text: Text | None = None
    metadata: dict[str, Any] | None = None
    search_scope: str | None = None
    search_type: str | None = None
    mmr_lambda: Annotated[float, Field(allow_inf_nan=False)] | None = None


def to_zep_session(session: Session) -> dict[str, Any]:
    return {
        "uuid": session.id,
        "id": session.number,
        "created_at": format_zep_time(session.created_at),
        "updated_at": format_zep_time(session.updated_at),
        "deleted_at": None,
        "session_id": session.name,
        "metadata": {key: value for key, value in (session.metadata or {}).items() if key != KEY} or None,
        "user_id": session.user_id,
    }


def to_zep_memory(messages: Iterable[MessageState], summary: Summary | None) -> dict[str, Any]:
    shown = NO_SUMMARY if summary is None else summary.model_dump(mode="json", exclude_none=True)
    return {"messages": list(map(to_zep_message, messages)), "summary": shown}


def to_zep_message(message: MessageState) -> dict[str, Any]:
    return {
        "uuid": message.id,
        "created_at": format_zep_time(message.timestamp or message.recorded_at),
        "updated_at": format_zep_time(message.updated_at),
        "role": message.role,
        "content": text_of(message.content),
        **_filled({"metadata": message.metadata}),
        "token_count": message.token_count or 0,
    }


def to_zep_user(user: User) -> dict[str, Any]:
    profile = user.profile
    return {
        "uuid": user.id,
        "id": user.number,
        "created_at": format_zep_time(user.created_at),
        "updated_at": format_zep_time(user.updated_at),
        "deleted_at": None,
        "user_id": user.name,
        **_filled({"email": profile.email, "first_name": profile.first_name, "last_name": profile.last_name}),
        **_filled({"metadata": user.metadata}),
    }


def to_zep_hit(ranked: Ranked) -> dict[str, Any]:
    """Return a search result; its ``embedding`` is always null (see projections.queries.search)."""
    message = to_zep_message(ranked.message)
    return {"message": message, "summary": None, "dist": ranked.score, "embedding": None}


def format_zep_time(when: datetime) -> str:
    """Format a time by RFC 3339 in UTC, with microseconds less their trailing zeros."""
    text = when.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}Z"


def _filled(members: Mapping[str, T | None]) -> dict[str, T]:
    """Return the members that are not empty."""
    return {name: value for name, value in members.items() if value}
