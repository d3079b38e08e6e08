"""Motorhead's Redis: a list of "role: content" for each session, its summary, and when it was last written.

The list is cut as summaries are made, so only the newest messages are in it. The long-term index of vectors
is not read: its messages have no order.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from api.importers.redis_commands import Commands, keys_like, oldest_first, text_of
from api.importers.source import Entry, Source, Talk, Unreadable, entry_of, given

KIND = "motorhead"
PREFIX = "session:"
SEPARATOR = ": "


def read(send: Commands) -> Source:
    return Source(talks(send))


def talks(send: Commands) -> Iterator[Talk]:
    indexes = [key for key in keys_like(send, "sessions*", "zset") if key.partition(":")[0] == "sessions"]
    for key in keys_like(send, f"{PREFIX}*", "list"):
        name = key.removeprefix(PREFIX)
        elements = oldest_first(send, key)
        yield Talk(
            KIND,
            key,
            name,
            [entry_of(place, partial(entry, place, element)) for place, element in enumerate(elements)],
            details=given(origin_of(send, name, indexes)),
        )


def origin_of(send: Commands, name: str, indexes: list[str]) -> dict[str, str | list[str] | None]:
    scores = {index: score for index in indexes if (score := send("ZSCORE", index, name)) is not None}
    summary = send("GET", f"context:{name}")
    return {
        "summary": None if summary is None else text_of(summary),
        "namespaces": sorted(index.partition(":")[2] for index in scores if ":" in index),
        "written_at": max(map(written_at, scores.values()), default=None),
    }


def written_at(score: bytes | str | float) -> str:
    seconds = float(score)
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def entry(position: int, element: bytes | str) -> Entry:
    """Roles stay what they are, for programs of Motorhead's read them back."""
    try:
        role, separator, content = text_of(element).partition(SEPARATOR)
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8") from None
    if not separator or not role:
        raise Unreadable("names no role")
    return Entry(position, {"role": role, "content": content})
