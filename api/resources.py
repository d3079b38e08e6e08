"""The shapes of the native API: what goes in, validated, and what comes out.

The classes that end in ``Resource`` describe answers for OpenAPI; the functions ``*_resource`` make
them. A test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import from_json, to_json
from starlette.responses import Response
from uuid_utils.compat import uuid7

from domain.aggregate import Aggregate
from domain.conversation import Conversation
from domain.events import Event
from domain.messages import Message, MessageState
from domain.sessions import Session
from domain.threads import Thread
from domain.users import Profile, User
from domain.values import (
    Content,
    Document,
    Metadata,
    Moment,
    Name,
    NonEmptyText,
    Text,
    UserId,
)
from eventlog.recorder import LogEntry
from projections.messages import FoundMessage
from projections.paging import Page

T = TypeVar("T")

METADATA_EXAMPLE: Any = {"channel": "web", "plan": {"tier": "pro"}}
MESSAGE_EXAMPLE: Any = {"role": "user", "content": "One chai latte, please."}
DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
MOMENT_EXAMPLE = "2026-11-20T19:50:25.368956Z"
ID_EXAMPLE = "01a1fa82-995b-71d2-8226-548dfde85271"


TokenCount = Annotated[int, Field(strict=True, ge=0, le=2**53)]


def written_out(moment: object) -> object:
    """Return ``moment``; raises ValueError for a bare number, which could be seconds or milliseconds."""
    if isinstance(moment, str) and not DATE.match(moment):
        raise ValueError("must be a time like 2026-11-20T19:50:25Z")
    if not isinstance(moment, str | datetime):
        raise ValueError("must be a time like 2026-11-20T19:50:25Z, in a string")
    return moment


SentMoment = Annotated[Moment, BeforeValidator(written_out)]


def text_or_parts(content: object) -> object:
    """Return ``content``; raises ValueError in one sentence, not in one for each thing it could be."""
    if content is None or isinstance(content, str | list):
        return content
    raise ValueError("must be a text, a list of parts, or null")


SentContent = Annotated[Content, BeforeValidator(text_or_parts)]


class Json(Response):
    """A JSON answer; numbers of any size and UUIDs, times and models come out as they should."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return to_json(content)


class Incoming(BaseModel):
    """A request body. Members that are not known are refused, so that a typo is not lost."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NewMessage(Incoming):
    """A message to add. Without ``id`` it gets one, and cannot be recognised if it is sent again."""

    id: UUID | None = Field(None, description="yours, to make the write repeatable; else made here")
    role: NonEmptyText = Field(examples=["user"])
    content: SentContent = Field(None, description="text, null, or a list of parts kept verbatim")
    name: Text | None = None
    user_id: UserId | None = None
    timestamp: SentMoment | None = Field(None, description="when it was said, if you know; never made up")
    tool_calls: list[Document] | None = None
    tool_call_id: Text | None = None
    metadata: Metadata | None = None
    token_count: TokenCount | None = None

    def to_message(self) -> Message:
        members = {name: getattr(self, name) for name in NewMessage.model_fields}
        return Message.model_construct(**{**members, "id": self.id or uuid7()})


class NewMessages(Incoming):
    """Messages to add in this order, all or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"messages": [MESSAGE_EXAMPLE, {"role": "assistant", "content": "Coming up!"}]}]
        }
    )

    messages: Annotated[list[NewMessage], Field(min_length=1, max_length=10_000)]

    @field_validator("messages")
    @classmethod
    def _ids_differ(cls, messages: list[NewMessage]) -> list[NewMessage]:
        given = [message.id for message in messages if message.id is not None]
        if len(given) != len(set(given)):
            raise ValueError("the same id twice")
        return messages

    @property
    def owner(self) -> str | None:
        return None


class NewSessionMessages(NewMessages):
    user_id: Name | None = Field(None, description="whose session it is, where this starts one")

    @property
    def owner(self) -> str | None:
        return self.user_id


class MessageChanges(Incoming):
    """Members to change; those left out stay. ``metadata`` is merged, the others are replaced."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"content": "One chai latte to go, please."}]})

    role: NonEmptyText | None = None
    content: SentContent = None
    name: Text | None = None
    user_id: UserId | None = None
    tool_calls: list[Document] | None = None
    tool_call_id: Text | None = None
    token_count: TokenCount | None = None
    metadata: Metadata | None = None

    @field_validator("role")
    @classmethod
    def _role_is_kept(cls, role: str | None) -> str | None:
        if role is None:
            raise ValueError("must not be null")
        return role

    def changes(self) -> dict[str, Any]:
        """The members that were given, metadata aside."""
        return {name: getattr(self, name) for name in self.model_fields_set - {"metadata"}}


class NewSession(Incoming):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"session_id": "trip-to-lisbon", "metadata": METADATA_EXAMPLE}]}
    )

    session_id: Name | None = Field(None, description="any name you like; made here when left out")
    user_id: Name | None = None
    metadata: Metadata | None = None


class NewThread(Incoming):
    model_config = ConfigDict(json_schema_extra={"examples": [{"metadata": METADATA_EXAMPLE}]})

    thread_id: UUID | None = Field(None, description="made here when left out")
    metadata: Metadata | None = None


class NewUser(Incoming):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "ana", "email": "ana@example.org"}]}
    )

    user_id: Name
    display_name: Text | None = None
    email: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    tags: list[Text] = []
    metadata: Metadata | None = None

    def profile(self) -> Profile:
        return Profile(**{name: getattr(self, name) for name in Profile.model_fields})


class UserChanges(Incoming):
    """Members to change; those left out stay, null forgets one. ``metadata`` is merged."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"display_name": "Ana"}]})

    display_name: Text | None = None
    email: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    tags: list[Text] | None = None
    metadata: Metadata | None = None

    def changes(self) -> dict[str, Any]:
        """The members of the profile that were given."""
        given = {name: getattr(self, name) for name in self.model_fields_set - {"metadata"}}
        return given | ({"tags": given["tags"] or []} if "tags" in given else {})


class MetadataPatch(Incoming):
    """Metadata to merge: objects key by key at any depth, anything else replaces, null is stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"metadata": METADATA_EXAMPLE}]})

    metadata: Metadata


class NewName(Incoming):
    model_config = ConfigDict(json_schema_extra={"examples": [{"session_id": "trip-to-porto"}]})

    session_id: Name


class NewState(Incoming):
    model_config = ConfigDict(json_schema_extra={"examples": [{"state": {"step": 3}}]})

    state: Document


class MessageResource(BaseModel):
    """``timestamp`` is when it was said, if its caller told; ``recorded_at`` when Recount got it."""

    id: UUID = Field(examples=[ID_EXAMPLE])
    version: int = Field(description="place in the conversation", examples=[2])
    role: str = Field(examples=["user"])
    content: str | list[Any] | None = Field(examples=["One chai latte, please."])
    name: str | None
    user_id: str | None
    timestamp: datetime | None
    tool_calls: list[Any] | None
    tool_call_id: str | None
    metadata: dict[str, Any] | None
    token_count: int | None
    recorded_at: datetime = Field(examples=[MOMENT_EXAMPLE])
    updated_at: datetime = Field(examples=[MOMENT_EXAMPLE])
    deleted_at: datetime | None


class FoundMessageResource(MessageResource):
    """A message with the conversation it is in: one of ``session_id`` and ``thread_id``."""

    session_id: str | None = None
    thread_id: str | None = None


class AggregateResource(BaseModel):
    number: int = Field(description="dense and growing within the project", examples=[1])
    version: int = Field(description="events so far; the ETag", examples=[3])
    metadata: dict[str, Any] | None = Field(examples=[METADATA_EXAMPLE])
    created_at: datetime = Field(examples=[MOMENT_EXAMPLE])
    updated_at: datetime = Field(examples=[MOMENT_EXAMPLE])
    deleted_at: datetime | None


class SessionResource(AggregateResource):
    session_id: str = Field(examples=["trip-to-lisbon"])
    scope: str = Field(description="the flow a foreign protocol filed it under; else empty")
    user_id: str | None = Field(examples=["ana"])
    message_count: int = Field(examples=[2])


class ThreadResource(AggregateResource):
    thread_id: UUID = Field(examples=[ID_EXAMPLE])
    message_count: int = Field(examples=[2])


class UserResource(AggregateResource, Profile):
    user_id: str = Field(examples=["ana"])


class AddedResource(BaseModel):
    """``messages``: those of the request, in its order, as they were recorded, now or before."""

    session_id: str | None = None
    thread_id: str | None = None
    version: int
    messages: list[MessageResource]


class StateResource(BaseModel):
    state: Any


class StatusResource(BaseModel):
    status: str = Field(examples=["ok"])


class EventResource(BaseModel):
    """One entry of the log. ``payload`` is what was recorded, in the shape it was recorded in."""

    position: int = Field(description="place in the order of the whole log; gaps are normal", examples=[42])
    stream_id: UUID = Field(examples=[ID_EXAMPLE])
    version: int = Field(description="place within its stream", examples=[3])
    type: str = Field(examples=["session.message-added"])
    payload_version: int = Field(description="shape of the payload", examples=[1])
    recorded_at: datetime = Field(examples=[MOMENT_EXAMPLE])
    actor: str = Field(examples=["key:1f0c9a7e"])
    request_id: str | None
    causation_id: str | None
    idempotency_key: str | None
    payload: dict[str, Any]


class PageResource(BaseModel, Generic[T]):
    items: list[T]
    next_cursor: str | None = Field(description="for the next page; null at the end")


def message_resource(message: MessageState) -> dict[str, Any]:
    return {
        "id": message.id,
        "version": message.version,
        "role": message.role,
        "content": message.content,
        "name": message.name,
        "user_id": message.user_id,
        "timestamp": message.timestamp,
        "tool_calls": message.tool_calls,
        "tool_call_id": message.tool_call_id,
        "metadata": message.metadata,
        "token_count": message.token_count,
        "recorded_at": message.recorded_at,
        "updated_at": message.updated_at,
        "deleted_at": message.deleted_at,
    }


def found_message_resource(found: FoundMessage) -> dict[str, Any]:
    return {
        "session_id": found.conversation if found.kind == Session.KIND else None,
        "thread_id": found.conversation if found.kind == Thread.KIND else None,
        **message_resource(found.message),
    }


def aggregate_resource(state: Aggregate) -> dict[str, Any]:
    """The resource of a session, thread or user."""
    common = {
        "number": state.number,
        "version": state.version,
        "metadata": state.metadata,
        "created_at": state.created_at,
        "updated_at": state.updated_at,
        "deleted_at": state.deleted_at,
    }
    match state:
        case Session():
            own = {"session_id": state.name, "scope": state.scope, "user_id": state.user_id}
            return {**own, "message_count": state.message_count, **common}
        case Conversation():
            return {"thread_id": state.name, "message_count": state.message_count, **common}
        case User():
            return {"user_id": state.name, **state.profile.model_dump(), **common}
    raise AssertionError(state)


def added_resource(state: Aggregate, messages: Iterable[MessageState]) -> dict[str, Any]:
    return {
        f"{state.KIND}_id": state.name,
        "version": state.version,
        "messages": [message_resource(message) for message in messages],
    }


ENVELOPE = frozenset(Event.model_fields)
"""The members of a stored payload that are shown beside it, not in it."""


def event_resource(entry: LogEntry) -> dict[str, Any]:
    stored: Mapping[str, Any] = from_json(entry.state)
    payload_version = stored.get("class_version", 1)
    return {
        "position": entry.id,
        "stream_id": entry.originator_id,
        "version": entry.originator_version,
        "type": entry.topic,
        "payload_version": payload_version,
        "recorded_at": entry.recorded_at,
        "actor": stored.get("actor"),
        "request_id": stored.get("request_id"),
        "causation_id": stored.get("causation_id"),
        "idempotency_key": (stored.get("idempotency") or {}).get("key"),
        "payload": {
            name: value for name, value in stored.items() if name not in ENVELOPE and name != "class_version"
        },
    }


def page_resource(page: Page[T], resource: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    return {"items": [resource(item) for item in page.items], "next_cursor": page.next_cursor}
