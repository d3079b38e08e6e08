"""A lenient reader of chat format as other programs write it. A bad or unknown member costs no words.

Members that Recount knows have their place. All others go into the metadata under their own names, and so
does a known one whose value cannot be taken; null is ignored. Each kind of change is named, without content.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable
from copy import copy
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from recountdb.api.schemas.requests import SentMoment
from recountdb.api.transfer.cleaning import TWICE, Doubled, Tell, clean, clean_text, free_name
from recountdb.domain.values import NAME_LENGTH_MAX, check_name

UNKNOWN = "unknown"
NO_ROLE = f"a message without a role has the role '{UNKNOWN}'"
ID_NO_UUID = "an id that is no UUID was kept in the metadata; the message has one made from it"
NAME_CHANGED = (
    "a name that is too long, or has control characters in it, was changed; its end tells them apart"
)
ORIGINAL_LENGTH_MAX = 10_000

MOMENT: TypeAdapter[datetime] = TypeAdapter(SentMoment)
SAID_INSTEAD = ("refusal", "text", "parts")
"""Members to take the words from where there is no content. The first stays in the metadata as well."""


def describe_renamed_member(member: str) -> str:
    return f"a value of '{member}' that cannot be one was kept in the metadata"


def _text(value: Any, tell: Tell) -> str | None:
    if not isinstance(value, str | bytes | bool | int | float):
        return None
    found = clean(value, tell)
    return found if isinstance(found, str) else str(found)


def _user_id(value: Any, tell: Tell) -> str | None:
    found = _text(value, tell)
    return found if found is None or len(found) <= NAME_LENGTH_MAX else None


def _content(value: Any, tell: Tell) -> str | list[Any] | None:
    if isinstance(value, dict | list):
        found: list[Any] = clean(value if isinstance(value, list) else [value], tell)
        return found
    return _text(value, tell)


def _moment(value: Any, tell: Tell) -> datetime | None:
    try:
        return MOMENT.validate_python(value)
    except (ValidationError, OverflowError):
        return None


def _calls(value: Any, tell: Tell) -> list[Any] | None:
    return _content(value, tell) if isinstance(value, dict | list) else None  # type: ignore[return-value]


def _token_count(value: Any, tell: Tell) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**53 else None


MEMBERS: dict[str, Callable[[Any, Tell], Any]] = {
    "role": _text,
    "content": _content,
    "name": _text,
    "user_id": _user_id,
    "timestamp": _moment,
    "tool_calls": _calls,
    "tool_call_id": _text,
    "token_count": _token_count,
}
"""For each member, the function that makes its value fit, or returns None where it cannot."""


def message_members(raw: Any, tell: Tell) -> dict[str, Any] | None:
    """Return the members of a NewMessage except its id; None where there is nothing to take."""
    told = {"content": raw} if isinstance(raw, str) else raw
    if not isinstance(told, dict):
        return None
    if isinstance(told, Doubled):
        tell(TWICE)
    left = {str(name): value for name, value in told.items() if value is not None}
    if own_id(left) is not None or left.get("id") == "":
        del left["id"]
    if not left.keys() - {"id"}:
        return None
    if "id" in left:
        tell(describe_renamed_member("id"))
    has_metadata = isinstance(left.get("metadata"), dict)
    metadata = left.pop("metadata") if has_metadata else {}
    said: dict[str, Any] = {}
    for name in left.keys() & MEMBERS.keys():
        value = MEMBERS[name](left[name], tell)
        if value is None:
            tell(describe_renamed_member(name))
        else:
            said[name] = value
            del left[name]
    _find_words(said, left, tell)
    if not said.get("role"):
        tell(NO_ROLE)
        said["role"] = UNKNOWN
    metadata = merged(metadata, left)
    return said | ({"metadata": clean(metadata, tell)} if metadata or has_metadata else {})


def _find_words(said: dict[str, Any], left: dict[str, Any], tell: Tell) -> None:
    """Move words and tool calls from members of other names in ``left`` to their place in ``said``."""
    if not said.get("tool_calls") and isinstance(left.get("function_call"), dict):
        call = left.pop("function_call")
        said["tool_calls"] = [{"type": "function", "function": clean(call, tell, 2)}]
    if said.get("content"):
        return
    audio = left.get("audio")
    if isinstance(audio, dict) and isinstance(audio.get("transcript"), str):
        said["content"] = clean_text(audio["transcript"], tell)
    for name in SAID_INSTEAD:
        if left.get(name) and isinstance(left[name], str | list):
            said["content"] = _content(left[name], tell)
            if name != "refusal":
                del left[name]
            return


def merged(metadata: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Return ``metadata`` with ``others`` added; a name that is taken gets an underscore."""
    found = copy(metadata)
    for name, value in others.items():
        found[free_name(name, found)] = value
    return found


def own_id(raw: Any) -> UUID | str | None:
    """Return the id a message came with: a UUID, another text, or None where it has none."""
    given = raw.get("id") if isinstance(raw, dict) else None
    if not isinstance(given, str | int | UUID) or isinstance(given, bool) or given == "":
        return None
    try:
        return UUID(str(given))
    except ValueError:
        return str(given)


def usable_name(name: str, tell: Tell, *, length_max: int = NAME_LENGTH_MAX) -> str:
    """Return ``name``, or if that is no valid name one made from it, the same each time."""
    try:
        if len(check_name(name)) <= length_max:
            return name
    except ValueError:
        pass
    tell(NAME_CHANGED)
    mark = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
    shown = "".join(
        "\ufffd" if unicodedata.category(character) in {"Cc", "Cs"} else character
        for character in name[: length_max - len(mark) - 1]
    )
    return f"{shown}-{mark}"
