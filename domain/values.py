"""The values events are made of, and the rules for every text and document from outside.

A *document* is any JSON value. It must come back equal, so values that PostgreSQL or JSON cannot
hold exactly (NUL characters, lone surrogates, infinities, endless nesting) are refused.
"""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, JsonValue

DEPTH_MAX = 100
"""Levels of objects and arrays within each other that a document may have."""

INTEGER_DIGITS_MAX = 4300
"""Digits of an integer: Python writes longer ones as JSON, but does not read them again."""

NAME_LENGTH_MAX = 512
"""Characters in the name of a session, thread or user."""

INTEGER_END = 10**INTEGER_DIGITS_MAX


def check_text(text: str) -> str:
    """Return ``text``. Raises ValueError when PostgreSQL could not store it."""
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    if not text.isascii():  # a constant-time test
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("must not contain lone surrogates") from None
    return text


def check_name(name: str) -> str:
    """Return ``name``. Raises ValueError unless it has 1 to 512 characters and no control character."""
    if not 1 <= len(name) <= NAME_LENGTH_MAX:
        raise ValueError(f"must have 1 to {NAME_LENGTH_MAX} characters")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise ValueError("must not contain control characters")
    return name


def check_document(value: Any, depth: int = 0) -> Any:
    """Return ``value``. Raises ValueError when it would not come back equal."""
    if isinstance(value, str):
        return check_text(value)
    if isinstance(value, dict | list) and depth >= DEPTH_MAX:
        raise ValueError(f"must not be nested deeper than {DEPTH_MAX} levels")
    if isinstance(value, dict):
        for key, member in value.items():
            check_text(key)
            check_document(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            check_document(member, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("numbers must be finite")
    elif isinstance(value, int) and not -INTEGER_END < value < INTEGER_END:
        raise ValueError(f"integers must have at most {INTEGER_DIGITS_MAX} digits")
    return value


def to_utc(moment: datetime) -> datetime:
    """Return the same instant in UTC; a time without a zone is taken as UTC."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999") from None


def merge(old: JsonValue, patch: JsonValue) -> JsonValue:
    """Merge deeply: objects merge key by key at any depth, anything else replaces, null is stored."""
    if not isinstance(old, dict) or not isinstance(patch, dict):
        return patch
    return {
        **old,
        **{key: merge(old[key], patch[key]) if key in old else patch[key] for key in patch},
    }


def is_same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal as JSON sees it: unlike in Python, true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


Text = Annotated[str, AfterValidator(check_text)]
NonEmptyText = Annotated[Text, Field(min_length=1)]
Name = Annotated[str, AfterValidator(check_name)]
UserId = Annotated[Text, Field(max_length=NAME_LENGTH_MAX)]
"""The user whose message it is: any text no longer than a user's name, as messages are looked up by it."""

Document = Annotated[JsonValue, AfterValidator(check_document)]
Metadata = Annotated[dict[str, JsonValue], AfterValidator(check_document)]
Content = Annotated[str | list[JsonValue] | None, AfterValidator(check_document)]
Moment = Annotated[datetime, AfterValidator(to_utc)]
