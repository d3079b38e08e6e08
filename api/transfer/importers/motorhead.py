"""Motorhead's Redis: a list of "role: content" for each session, its context, and when it was last written.

The list is cut as contexts are made, so only the newest messages are in it. The long-term index of vectors
is not read: its messages have no order.

A session gets the metadata that api.protocols.motorhead.shapes reads, and sessions come in the order in
which they were last written, so that programs that move over find the same contexts and listings.
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
"""The kind of source, and the key of the metadata that the protocol reads."""

PREFIX = "session:"
LISTING = "sessions"
SEPARATOR = ": "


@dataclass
class _Listed:
    """An entry in Motorhead's listings: a session's namespaces, and its last write in seconds since 1970."""

    namespaces: dict[str, bool] = field(default_factory=dict)
    written: float = -math.inf


def read(send: Commands) -> Source:
    return Source(_talks(send))


def _talks(send: Commands) -> Iterator[Talk]:
    """Yield all sessions, also those without messages: one deleted in a namespace stays listed in others."""
    listed = _sessions_listed(send)
    held = {key.removeprefix(PREFIX) for key in keys_like(send, f"{PREFIX}*", "list")}
    for name in held:
        listed.setdefault(name, _Listed())  # a session may be in no listing
    for name, told in sorted(listed.items(), key=lambda item: (item[1].written, item[0])):
        yield _talk(send, name, told, oldest_first(send, PREFIX + name) if name in held else [])


def _sessions_listed(send: Commands) -> dict[str, _Listed]:
    """Return the listed sessions by name, of the listing without a namespace and of all others."""
    found: defaultdict[str, _Listed] = defaultdict(_Listed)
    for key in keys_like(send, f"{LISTING}*", "zset"):
        listing, _, namespace = key.partition(":")
        for name, score in _members_of(send, key) if listing == LISTING else ():
            found[name].namespaces[namespace] = True
            found[name].written = max(found[name].written, score)
    return found


def _members_of(send: Commands, key: str) -> Iterator[tuple[str, float]]:
    """Yield the members of a sorted set with their scores; Redis may give one twice.

    A member that is not UTF-8 is no id and is left out.
    """
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
        [to_entry(place, element) for place, element in enumerate(elements)],
        metadata={KIND: facts},
        renews_metadata=True,
        details=given({"written_at": _written_at(listed.written)}),
        warnings=warnings,
    )


def _context_of(send: Commands, name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the context, None if there is none, and the warnings about it."""
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
    """Return the text under a key, or None. A value of another type belongs to another program."""
    try:
        return send("GET", key)
    except RedisRefused:
        return None


def _written_at(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def to_entry(position: int, element: bytes | str) -> Entry:
    """Return an element as a message. Roles are kept as they are, for Motorhead's programs read them back."""
    text = element.decode(errors="replace") if isinstance(element, bytes) else element
    warnings = (NOT_UTF_8,) if is_damaged(element, text) else ()
    role, separator, content = text.partition(SEPARATOR)
    if not separator or not role:
        return Entry(position, {"content": text}, warnings=warnings)
    return Entry(position, {"role": role, "content": content}, warnings=warnings)
