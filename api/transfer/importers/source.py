"""The form in which every source tells a conversation, and what sources share.

A source knows its store's layout and nothing of ours: it says what is there, in order, and which messages
cannot be read. It never says what was said in an error.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from recountdb.api.transfer.cleaning import clean_text, loads, loads_bytes
from recountdb.domain.errors import InvalidInput, RecountError
from recountdb.domain.values import to_utc

SOURCE = "imported_from"
"""The one member of a message's and a session's metadata that says where it came from."""


class SourceFailed(RecountError):
    """What is to be imported cannot be read, or no longer. Says why, and nothing of what is in it."""


class Unreadable(Exception):
    """A message that cannot be read. Says why, and nothing of what is in it."""


@dataclass(frozen=True)
class Entry:
    """One message of a source.

    ``position``: its place there, 0 the oldest. ``said``: members of api.schemas.responses.NewMessage but
    the id; None: it cannot be read, for the ``reason``. ``id``: the source's own, any text that is one
    message's for ever; None: it has none. ``details``: what else to remember of where it came from.
    """

    position: int
    said: dict[str, Any] | None
    reason: str = ""
    id: UUID | str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Talk:
    """One conversation of a source: ``kind`` of store, and ``key``, table or the like in it.

    ``has_own_ids``: the source's messages have ids; without, they are known by what they say and their order.
    ``renews_metadata``: what was known of it before is brought up to date wherever it grew.
    ``refusal``: why none of it can be taken; empty: it can.
    """

    kind: str
    key: str
    name: str
    entries: list[Entry]
    scope: str = ""
    user_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    has_own_ids: bool = False
    renews_metadata: bool = False
    refusal: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Person:
    """A user of a source, with what is known of them."""

    name: str
    profile: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True)
class Source:
    """A store that is open. ``talks`` may be read once. ``messages_total`` None: counting takes a while."""

    talks: Iterator[Talk]
    messages_total: int | None = None
    people: Sequence[Person] = ()


def entry_of(position: int, read: Callable[[], Entry]) -> Entry:
    """What ``read`` makes of the message at ``position``; it may raise Unreadable."""
    try:
        return read()
    except Unreadable as reason:
        return Entry(position, None, str(reason))


def library(module: str, *, extra: str) -> Any:
    """An optional library. Raises InvalidInput where it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise InvalidInput(
            extra, f"this needs a library that is not installed: pip install 'recount[{extra}]'"
        ) from None


def given(members: dict[str, Any]) -> dict[str, Any]:
    """Those that say anything: neither None nor empty."""
    return {name: value for name, value in members.items() if value is not None and value not in ("", [], {})}


def parsed(cell: Any) -> Any:
    """What a cell of JSON text holds; as it is, where it is no JSON. SQL's NULL and JSON's are both None."""
    if not isinstance(cell, str | bytes):
        return cell
    try:
        return loads_bytes(cell) if isinstance(cell, bytes) else loads(cell)
    except ValueError:
        return cell if isinstance(cell, str) else cell.decode(errors="replace")


def as_object(value: Any, name: str) -> dict[str, Any]:
    """``value`` as an object: itself, nothing, or what is none under ``name``."""
    if isinstance(value, dict):
        return value
    return {} if value is None else {name: value}


def unread_moment(name: str, cell: Any) -> dict[str, Any]:
    """What to remember of a time that is none: the cell itself, under ``name``."""
    return {name: cell} if cell is not None and moment(cell) is None else {}


def moment(cell: Any) -> datetime | None:
    """A time as databases tell it; one without a zone is UTC. None where it is none."""
    if isinstance(cell, str):
        try:
            cell = datetime.fromisoformat(cell.strip().removesuffix(" UTC"))
        except ValueError:
            return None
    if not isinstance(cell, datetime):
        return None
    try:
        return to_utc(cell)
    except ValueError:
        return None


def own_id(cell: Any) -> UUID | str | None:
    """A message's own id: a UUID, hyphens or not, or any other text."""
    try:
        return UUID(str(cell)) if cell else None
    except ValueError:
        return clean_text(cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell))
