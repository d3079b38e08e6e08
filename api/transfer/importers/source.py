"""The common form of a conversation from any source, and functions that sources share.

A source knows its store's layout and nothing of ours: it yields the content, in order, and says which
messages cannot be read. Its errors never quote content.
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
"""The member of a message's and a session's metadata that says where it came from."""


class SourceFailed(RecountError):
    """A source cannot be read, or no longer. The text says why, and quotes nothing of its content."""


class Unreadable(Exception):
    """A message cannot be read. The text says why, and quotes nothing of its content."""


@dataclass(frozen=True)
class Entry:
    """A message of a source.

    ``position`` is its place there, 0 the oldest. ``said`` has the members of api.schemas.requests.NewMessage
    except the id; None means that it cannot be read, for the ``reason``. ``id`` is the source's own, any text
    that stays one message's for ever; None means that it has none. ``details`` are further facts to remember
    about where it came from.
    """

    position: int
    said: dict[str, Any] | None
    reason: str = ""
    id: UUID | str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Talk:
    """A conversation of a source: ``kind`` of store, and ``key``, table or the like in it.

    ``has_own_ids``: the source's messages have ids; otherwise content and order identify them.
    ``renews_metadata``: the session's existing metadata are updated wherever the conversation grew.
    ``refusal``: why none of it can be taken; empty means that it can.
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
    """A user of a source, with their profile and metadata."""

    name: str
    profile: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True)
class Source:
    """An open store. ``talks`` can be read once. ``messages_total`` None: counting would take too long."""

    talks: Iterator[Talk]
    messages_total: int | None = None
    people: Sequence[Person] = ()


def entry_of(position: int, read: Callable[[], Entry]) -> Entry:
    """Return the entry that ``read`` makes; if it raises Unreadable, an entry with that reason."""
    try:
        return read()
    except Unreadable as reason:
        return Entry(position, None, str(reason))


def library(module: str, *, extra: str) -> Any:
    """Import an optional library. Raises InvalidInput where it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise InvalidInput(
            extra, f"this needs a library that is not installed: pip install 'recountdb[{extra}]'"
        ) from None


def given(members: dict[str, Any]) -> dict[str, Any]:
    """Return the members that are neither None nor empty."""
    return {name: value for name, value in members.items() if value is not None and value not in ("", [], {})}


def parse_cell(cell: Any) -> Any:
    """Return the value of a cell of JSON text, or the text if it is not JSON. Either NULL is None."""
    if not isinstance(cell, str | bytes):
        return cell
    try:
        return loads_bytes(cell) if isinstance(cell, bytes) else loads(cell)
    except ValueError:
        return cell if isinstance(cell, str) else cell.decode(errors="replace")


def as_object(value: Any, name: str) -> dict[str, Any]:
    """Return ``value`` as an object: itself, an empty one for None, or one that holds it as ``name``."""
    if isinstance(value, dict):
        return value
    return {} if value is None else {name: value}


def unread_moment(name: str, cell: Any) -> dict[str, Any]:
    """Return the details to remember about a time that cannot be read: the cell itself, under ``name``."""
    return {name: cell} if cell is not None and parse_moment_cell(cell) is None else {}


def parse_moment_cell(cell: Any) -> datetime | None:
    """Return a database's time, or None if it is no time. One without a zone is UTC."""
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
    """Return a message's own id: a UUID, with hyphens or not, another text, or None if it is empty."""
    try:
        return UUID(str(cell)) if cell else None
    except ValueError:
        return clean_text(cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell))
