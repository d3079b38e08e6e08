"""The message that LangChain, Flowise and n8n store in Redis and DynamoDB, of any age and either language.

It is ``{"type": "human", "data": {"content": …}}``; before May 2023, and from LangChain JS in DynamoDB, it
is flat: ``{"type": "human", "text": …}``. Neither language's reader knows all types; this one takes each.
"""

from __future__ import annotations

from typing import Any

from recountdb.api.transfer.cleaning import loads
from recountdb.api.transfer.importers.source import Unreadable, given

ROLES = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "function",
    "developer": "developer",
}
CUSTOM = frozenset({"chat", "generic"})
CHUNK = "MessageChunk"
NOT_UTF_8 = "what was not UTF-8 was replaced"
REMOVES = "only asks to remove another message"

SAID = frozenset({"content", "text", "name", "tool_calls", "tool_call_id", "role", "type", "example"})
"""The members of ``data`` that become the message; all others are its metadata."""


def read_text(text: str | bytes) -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]:
    """Read a message from JSON text; returns the same as ``read``. Raises Unreadable."""
    whole = text.decode(errors="replace") if isinstance(text, bytes) else text
    try:
        document = loads(whole)
    except ValueError:
        raise Unreadable("is not JSON") from None
    said, details, warnings = read(document)
    return said, details, (*warnings, *((NOT_UTF_8,) if is_damaged(text, whole) else ()))


def is_damaged(raw: str | bytes, text: str) -> bool:
    """Return whether ``raw`` was not UTF-8, so that ``text`` has other characters in places."""
    return isinstance(raw, bytes) and text.encode(errors="surrogatepass") != raw


def read(envelope: Any) -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]:
    """Return the message's members, details of its form to remember, and warnings. Raises Unreadable."""
    if not is_envelope(envelope):
        raise Unreadable("is not a stored message: it needs a type and either data or text")
    kind = envelope["type"]
    if kind == "remove":
        raise Unreadable(REMOVES)
    data = envelope.get("data")
    data = dict(envelope) | {"content": envelope["text"]} if data is None else data
    content = data.get("content")
    role, warnings = _role_of(kind, data)
    said = {
        "role": role,
        "content": content,
        "name": data.get("name"),
        "tool_calls": _tool_calls_of(data),
        "tool_call_id": data.get("tool_call_id"),
        "metadata": given({name: value for name, value in data.items() if name not in SAID}),
    }
    return given(said) | {"content": content}, {"type": kind}, warnings


def is_envelope(envelope: Any) -> bool:
    if not isinstance(envelope, dict) or not isinstance(envelope.get("type"), str):
        return False
    return isinstance(envelope.get("data"), dict) or isinstance(envelope.get("text"), str)


def _role_of(kind: str, data: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return the role, and a warning where no program is known to store such a type."""
    plain = kind.removesuffix(CHUNK).lower() if kind.endswith(CHUNK) else kind
    if plain in ROLES:
        return ROLES[plain], ()
    extra = data.get("additional_kwargs")
    custom = data.get("role") or (extra.get("role") if isinstance(extra, dict) else None)
    if isinstance(custom, str) and custom:
        return custom, () if plain in CUSTOM else ("a type of message that is not known",)
    return plain or "unknown", ("a type of message that is not known, kept as its role",)


def _tool_calls_of(data: dict[str, Any]) -> list[Any] | None:
    """Return the tool calls: of today's form verbatim, else of OpenAI's, where older messages keep them."""
    if calls := data.get("tool_calls"):
        return calls  # type: ignore[no-any-return] # a wrong type is handled on recording
    extra = data.get("additional_kwargs")
    if not isinstance(extra, dict):
        return None
    if isinstance(calls := extra.get("tool_calls"), list) and calls:
        return calls
    if isinstance(call := extra.get("function_call"), dict):
        return [{"type": "function", "function": call}]
    return None
