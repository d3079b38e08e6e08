"""Messages in LangMem's two shapes, which requests may mix, and their translation into Recount's and back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from uuid_utils.compat import uuid7

from recountdb.api.schemas.requests import SentMoment, text_or_parts
from recountdb.domain.messages import Message, MessageState
from recountdb.domain.values import NonEmptyText, Text, check_document, check_name

KEY = "langmem"
"""The key of a message's metadata that holds the members without a counterpart in Recount."""

Format = Literal["openai", "langmem"]


def _check_user_id(value: Any) -> Any:
    """Return a UUID in its canonical spelling; another id unchanged, as a text. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError("must be a UUID")
    try:
        return str(UUID(value))
    except ValueError:
        return check_name(value)


def _check_content(value: Any) -> Any:
    return check_document(text_or_parts(value))


# Typed Any, so that an error in a caller's document is reported without the path into it.
UserId = Annotated[Any, AfterValidator(_check_user_id)]
Content = Annotated[Any, AfterValidator(_check_content)]
Part = Annotated[Any, AfterValidator(check_document)]


def _check_list(value: Any) -> Any:
    """Return ``value``, a list of documents. Raises ValueError."""
    if not isinstance(value, list):
        raise ValueError("must be a list")
    return check_document(value)


class SentUser(BaseModel):
    """The speaker of a message in the LangMem shape."""

    user_id: UserId | None = None
    user_name: Text | None = None
    role: NonEmptyText | None = None


class SentMetadata(BaseModel):
    """The metadata of a message in the OpenAI shape: the speaker, the time, and the application's members."""

    model_config = ConfigDict(extra="allow")

    user_id: UserId | None = None
    user_name: Text | None = None
    timestamp: SentMoment | None = None

    @model_validator(mode="after")
    def _check_others(self) -> Self:
        check_document(self.model_extra)
        return self


class SentMessage(BaseModel):
    """A message in the OpenAI shape, or with a ``user`` in the LangMem shape."""

    id: UUID | None = None
    role: NonEmptyText | None = None
    content: Content = None
    name: Text | None = None
    user: SentUser | None = None
    timestamp: SentMoment | None = None
    metadata: SentMetadata | None = None
    tool_calls: Annotated[Any, AfterValidator(_check_list)] | None = None
    tool_call_id: Text | None = None
    function_call: Part | None = None

    @model_validator(mode="after")
    def _check_words(self) -> Self:
        if self.user is None and self.role is None:
            raise ValueError("has no role")
        calls = self.tool_calls is not None or self.function_call is not None
        if self.content is None and not calls and self.role != "assistant":
            raise ValueError("has no content, which only an assistant's message may do without")
        return self

    def to_message(self) -> Message:
        """Return this as Recount's message, with a new id if none is given."""
        user = self.user or SentUser(role=self.role)
        metadata = self.metadata or SentMetadata()
        return Message(
            id=self.id or uuid7(),
            role=user.role or self.role or "user",
            content=self.content,
            name=_first(user.user_name, self.name, metadata.user_name),
            user_id=_first(user.user_id, metadata.user_id),
            timestamp=_first(metadata.timestamp, self.timestamp),
            tool_calls=self.tool_calls,
            tool_call_id=self.tool_call_id,
            metadata=self._kept_metadata() or None,
        )

    def _kept_metadata(self) -> dict[str, Any]:
        """Return the metadata to store: the application's, and under ``KEY`` what has no counterpart."""
        metadata = self.metadata or SentMetadata()
        others = dict(metadata.model_extra or {})
        own: dict[str, Any] = {"function_call": self.function_call, "user_name": metadata.user_name}
        own = {name: value for name, value in own.items() if value is not None}
        if KEY in others:
            own["metadata"] = others.pop(KEY)
        return {**others, KEY: own} if own else others


def _first(*values: Any) -> Any:
    """Return the first value that is not None; None if all are."""
    return next((value for value in values if value is not None), None)


def to_langmem_message(message: MessageState, shape: Format) -> dict[str, Any]:
    return _to_openai_shape(message) if shape == "openai" else _to_langmem_shape(message)


def _to_openai_shape(message: MessageState) -> dict[str, Any]:
    """Return a message in the OpenAI shape.

    It has no member that a chat API would refuse, except ``name`` and ``metadata``.
    """
    metadata: dict[str, Any] = dict(message.metadata or {})
    own = metadata.pop(KEY, None)
    if not isinstance(own, dict):  # written by another program
        own = {} if own is None else {"metadata": own}
    if "metadata" in own:
        metadata[KEY] = own["metadata"]
    metadata.setdefault("id", str(message.id))
    metadata["timestamp"] = _format_time(message)
    metadata |= _without_nones(user_id=message.user_id, user_name=own.get("user_name"))
    return {
        "role": message.role,
        "content": message.content,
        **_without_nones(name=message.name),
        "metadata": metadata,
        **_without_nones(
            tool_calls=message.tool_calls,
            tool_call_id=message.tool_call_id,
            function_call=own.get("function_call"),
        ),
    }


def _to_langmem_shape(message: MessageState) -> dict[str, Any]:
    user = {"user_id": message.user_id, "user_name": message.name, "role": message.role}
    return {"id": message.id, "content": message.content, "timestamp": _format_time(message), "user": user}


def _format_time(message: MessageState) -> str:
    """Return the time that the caller gave, or else the time when the message was recorded."""
    time: datetime = message.timestamp or message.recorded_at
    return time.isoformat()


def _without_nones(**members: Any) -> dict[str, Any]:
    """Return the members that are not None."""
    return {name: value for name, value in members.items() if value is not None}
