"""Motorhead's Redis: a list of "role: content" for each session, its context, and when it was last written.

The list is cut as contexts are made, so only the newest messages are in it. The long-term index of vectors
is not read: its messages have no order.

A session gets the metadata that api.protocols.motorhead.routes reads, and sessions are told in the order in
which they were last written, so that whoever moves over finds the same contexts and listings.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from recountdb.api.transfer.importers.envelope import NOT_UTF_8, is_damaged
from recountdb.api.transfer.importers.redis_commands import (
    ELEMENTS_AT_ONCE,
    Commands,
    RedisRefused,
    keys_like,
    oldest_first,
    text_of,
)
from recountdb.api.transfer.importers.source import Entry, Source, Talk, given

KIND = "motorhead"
"""Also the key of a session's metadata under which the protocol looks."""

PREFIX = "session:"
LISTING = "sessions"
SEPARATOR = ": "


@dataclass
class _Listed:
    """The namespaces that list a session, and when it was last written, in seconds since 1970."""

    namespaces: dict[str, bool] = field(default_factory=dict)
    written: float = -math.inf


def read(send: Commands) -> Source:
    return Source(_talks(send))


def _talks(send: Commands) -> Iterator[Talk]:
    """A session that was deleted in one namespace is still listed in another, without messages."""
    listed = _sessions_listed(send)
    held = {key.removeprefix(PREFIX) for key in keys_like(send, f"{PREFIX}*", "list")}
    for name in held:
        listed.setdefault(name, _Listed())  # one may be in no listing
    for name, told in sorted(listed.items(), key=lambda item: (item[1].written, item[0])):
        yield _talk(send, name, told, oldest_first(send, PREFIX + name) if name in held else [])


def _sessions_listed(send: Commands) -> dict[str, _Listed]:
    """Without a namespace, and in each."""
    found: defaultdict[str, _Listed] = defaultdict(_Listed)
    for key in keys_like(send, f"{LISTING}*", "zset"):
        listing, _, namespace = key.partition(":")
        for name, score in _members_of(send, key) if listing == LISTING else ():
            found[name].namespaces[namespace] = True
            found[name].written = max(found[name].written, score)
    return found


def _members_of(send: Commands, key: str) -> Iterator[tuple[str, float]]:
    """The members of a sorted set with their scores; one may be told twice. One that is no UTF-8 is no id."""
    cursor = 0
    while True:
        cursor, pairs = send("ZSCAN", key, cursor, "COUNT", ELEMENTS_AT_ONCE)
        for member, score in pairs:
            with suppress(UnicodeDecodeError):
                yield text_of(member), float(score)
        if int(cursor) == 0:
            return


def _talk(send: Commands, name: str, listed: _Listed, elements: list[bytes | str]) -> Talk:
    context, warnings = _context_of(send, name)
    facts = {"context": context, "tokens": _tokens_of(send, name), "namespaces": listed.namespaces}
    return Talk(
        KIND,
        PREFIX + name,
        name,
        [entry(place, element) for place, element in enumerate(elements)],
        metadata={KIND: facts},
        renews_metadata=True,
        details=given({"written_at": _written_at(listed.written)}),
        warnings=warnings,
    )


def _context_of(send: Commands, name: str) -> tuple[str | None, tuple[str, ...]]:
    """The context, if there is one, and what is to be told of it."""
    found = _text_at(send, f"context:{name}")
    if found is None:
        return None, ()
    text = found.decode(errors="replace") if isinstance(found, bytes) else str(found)
    return text, (
        ("its context was not UTF-8; what was not was replaced",) if is_damaged(found, text) else ()
    )


def _tokens_of(send: Commands, name: str) -> int:
    try:
        return int(text_of(_text_at(send, f"tokens:{name}") or 0))
    except ValueError:
        return 0


def _text_at(send: Commands, key: str) -> Any:
    """None where there is none; what is no text is another program's."""
    try:
        return send("GET", key)
    except RedisRefused:
        return None


def _written_at(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def entry(position: int, element: bytes | str) -> Entry:
    """Roles stay what they are, for programs of Motorhead's read them back."""
    text = element.decode(errors="replace") if isinstance(element, bytes) else element
    warnings = (NOT_UTF_8,) if is_damaged(element, text) else ()
    role, separator, content = text.partition(SEPARATOR)
    if not separator or not role:
        return Entry(position, {"content": text}, warnings=warnings)
    return Entry(position, {"role": role, "content": content}, warnings=warnings)
