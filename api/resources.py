"""The shapes of the native API: what goes in, validated, and what comes out.

The classes that end in ``Resource`` describe answers for OpenAPI; the functions ``*_resource`` make
them. A test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import from_json, to_json
from starlette.responses import Response
from uuid_utils.compat import uuid7

from api.reads import RecordedRead
from domain.aggregate import Aggregate
from domain.catalog import events_by_topic
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
from projections.webhooks import Delivery, Webhook

T = TypeVar("T")

NO_ORIGINS: Mapping[UUID, str] = MappingProxyType({})

METADATA_EXAMPLE: Any = {"channel": "web", "plan": {"tier": "pro"}}
MESSAGE_EXAMPLE: Any = {"role": "user", "content": "One chai latte, please."}
DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
MOMENT_EXAMPLE = "2026-11-20T19:50:25.368956Z"
ID_EXAMPLE = "01a1fa82-995b-71d2-8226-548dfde85271"
WEBHOOK_EXAMPLE = "wh_5b1f0c9a7e3d2846"


TokenCount = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Version = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]


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


def known_type(topic: str) -> str:
    """Return ``topic``; raises ValueError where no event is called so."""
    if topic not in events_by_topic():
        raise ValueError("is no type of event")
    return topic


EventType = Annotated[str, AfterValidator(known_type)]


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


def position_or_now(value: object) -> object:
    """Return ``value``; raises ValueError in one sentence, not in one for each thing it could be."""
    if value == "now" or (type(value) is int and 0 <= value < 2**63):
        return value
    raise ValueError('must be a position, or "now"')


class NewWebhook(Incoming):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"url": "https://example.org/recount", "types": ["session.message-added"]}]
        }
    )

    url: Text = Field(max_length=2000, description="https, or http to this machine")
    types: list[EventType] | None = Field(None, min_length=1, description="only these; else all")
    from_: Annotated[
        Annotated[int, Field(ge=0, lt=2**63)] | Literal["now"], BeforeValidator(position_or_now)
    ] = Field("now", alias="from", description="what comes after this position; else from now on")

    @property
    def after(self) -> int | None:
        """None: from now on."""
        return None if self.from_ == "now" else self.from_


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
    hold: str | None = Field(description="why it may not be purged; else null")


class OriginResource(BaseModel):
    """``session_id`` is what the session is called today; null where it is no longer there."""

    session_id: str | None = Field(examples=["trip-to-lisbon"])
    stream_id: UUID = Field(examples=[ID_EXAMPLE])
    version: int = Field(description="as it was at this version", examples=[2])


class SessionResource(AggregateResource):
    session_id: str = Field(examples=["trip-to-lisbon"])
    scope: str = Field(description="the flow a foreign protocol filed it under; else empty")
    user_id: str | None = Field(examples=["ana"])
    message_count: int = Field(examples=[2])
    forked_from: OriginResource | None = Field(description="the session it was forked from; else null")


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
    actor: str | None = Field(description="null where the event was erased", examples=["key:1f0c9a7e"])
    request_id: str | None
    causation_id: str | None
    idempotency_key: str | None
    payload: dict[str, Any] = Field(description="where the event was erased, only its commitment")


class PatchOperationResource(BaseModel):
    """One step of a JSON Patch (RFC 6902)."""

    model_config = ConfigDict(serialize_by_alias=True)

    op: Literal["add", "remove", "replace", "move"]
    path: str = Field(description="a JSON Pointer (RFC 6901)", examples=["/session/metadata/plan/tier"])
    from_: str | None = Field(None, alias="from", description="of a move: from where")
    value: Any = Field(None, description="of add and replace")


class DifferenceResource(BaseModel):
    """``patch`` makes the earlier document the later one, ``words`` tell it without what was said.

    The document has the conversation under ``session`` or ``thread``, and under ``messages``, by
    their ids, those messages that are not the same.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    from_: int = Field(alias="from", description="the version compared", examples=[2])
    to: int = Field(description="the version it is compared with", examples=[5])
    patch: list[PatchOperationResource]
    words: list[str] = Field(examples=[["metadata: plan.tier changed", "message 2 was edited: content"]])


class WebhookResource(BaseModel):
    """``from``: the position after which it gets events. ``pending``: events that wait to be sent."""

    model_config = ConfigDict(serialize_by_alias=True)

    id: str = Field(examples=[WEBHOOK_EXAMPLE])
    url: str = Field(examples=["https://example.org/recount"])
    types: list[str] | None = Field(description="null: all types")
    from_: int = Field(alias="from", examples=[42])
    status: str = Field(description="active, parked or disabled", examples=["active"])
    pending: int = Field(examples=[0])
    next_attempt_at: datetime = Field(description="not before then", examples=[MOMENT_EXAMPLE])
    created_at: datetime = Field(examples=[MOMENT_EXAMPLE])


class NewWebhookResource(WebhookResource):
    secret: str = Field(description="what signatures are made with; shown this once")


class DeliveryResource(BaseModel):
    """What became of one event. ``response_status`` and ``error`` are those of the last attempt."""

    position: int = Field(description="of the event", examples=[42])
    type: str = Field(examples=["session.message-added"])
    recorded_at: datetime = Field(examples=[MOMENT_EXAMPLE])
    status: str = Field(description="pending, delivered or skipped", examples=["delivered"])
    attempts: int = Field(examples=[1])
    response_status: int | None = Field(description="null: no answer", examples=[204])
    error: str | None
    attempted_at: datetime | None


class ReadResource(BaseModel):
    """One request that read. ``parameters``: what stood in its path."""

    number: int = Field(examples=[7])
    read_at: datetime = Field(examples=[MOMENT_EXAMPLE])
    actor: str = Field(examples=["key:1f0c9a7e"])
    request_id: str
    method: str = Field(examples=["GET"])
    route: str = Field(examples=["/v1/sessions/{session_id}"])
    parameters: dict[str, str] = Field(examples=[{"session_id": "trip-to-lisbon"}])
    status: int = Field(description="of the answer", examples=[200])


class ProvedEventResource(BaseModel):
    """``payload``: as it is stored, letter by letter; null, with its salt, where it was erased."""

    version: int
    topic: str
    project: str
    recorded_at: int = Field(description="microseconds since 1970-01-01 UTC")
    payload: str | None
    salt: str | None
    commitment: str
    link: str


class ProvedCheckpointResource(BaseModel):
    """The checkpoint that covers the event at ``version``, and the path from there to its root."""

    version: int
    event_position: int
    index: int
    path: list[str]
    position: int
    events: int
    root: str
    digest_before: str
    digest: str


class ProofResource(BaseModel):
    format: str = Field(examples=["recount-proof/1"])
    stream_id: UUID
    events: list[ProvedEventResource]
    checkpoint: ProvedCheckpointResource | None = Field(description="null: none covers it yet")


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


def aggregate_resource(state: Aggregate, origins: Mapping[UUID, str] = NO_ORIGINS) -> dict[str, Any]:
    """The resource of a session, thread or user. ``origins``: of a fork, its origin's name by stream id."""
    common = {
        "number": state.number,
        "version": state.version,
        "metadata": state.metadata,
        "created_at": state.created_at,
        "updated_at": state.updated_at,
        "deleted_at": state.deleted_at,
        "hold": state.hold,
    }
    match state:
        case Session():
            own: dict[str, Any] = {"session_id": state.name, "scope": state.scope, "user_id": state.user_id}
            own |= {"message_count": state.message_count, "forked_from": origin_resource(state, origins)}
            return {**own, **common}
        case Conversation():
            return {"thread_id": state.name, "message_count": state.message_count, **common}
        case User():
            return {"user_id": state.name, **state.profile.model_dump(), **common}
    raise AssertionError(state)


def origin_resource(session: Session, origins: Mapping[UUID, str]) -> dict[str, Any] | None:
    if session.origin is None:
        return None
    stream_id, version = session.origin.stream_id, session.origin.version
    return {"session_id": origins.get(stream_id), "stream_id": stream_id, "version": version}


def origin_ids(states: Iterable[Aggregate]) -> set[UUID]:
    """The streams that the forks among ``states`` were taken from."""
    sessions = (state for state in states if isinstance(state, Session))
    return {session.origin.stream_id for session in sessions if session.origin is not None}


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


def webhook_resource(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "types": webhook.types,
        "from": webhook.starts_after,
        "status": webhook.status,
        "pending": webhook.pending,
        "next_attempt_at": webhook.next_attempt_at,
        "created_at": webhook.created_at,
    }


def delivery_resource(delivery: Delivery) -> dict[str, Any]:
    return vars(delivery)


def read_resource(read: RecordedRead) -> dict[str, Any]:
    return {name: value for name, value in vars(read).items() if name != "project"}
