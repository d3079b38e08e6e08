"""The shapes of requests to the native API, validated. Those of responses are in api.schemas.responses."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from itertools import chain, islice
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from uuid_utils.compat import uuid7

from recountdb.api.schemas.examples import MESSAGE_EXAMPLE, METADATA_EXAMPLE
from recountdb.domain.catalog import events_by_topic
from recountdb.domain.messages import Message
from recountdb.domain.users import Profile
from recountdb.domain.values import (
    Content,
    Document,
    Metadata,
    Moment,
    Name,
    NonEmptyText,
    Text,
    UserId,
)
from recountdb.eventlog.log.epoch import LogPosition, read_position

DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

TokenCount = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Version = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]


def _written_out(moment: object) -> object:
    """Return ``moment``. Raises ValueError for a bare number, which could be seconds or milliseconds."""
    if isinstance(moment, str) and not DATE.match(moment):
        raise ValueError("must be a time like 2026-11-20T19:50:25Z")
    if not isinstance(moment, str | datetime):
        raise ValueError("must be a time like 2026-11-20T19:50:25Z, in a string")
    return moment


SentMoment = Annotated[Moment, BeforeValidator(_written_out)]


def text_or_parts(content: object) -> object:
    """Return ``content``. Raises ValueError with one sentence, not one for each type it could have."""
    if content is None or isinstance(content, str | list):
        return content
    raise ValueError("must be a text, a list of parts, or null")


SentContent = Annotated[Content, BeforeValidator(text_or_parts)]


def _known_type(topic: str) -> str:
    """Return ``topic``. Raises ValueError when no type of event has this name."""
    if topic not in events_by_topic():
        raise ValueError("is no type of event")
    return topic


EventType = Annotated[str, AfterValidator(_known_type)]


STRANGERS_MAX = 20
"""How many unknown members a refusal names at most."""


class Incoming(BaseModel):
    """A request body. Members that are not known are refused, so that a typo is not lost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _few_strangers(cls, data: Any) -> Any:
        """Pass on only some of the unknown members, for each of them is an error of its own."""
        if not isinstance(data, dict) or len(data) <= len(cls.model_fields) + STRANGERS_MAX:
            return data
        known = {field.alias or name for name, field in cls.model_fields.items()}
        strangers = islice((name for name in data if name not in known), STRANGERS_MAX)
        return {name: data[name] for name in chain(known & data.keys(), strangers)}


class NewMessage(Incoming):
    """A message to add. Without ``id`` it gets one, and cannot be recognised if it is sent again."""

    id: UUID | None = Field(None, description="yours, to make the write repeatable; else made here")
    role: NonEmptyText = Field(examples=["user"])
    content: SentContent = Field(None, description="text, null, or a list of parts kept verbatim")
    name: Text | None = None
    user_id: UserId | None = None
    timestamp: SentMoment | None = Field(None, description="when it was said, if you know; never made up")
    tool_calls: list[Document] | None = Field(None, fail_fast=True)
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

    messages: list[NewMessage] = Field(min_length=1, max_length=10_000, fail_fast=True)

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
    tool_calls: list[Document] | None = Field(None, fail_fast=True)
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
        """Return the members that were given, without metadata."""
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
    tags: list[Text] = Field([], fail_fast=True)
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
    tags: list[Text] | None = Field(None, fail_fast=True)
    metadata: Metadata | None = None

    def changes(self) -> dict[str, Any]:
        """Return the members of the profile that were given."""
        given = {name: getattr(self, name) for name in self.model_fields_set - {"metadata"}}
        return given | ({"tags": given["tags"] or []} if "tags" in given else {})


class MetadataPatch(Incoming):
    """Metadata to merge: objects key by key at any depth, anything else replaces, null is stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"metadata": METADATA_EXAMPLE}]})

    metadata: Metadata


class NewName(Incoming):
    model_config = ConfigDict(json_schema_extra={"examples": [{"session_id": "trip-to-porto"}]})

    session_id: Name


class NewHold(Incoming):
    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "case 2026-118"}]})

    reason: NonEmptyText = Field(max_length=500, description="kept in the log")


class NewFork(Incoming):
    """Without ``version`` and ``message_id``: the session as it is now, with all its messages."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"session_id": "trip-with-a-detour", "version": 2}]}
    )

    session_id: Name | None = Field(None, description="the new session's; made here when left out")
    version: Version | None = Field(
        None, description="as it was at this version; else as it was when the message was added"
    )
    message_id: UUID | None = Field(None, description="up to and with this message; else with all")
    metadata: Metadata | None = Field(None, description="to merge into those of then")


class NewState(Incoming):
    model_config = ConfigDict(json_schema_extra={"examples": [{"state": {"step": 3}}]})

    state: Document


def _position_or_now(value: object) -> object:
    """Return a position or "now". Raises ValueError with one sentence, not one for each possible type."""
    if value == "now":
        return value
    if type(value) is int and 0 <= value < 2**63:
        return LogPosition(None, value)
    with suppress(ValueError):
        return read_position(value if isinstance(value, str) else "")
    raise ValueError('must be a position, or "now"')


class NewWebhook(Incoming):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"url": "https://example.org/recount", "types": ["session.message-added"]}]
        }
    )

    url: Text = Field(max_length=2000, description="https, or http to this machine")
    types: list[EventType] | None = Field(
        None, fail_fast=True, min_length=1, description="only these; else all"
    )
    from_: Annotated[
        LogPosition | Literal["now"],
        BeforeValidator(_position_or_now),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}),
    ] = Field("now", alias="from", description="what comes after this position; else from now on")

    @property
    def after(self) -> LogPosition | None:
        """Return the position to begin after; None means from now on."""
        return None if self.from_ == "now" else self.from_
