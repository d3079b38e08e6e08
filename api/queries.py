"""What reading routes take in their query strings.

One model for each, not a parameter for each member: what FastAPI itself does for a parameter, and
more so for a dependency, costs a multiple of the check.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, Json, TypeAdapter, WithJsonSchema

from api.resources import SentMoment
from domain.values import Metadata, Name, Text
from projections.history import AsOf
from projections.paging import KEY_MAX, LIMIT_DEFAULT, LIMIT_MAX, Filter, Order, Window

MOMENT = TypeAdapter(SentMoment)
VERSION_DIGITS_MAX = 18
DELETED = {"false": False, "true": True, "any": None}


def as_of_from(text: object) -> object:
    """``7`` → version 7; anything else is a time. Raises ValueError."""
    if not isinstance(text, str):
        return text
    if text.isdecimal() and text.isascii() and len(text) <= VERSION_DIGITS_MAX:
        return AsOf(version=int(text))
    return AsOf(moment=MOMENT.validate_python(text))


class PastQuery(BaseModel):
    """One thing; ``as_of`` None: as it is now."""

    as_of: Annotated[
        AsOf | None, BeforeValidator(as_of_from), WithJsonSchema({"type": "string", "maxLength": 64})
    ] = Field(None, description="as it was: a version (7) or a time (RFC 3339)")


class StateQuery(PastQuery):
    """A session, thread or user."""

    deleted: bool = Field(False, description="find it also where it is deleted")


class PageQuery(BaseModel):
    """A page of a list."""

    limit: int = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX)
    order: Order = Field("oldest", description="which end to begin with")
    cursor: str | None = Field(None, max_length=200, description="next_cursor of the page before")

    @property
    def window(self) -> Window:
        return Window(self.limit, self.order, self.cursor)


class ListQuery(PageQuery):
    """A page of all that there is of a kind."""

    metadata: Json[Metadata] | None = Field(None, description="a JSON object that the metadata must contain")
    since: SentMoment | None = Field(None, description="from this time on (RFC 3339)")
    until: SentMoment | None = Field(None, description="before this time (RFC 3339)")
    deleted: Literal["false", "true", "any"] = "false"

    @property
    def criteria(self) -> Filter:
        return Filter(
            metadata=self.metadata, since=self.since, until=self.until, deleted=DELETED[self.deleted]
        )


class OwnedListQuery(ListQuery):
    """A page of what users own."""

    user_id: Text | None = None

    @property
    def criteria(self) -> Filter:
        return replace(super().criteria, user_id=self.user_id)


class MessageListQuery(OwnedListQuery):
    """A page of messages."""

    order: Order = Field("newest", description="which end to begin with")
    role: Text | None = None

    @property
    def criteria(self) -> Filter:
        return replace(super().criteria, role=self.role)


class ConversationQuery(MessageListQuery, PastQuery):
    """A page of one conversation's messages."""


class EventsQuery(BaseModel):
    """Some of a project's events."""

    type: list[Text] = Field([], description="only these types; repeatable")
    session_id: Name | None = Field(None, description="only this session's")
    thread_id: UUID | None = Field(None, description="only this thread's")


class EventListQuery(PageQuery, EventsQuery):
    """A page of events."""


class EventStreamQuery(EventsQuery):
    """Events from a place on."""

    after: int | None = Field(
        None, ge=0, le=KEY_MAX, description="from after this position; else from now on"
    )
