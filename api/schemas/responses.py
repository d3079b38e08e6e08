"""The shapes of responses of the native API. Those of requests are in api.schemas.requests.

The classes that end in ``Resource`` describe answers for OpenAPI; the functions ``*_resource`` make
the answers. A test checks that the two agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json
from starlette.responses import Response

from recountdb.api.schemas.examples import ID_EXAMPLE, METADATA_EXAMPLE, MOMENT_EXAMPLE, WEBHOOK_EXAMPLE
from recountdb.api.services.read_audit import RecordedRead
from recountdb.domain.aggregate import Aggregate
from recountdb.domain.conversation import Conversation
from recountdb.domain.events import Event
from recountdb.domain.messages import MessageState
from recountdb.domain.sessions import Session
from recountdb.domain.threads import Thread
from recountdb.domain.users import Profile, User
from recountdb.eventlog.log.rows import LogEntry
from recountdb.projections.followers.webhooks import Delivery, Webhook
from recountdb.projections.lists.paging import Page
from recountdb.projections.views.messages import FoundMessage

T = TypeVar("T")

NO_ORIGINS: Mapping[UUID, str] = MappingProxyType({})


class Json(Response):
    """A JSON response, which serializes numbers of any size, UUIDs, times and models correctly."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return to_json(content)


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


class HealthResource(BaseModel):
    """``since`` and ``reason`` say what keeps a ``degraded`` server from its work."""

    status: Literal["ok", "degraded"]
    since: datetime | None = None
    reason: str | None = Field(None, examples=["the database does not answer"])


class EventResource(BaseModel):
    """An entry of the log. ``payload`` is what was recorded, in the shape it was recorded in."""

    position: int = Field(description="place in the order of the whole log; gaps are normal", examples=[42])
    epoch: str = Field(description="the epoch of the log that it was recorded in", examples=["1-9c1f0b22"])
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
    """A step of a JSON Patch (RFC 6902)."""

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
    """The delivery of an event. ``response_status`` and ``error`` are those of the last attempt."""

    position: int = Field(description="of the event", examples=[42])
    type: str = Field(examples=["session.message-added"])
    recorded_at: datetime = Field(examples=[MOMENT_EXAMPLE])
    status: str = Field(description="pending, delivered or skipped", examples=["delivered"])
    attempts: int = Field(examples=[1])
    response_status: int | None = Field(description="null: no answer", examples=[204])
    error: str | None
    attempted_at: datetime | None


class ReadResource(BaseModel):
    """A request that read. ``parameters`` are the values in its path."""

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
    epoch: UUID
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
    """Return the resource of a session, thread or user. ``origins`` names fork origins by stream id."""
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
            own |= {"message_count": state.message_count, "forked_from": _origin_resource(state, origins)}
            return {**own, **common}
        case Conversation():
            return {"thread_id": state.name, "message_count": state.message_count, **common}
        case User():
            return {"user_id": state.name, **state.profile.model_dump(), **common}
    raise AssertionError(state)


def _origin_resource(session: Session, origins: Mapping[UUID, str]) -> dict[str, Any] | None:
    if session.origin is None:
        return None
    stream_id, version = session.origin.stream_id, session.origin.version
    return {"session_id": origins.get(stream_id), "stream_id": stream_id, "version": version}


def origin_ids(states: Iterable[Aggregate]) -> set[UUID]:
    """Return the ids of the streams that the forks among ``states`` were taken from."""
    sessions = (state for state in states if isinstance(state, Session))
    return {session.origin.stream_id for session in sessions if session.origin is not None}


def added_resource(state: Aggregate, messages: Iterable[MessageState]) -> dict[str, Any]:
    return {
        f"{state.KIND}_id": state.name,
        "version": state.version,
        "messages": [message_resource(message) for message in messages],
    }


ENVELOPE = frozenset(Event.model_fields)
"""The members of a stored payload that are shown next to it, not in it."""


def event_resource(entry: LogEntry) -> dict[str, Any]:
    stored: Mapping[str, Any] = from_json(entry.state)
    payload_version = stored.get("class_version", 1)
    return {
        "position": entry.id,
        "epoch": entry.epoch,
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
