"""Exact reading of JSON: values equal to their texts, or a refusal that names the offending member.

JSON's numbers have no limit, those of computers do: a number that a double cannot hold to the last digit
would come back changed without warning, and a repeated member would come back once.
"""

from __future__ import annotations

import json
import json.scanner
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from recountdb.domain.errors import InvalidInput
from recountdb.domain.values import DEPTH_MAX, INTEGER_DIGITS_MAX

NAME_SHOWN_MAX = 100
"""Characters of a member's name that a refusal shows."""

LARGE_CHARACTERS = 64 * 2**10
"""A text with more characters than this is read in a way that other threads can interrupt."""

Pairs = list[tuple[str, Any]]

TWICE = "is given twice"
NOT_FINITE = "numbers must be finite"
TOO_LONG = f"numbers must have at most {INTEGER_DIGITS_MAX} digits"
NOT_EXACT = (
    "would not come back equal: a number with a fraction or an exponent is kept as a double, which has about "
    "17 digits; send it as a text"
)


class NotJson(ValueError):
    """The text is not JSON; ``position`` is where that shows, None when unknown."""

    def __init__(self, reason: str, position: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position


class Refusal(ValueError):
    """A value that is refused; ``name`` is the member it belongs to, when the value itself does not say."""

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.name = name


def read_json(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises NotJson, or InvalidInput for what would not come back equal."""
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        try:
            return (INTERRUPTIBLE if len(decoded) > LARGE_CHARACTERS else READER).decode(decoded)
        except json.JSONDecodeError:
            raise
        except ValueError:  # a Refusal, or Python's own error about an integer
            raise _first_refusal(decoded) from None
    except json.JSONDecodeError as error:
        raise NotJson(f"not valid JSON at character {error.pos}", error.pos) from None
    except UnicodeDecodeError as error:
        raise NotJson(f"not UTF-8 at byte {error.start}", error.start) from None
    except RecursionError:
        raise NotJson("nested too deep") from None


def _first_refusal(text: str) -> InvalidInput:
    """Return the first fault of a JSON text, and where it is; read again with refusals as values.

    Raises JSONDecodeError when the rest of the text is not JSON.
    """
    try:
        path, refusal = next(_refusals_in(MARKER.decode(text)))
    except RecursionError:
        return InvalidInput("body", f"must not be nested deeper than {DEPTH_MAX} levels")
    return InvalidInput(".".join(path) or "body", refusal.reason)


def _refusals_in(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Refusal]]:
    """Yield each refusal among the values, with the path to it."""
    if isinstance(value, Refusal):
        yield ((*path, value.name[:NAME_SHOWN_MAX]) if value.name else path), value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _refusals_in(member, (*path, key[:NAME_SHOWN_MAX]))
    elif isinstance(value, list):
        for place, element in enumerate(value):
            yield from _refusals_in(element, (*path, str(place)))


def _members_in(pairs: Pairs) -> dict[str, Any]:
    """Return an object. Raises Refusal when a member appears twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Refusal(TWICE, name)
    return members


def integer_in(text: str) -> int:
    """Return an integer. Raises Refusal when it has too many digits."""
    if len(text.lstrip("-")) > INTEGER_DIGITS_MAX:
        raise Refusal(TOO_LONG)
    return int(text)


def float_in(text: str) -> float:
    """Return a double. Raises Refusal when it would not equal the number in the text."""
    number = float(text)
    if repr(number) != text:
        _check_exact(number, text)
    return number


def _check_exact(number: float, text: str) -> None:
    """Raise Refusal when ``number`` does not equal the number in ``text``."""
    if len(text) > INTEGER_DIGITS_MAX:
        raise Refusal(TOO_LONG)
    if not math.isfinite(number):
        raise Refusal(NOT_FINITE)
    try:
        is_exact = Decimal(text) == Decimal(repr(number))
    except InvalidOperation:  # an exponent too large for Decimal
        is_exact = False
    if not is_exact:
        raise Refusal(NOT_EXACT)


def _constant_in(text: str) -> float:
    """Raise Refusal for NaN, Infinity and -Infinity, which Python's JSON reads and writes."""
    raise Refusal(NOT_FINITE)


@dataclass(frozen=True)
class Marking:
    """Wrapper of ``read`` that returns a refusal instead of raising it."""

    read: Callable[[Any], Any]

    def __call__(self, given: Any) -> Any:
        try:
            return self.read(given)
        except Refusal as refusal:
            return refusal


READER = json.JSONDecoder(
    object_pairs_hook=_members_in, parse_float=float_in, parse_constant=_constant_in
)  # Python itself reads integers: it is fast and has the same limit
INTERRUPTIBLE = json.JSONDecoder(
    object_pairs_hook=_members_in, parse_float=float_in, parse_constant=_constant_in
)
# The scanner written in C holds up all other threads until it has read the whole text. This one takes two to
# four times as long, and lets them run in between.
INTERRUPTIBLE.scan_once = json.scanner.py_make_scanner(INTERRUPTIBLE)  # type: ignore[attr-defined]
MARKER = json.JSONDecoder(
    object_pairs_hook=Marking(_members_in),
    parse_float=Marking(float_in),
    parse_int=Marking(integer_in),
    parse_constant=Marking(_constant_in),
)
