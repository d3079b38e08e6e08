"""Parsers of options and arguments. Each raises InvalidInput, which names the option."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from recountdb.domain.commands.base import Name
from recountdb.domain.errors import InvalidInput
from recountdb.domain.exact_json import NotJson, read_json
from recountdb.domain.sessions import Session
from recountdb.domain.values import Metadata, Moment, check_name
from recountdb.projections.queries.history import AsOf
from recountdb.projections.queries.replay import SPEED_MAX

METADATA = TypeAdapter(Metadata)
MOMENT = TypeAdapter(Moment)
AGE = re.compile(r"(\d{1,6})([dhm])")
DAYS = {"d": 1.0, "h": 1 / 24, "m": 1 / 1440}
SPEED = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,6})?)x?", re.ASCII)


def parse_moment(text: str, option: str) -> AsOf:
    """Parse a version or a time."""
    if text.isdecimal() and text.isascii() and len(text) <= 18:
        return AsOf(version=int(text))
    try:
        moment: datetime = MOMENT.validate_python(text)
    except ValidationError:
        reason = "must be a version like 7 or a time like 2026-11-20T19:50:25Z"
        raise InvalidInput(option, reason) from None
    return AsOf(moment=moment)


def parse_instant(text: str | None, option: str) -> datetime | None:
    """Parse a time, UTC where it names no zone; None stays None."""
    if text is None:
        return None
    try:
        return MOMENT.validate_python(text)
    except ValidationError:
        raise InvalidInput(option, "must be a time like 2026-11-20T19:50:25Z") from None


def parse_age(text: str, option: str) -> float:
    """Return an age like ``30d``, ``12h`` or ``5m`` in days."""
    match = AGE.fullmatch(text)
    if match is None:
        raise InvalidInput(option, "must be an age like 30d, 12h or 5m")
    return int(match[1]) * DAYS[match[2]]


def parse_speed(text: str, option: str) -> float:
    """Return 10.0 for ``10x``, and 0.0, which means no pauses, for ``max``."""
    if text == "max":
        return 0.0
    match = SPEED.fullmatch(text)
    if match is None or float(match[1]) > SPEED_MAX:
        raise InvalidInput(option, "must be a number like 10x, or max for no pauses")
    return float(match[1])


def parse_metadata(text: str | None, option: str) -> dict[str, Any] | None:
    """Parse a JSON object; None stays None."""
    if text is None:
        return None
    try:
        return METADATA.validate_python(read_json(text))
    except (NotJson, ValidationError):
        raise InvalidInput(option, "must be a JSON object") from None
    except InvalidInput as error:
        raise InvalidInput(option, str(error)) from None


def parse_stream_id(text: str | None, option: str) -> UUID | None:
    """Parse a stream's id; None stays None."""
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise InvalidInput(option, "must be a stream's id, as 'recount followers list' shows it") from None


def parse_user_id(text: str | None, option: str) -> str | None:
    """Check the name of a user; None stays None."""
    try:
        return None if text is None else check_name(text)
    except ValueError as error:
        raise InvalidInput(option, str(error)) from None


def choose_name(
    project: str, named: Mapping[str, str | None], scope: str, *, what: str, advice: str
) -> Name | None:
    """Return the full name of what is named, or None if nothing is. ``scope`` counts for sessions only.

    ``named`` maps a kind to a name or None; at most one may be named. ``what`` and ``advice``: of the error.
    """
    given = [(kind, name) for kind, name in named.items() if name is not None]
    if not given:
        return None
    if len(given) > 1:
        raise InvalidInput(what, advice)
    kind, name = given[0]
    return Name(project, kind, scope if kind == Session.KIND else "", name)


def require_name(project: str, named: Mapping[str, str | None], scope: str, *, what: str) -> Name:
    """Return the full name of the session, thread or user that is named; exactly one must be."""
    advice = "name one session, thread or user"
    name = choose_name(project, named, scope, what=what, advice=advice)
    if name is None:
        raise InvalidInput(what, advice)
    return name
