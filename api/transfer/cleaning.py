"""Functions that make foreign values fit for the store, so that a bad value costs no words beside it.

JSON as Python, SQLite and Redis hold it may have values that JSON lacks, or that PostgreSQL cannot store.
The closest value that can be stored is taken instead, and each kind of such a change is named.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Container
from typing import Any

from recountdb.domain.exact_json import Pairs, Refusal, float_in, integer_in
from recountdb.domain.values import DEPTH_MAX, INTEGER_END

REPLACEMENT = "\ufffd"

NOT_FINITE = "a number that is not finite was kept as text"
TOO_LONG = "an integer with too many digits was kept as text"
TOO_DEEP = "what was nested too deep was kept as text"
NUL = "a NUL character was replaced"
SURROGATE = "half a character (a lone surrogate), or what was not UTF-8, was replaced"
DUPLICATE = "two members had the same name once they could be stored: the last was kept"
TWICE = "a member was given twice: the last counts, the others were kept with an underscore"
NO_JSON_TYPE = "a value that JSON has no type for was kept as text"

INEXACT = "a number that would not come back equal was kept as text"

BLANKS = " \t\r\n"
BLANK = re.compile(f"[{BLANKS}]*")

Tell = Callable[[str], None]
"""A function that is called with the kind of a change, in words, once for each change."""


def _ignore(kind: str) -> None:
    """Do nothing."""


class _Inexact(str):
    """A number that would not come back equal, as the text it was written as."""


class Doubled(dict[str, Any]):
    """An object with members that were given more than once. The earlier ones are kept under new names."""


def loads(text: str | bytes) -> Any:
    """Parse JSON as others write it: with NaN, Infinity, lone surrogates, raw tabs. Raises ValueError."""
    if isinstance(text, str):
        text = text.removeprefix("\ufeff")  # a byte order mark
    try:
        return json.loads(text, **_reading())
    except RecursionError:
        raise ValueError("is nested too deep") from None


def loads_bytes(raw: bytes) -> Any:
    """Parse JSON as ``loads`` does, replacing bytes that are not UTF-8. Raises ValueError."""
    try:
        return loads(raw)
    except UnicodeDecodeError:
        return loads(raw.decode(errors="replace"))


def loads_all(text: str) -> list[Any]:
    """Parse a text of documents one after another, as jq writes them. Raises ValueError."""
    decoder = json.JSONDecoder(**_reading())
    documents = []
    text = text.strip(BLANKS)
    place = 0
    try:
        while place < len(text):
            document, place = decoder.raw_decode(text, place)
            documents.append(document)
            place = BLANK.match(text, place).end()  # type: ignore[union-attr] # it also matches an empty text
    except RecursionError:
        raise ValueError("is nested too deep") from None
    return documents


def _reading() -> dict[str, Any]:
    """Return the options for Python's JSON decoder."""
    return {
        "parse_int": _read_integer,
        "parse_float": read_decimal,
        "object_pairs_hook": _read_members,
        "strict": False,
    }


def _read_integer(digits: str) -> int | _Inexact:
    try:
        return integer_in(digits)
    except Refusal:
        return _Inexact(digits)


def read_decimal(digits: str) -> float | _Inexact:
    try:
        return float_in(digits)
    except Refusal:
        return _Inexact(digits)


def _read_members(pairs: Pairs) -> dict[str, Any]:
    """Return an object of all members, Doubled if a name came more than once."""
    members = dict(pairs)
    return members if len(members) == len(pairs) else _doubled(pairs, members)


def _doubled(pairs: Pairs, members: dict[str, Any]) -> Doubled:
    """Return ``members`` and, under new names, the pairs that came before another of the same name."""
    found = Doubled(members)
    last = {name: place for place, (name, _) in enumerate(pairs)}
    for place, (name, value) in enumerate(pairs):
        if place != last[name]:
            found[free_name(name, found)] = value
    return found


def free_name(name: str, taken: Container[str]) -> str:
    """Return ``name``, with underscores added until it is not taken."""
    while name in taken:
        name += "_"
    return name


def clean_text(text: str, tell: Tell = _ignore) -> str:
    """Return ``text`` as PostgreSQL can store it. Two adjacent halves of a surrogate pair are joined."""
    if "\x00" in text:
        tell(NUL)
        text = text.replace("\x00", REPLACEMENT)
    if text.isascii() or not _has_surrogates(text):
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if joined.count(REPLACEMENT) > text.count(REPLACEMENT):
        tell(SURROGATE)
    return joined


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def clean(value: Any, tell: Tell = _ignore, depth: int = 0) -> Any:
    """Return ``value`` as a JSON document that can be stored."""
    match value:
        case None | bool():
            return value
        case _Inexact():
            tell(INEXACT)
            return str(value)
        case str():
            return clean_text(value, tell)
        case int():
            if -INTEGER_END < value < INTEGER_END:
                return value
            tell(TOO_LONG)
            return hex(value)
        case float():
            if math.isfinite(value):
                return value
            tell(NOT_FINITE)
            return json.dumps(value)
        case dict() | list() | tuple() if depth >= DEPTH_MAX:
            tell(TOO_DEEP)
            return clean_text(json.dumps(value, default=str), tell)
        case dict():
            return _clean_object(value, tell, depth)
        case list() | tuple():
            return [clean(one, tell, depth + 1) for one in value]
    tell(NO_JSON_TYPE)
    return clean_text(value.decode(errors="replace") if isinstance(value, bytes) else str(value), tell)


def _clean_object(value: dict[Any, Any], tell: Tell, depth: int) -> dict[str, Any]:
    if isinstance(value, Doubled):
        tell(TWICE)
    members = {clean_text(str(name), tell): clean(member, tell, depth + 1) for name, member in value.items()}
    if len(members) < len(value):
        tell(DUPLICATE)
    return members
