"""Messages as LangChain stores them, in Python and JavaScript: the inverse of
api.transfer.importers.envelope.

Members that a layout has no place for are left out: times, users, tokens, and metadata that did not come
from LangChain.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic_core import to_json

from recountdb.domain.messages import MessageState

TYPES = {
    "user": "human",
    "human": "human",
    "assistant": "ai",
    "ai": "ai",
    "system": "system",
    "tool": "tool",
    "function": "function",
}
KEPT = ("additional_kwargs", "response_metadata")


class Writer(StrEnum):
    """The package whose layout is written."""

    PYTHON = "python"
    JS = "js"


def envelope(message: MessageState, writer: Writer) -> dict[str, Any]:
    """Return the message as that language's reader loads it."""
    kind = _type_of(message, writer)
    metadata = message.metadata or {}
    data: dict[str, Any] = {"content": "" if message.content is None else message.content}
    data |= {name: _member(metadata, name) for name in KEPT}
    if kind == "ai":
        data |= _calls(message, data["additional_kwargs"])
    if kind in ("chat", "generic"):
        data["role"] = message.role
    if kind == "tool":
        data["tool_call_id"] = message.tool_call_id or ""
        data |= {name: metadata[name] for name in ("artifact", "status") if name in metadata}
    optional = {"name": message.name, "id": metadata.get("id")}
    if kind == "function" and message.name is None:
        optional["name"] = ""
    if writer is Writer.PYTHON:
        return {"type": kind, "data": data | optional | {"type": kind}}
    return {
        "type": kind,
        "data": data | {name: value for name, value in optional.items() if value is not None},
    }


def flat(message: MessageState) -> dict[str, Any]:
    """Return the message as LangChain JS stores it in DynamoDB, where only text has a place."""
    kind = _type_of(message, Writer.JS)
    extra = _member(message.metadata or {}, "additional_kwargs")
    if kind == "ai":
        _calls(message, extra)
    role = {"role": message.role} if kind == "generic" else {}
    said = {"type": kind, "text": _text_of(message.content), "additional_kwargs": to_json(extra).decode()}
    return said | role


def _type_of(message: MessageState, writer: Writer) -> str:
    return TYPES.get(message.role, "chat" if writer is Writer.PYTHON else "generic")


def _member(metadata: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a copy of an object in the metadata, empty where there is none."""
    value = metadata.get(name)
    return dict(value) if isinstance(value, dict) else {}


def _calls(message: MessageState, extra: dict[str, Any]) -> dict[str, Any]:
    """Return the members for the message's tool calls.

    Calls of OpenAI's form are put into ``extra``, where both readers look for them.
    """
    wanted: list[Any] = message.tool_calls or []
    are_langchains = all(isinstance(one, dict) and "name" in one and "args" in one for one in wanted)
    if not are_langchains and "tool_calls" not in extra and "function_call" not in extra:
        extra["tool_calls"] = wanted
    metadata = message.metadata or {}
    told = {"tool_calls": wanted if are_langchains else [], "invalid_tool_calls": []}
    usage = metadata.get("usage_metadata")
    return told | ({"usage_metadata": usage} if isinstance(usage, dict) else {})


def _text_of(content: Any) -> str:
    """Return the text of a content, its parts joined by newlines."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content or ""
