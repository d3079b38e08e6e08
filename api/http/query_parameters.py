"""The query strings of reading routes, one model for each.

A parameter for each member, and more so a dependency, would cost a multiple of the check in FastAPI.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, Json, TypeAdapter, WithJsonSchema

from recountdb.api.schemas.requests import SentMoment
from recountdb.domain.errors import InvalidInput
from recountdb.domain.exact_json import NotJson, read_json
from recountdb.domain.values import Metadata, Name, Text
from recountdb.eventlog.log.epoch import POSITION, LogPosition, read_position
from recountdb.projections.lists.paging import KEY_MAX, LIMIT_DEFAULT, LIMIT_MAX, Filter, Order, Window
from recountdb.projections.queries.audit import AuditFilter
from recountdb.projections.queries.history import AsOf
from recountdb.projections.queries.replay import SPEED_MAX

MOMENT = TypeAdapter(SentMoment)
VERSION_DIGITS_MAX = 18
DELETED = {"false": False, "true": True, "any": None}


def _as_of_from(text: object) -> object:
    """Return a version for a number such as ``7``; anything else is a time. Raises ValueError."""
    if not isinstance(text, str):
        return text
    if text.isdecimal() and text.isascii() and len(text) <= VERSION_DIGITS_MAX:
        return AsOf(version=int(text))
    return AsOf(moment=MOMENT.validate_python(text))


Moment = Annotated[AsOf, BeforeValidator(_as_of_from), WithJsonSchema({"type": "string", "maxLength": 64})]


class PastQuery(BaseModel):
    """A query for one resource. ``as_of`` None means as it is now."""

    as_of: Moment | None = Field(None, description="as it was: a version (7) or a time (RFC 3339)")


class StateQuery(PastQuery):
    """A query for a session, thread or user."""

    deleted: bool = Field(False, description="find it also where it is deleted")


class DifferenceQuery(BaseModel):
    """A query for two moments. ``to`` None means now."""

    from_: Moment = Field(alias="from", description="a version (7) or a time (RFC 3339)")
    to: Moment | None = Field(None, description="a version or a time; else now")


def _speed_from(text: object) -> object:
    """Return 0, which means no pauses, for ``max``, and anything else unchanged."""
    return 0 if text == "max" else text


class ReplayQuery(BaseModel):
    """A query for a part of a stream, and the speed of its replay."""

    speed: Annotated[
        float,
        Field(ge=0, le=SPEED_MAX, allow_inf_nan=False),
        BeforeValidator(_speed_from),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "number", "minimum": 0, "maximum": SPEED_MAX},
                    {"type": "string", "enum": ["max"]},
                ]
            }
        ),
    ] = Field(1, description="how many times as fast as it was; 0 or max: without pauses")
    from_: int = Field(1, alias="from", ge=1, lt=KEY_MAX, description="from this version on")
    to: int | None = Field(None, ge=0, lt=KEY_MAX, description="up to this version; else to the end")


def _exact_json(text: object) -> object:
    """Return ``text``. Raises ValueError when parsing it would change numbers or lose members."""
    if isinstance(text, str):
        with suppress(NotJson):  # the parser reports it later
            try:
                read_json(text)
            except InvalidInput as error:
                raise ValueError(str(error)) from None
    return text


ExactJson = Annotated[Json[Metadata], BeforeValidator(_exact_json)]


class PageQuery(BaseModel):
    """A query for a page of a list."""

    limit: int = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX)
    order: Order = Field("oldest", description="which end to begin with")
    cursor: str | None = Field(None, max_length=200, description="next_cursor of the page before")

    @property
    def window(self) -> Window:
        return Window(self.limit, self.order, self.cursor)


class ListQuery(PageQuery):
    """A query for a page of all resources of a kind."""

    metadata: ExactJson | None = Field(None, description="a JSON object that the metadata must contain")
    since: SentMoment | None = Field(None, description="from this time on (RFC 3339)")
    until: SentMoment | None = Field(None, description="before this time (RFC 3339)")
    deleted: Literal["false", "true", "any"] = "false"

    @property
    def criteria(self) -> Filter:
        return Filter(
            metadata=self.metadata, since=self.since, until=self.until, deleted=DELETED[self.deleted]
        )


class OwnedListQuery(ListQuery):
    """A query for a page of resources that users own."""

    user_id: Text | None = None

    @property
    def criteria(self) -> Filter:
        return replace(super().criteria, user_id=self.user_id)


class MessageListQuery(OwnedListQuery):
    """A query for a page of messages."""

    order: Order = Field("newest", description="which end to begin with")
    role: Text | None = None

    @property
    def criteria(self) -> Filter:
        return replace(super().criteria, role=self.role)


class ConversationQuery(MessageListQuery, PastQuery):
    """A query for a page of one conversation's messages."""


def _checked_place(text: str) -> str:
    """Return ``text`` if it is a position. Raises ValueError.

    ``4711`` is a position of the first epoch, ``2-3f9a0c1b:4711`` of the epoch it names.
    """
    read_position(text)
    return text


Place = Annotated[
    str,
    AfterValidator(_checked_place),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": KEY_MAX},
                {"type": "string", "pattern": f"^{POSITION.pattern}$"},
            ]
        }
    ),
]


class EventsQuery(BaseModel):
    """A query for some of a project's events."""

    type: list[Text] = Field([], description="only these types; repeatable")
    session_id: Name | None = Field(None, description="only this session's")
    thread_id: UUID | None = Field(None, description="only this thread's")


class EventListQuery(PageQuery, EventsQuery):
    """A query for a page of events."""


class EventStreamQuery(EventsQuery):
    """A query for the events after a position."""

    after: Place | None = Field(None, description="from after this position; else from now on")

    @property
    def start(self) -> LogPosition | None:
        """Return the position to begin after; None means now."""
        return None if self.after is None else read_position(self.after)


class AuditQuery(EventListQuery):
    """A query for recorded events, which must match all filters given."""

    actor: Text | None = Field(None, description="only what this one did, as key:1f0c9a7e")
    user_id: Name | None = Field(None, description="only of this user and of their sessions")
    since: SentMoment | None = Field(None, description="recorded from this time on (RFC 3339)")
    until: SentMoment | None = Field(None, description="recorded before this time (RFC 3339)")
    request_id: Text | None = Field(None, description="only what this request recorded")
    causation_id: str | None = Field(
        None, max_length=64, description="only what this event led to: <stream id>/<version>"
    )
    chain: bool = Field(False, description="with causation_id: the event, and all that followed from it")
    format: Literal["json", "ndjson"] = Field("json", description="a page, or JSON lines of all matches")

    @property
    def criteria(self) -> AuditFilter:
        """Return the filters, without the session or thread, which must be looked up."""
        return AuditFilter(
            actor=self.actor,
            user_id=self.user_id,
            types=self.type,
            since=self.since,
            until=self.until,
            request_id=self.request_id,
            causation_id=self.causation_id,
            chain=self.chain,
        )


class ReadListQuery(PageQuery):
    """A query for a page of recorded reads."""

    order: Order = Field("newest", description="which end to begin with")
    actor: Text | None = Field(None, description="only what this one read")


class DeliveryListQuery(PageQuery):
    """A query for a page of a webhook's deliveries."""

    order: Order = Field("newest", description="which end to begin with")


class ResumeQuery(BaseModel):
    """A query that says how a webhook resumes."""

    skip: bool = Field(False, description="leave out the event that could not be sent")
