"""Errors of settings, each explained in a sentence for the person who set it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from recountdb.domain.errors import RecountError


class SettingsInvalid(RecountError):
    """A setting is unknown or has a value that cannot be taken."""


def explain(error: ValidationError, prefix: str) -> str:
    """Return one sentence about the first setting that is wrong. It never quotes the value."""
    found = error.errors(include_input=False, include_url=False)
    name = str(found[0]["loc"][0])
    of_this = [one for one in found if one["loc"][0] == name]
    if any(isinstance(part, int) for one in of_this for part in one["loc"]):  # about an entry of a list
        return f"{prefix}{name.upper()}: each entry must be {_requirement(of_this[0])}"
    demands = dict.fromkeys(_requirement(one) for one in of_this)
    return f"{prefix}{name.upper()} must be {' or '.join(demands)}"


def _requirement(error: Mapping[str, Any]) -> str:
    """Return what pydantic asks for, to go on from "must be"."""
    limits = error.get("ctx", {})
    match error["type"]:
        case "int_parsing" | "int_from_float" | "int_type":
            return "a whole number"
        case "float_parsing" | "float_type":
            return "a number"
        case "finite_number":
            return "a finite number"
        case "bool_parsing" | "bool_type":
            return "true or false"
        case "greater_than_equal":
            return f"{limits['ge']:g} or more"
        case "greater_than":
            return f"more than {limits['gt']:g}"
        case "less_than_equal":
            return f"{limits['le']:g} or less"
        case "literal_error":
            return one_of(str(limits["expected"]))
        case "string_pattern_mismatch":
            return "a path, such as /memory"
        case "value_error":
            return str(limits["error"])
    return f"something else: {str(error['msg']).lower()}"


def one_of(expected: str) -> str:
    """Return pydantic's list ``'a', 'b' or 'c'`` without the quotation marks."""
    names = expected.replace("'", "")
    return f"one of {names}" if " or " in names else names
