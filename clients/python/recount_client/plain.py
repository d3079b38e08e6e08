"""Values of a program as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID


def to_plain(value: Any) -> Any:
    """Return ``value`` as JSON knows it: None, bool, int, float, str, list or dict.

    A pydantic model is what it dumps; a number that is not finite is None. Raises ValueError for anything
    else.
    """
    match value:
        case Enum():
            return to_plain(value.value)
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(name): to_plain(inner) for name, inner in value.items()}
        case list() | tuple() | Set():
            return [to_plain(inner) for inner in value]
        case date():  # a datetime too
            return value.isoformat()
        case UUID() | Decimal() | PurePath():
            return str(value)
    if callable(dump := getattr(value, "model_dump", None)):
        return to_plain(dump(mode="json", by_alias=True))
    raise ValueError(f"a {type(value).__name__} has no form in JSON; leave it out, or give its members")
