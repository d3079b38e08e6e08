"""The RedisJSON documents of the package langchain-redis: one for each message, with a time.

The keys hold an id or a time; the document itself names its conversation.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from recountdb.api.transfer.cleaning import loads
from recountdb.api.transfer.importers import envelope
from recountdb.api.transfer.importers.redis_commands import Commands, keys_like
from recountdb.api.transfer.importers.source import Entry, Talk, Unreadable, entry_of

KIND = "redis-json"
PREFIX = "chat:"
TYPE = "ReJSON-RL"


class _Place(NamedTuple):
    timestamp: float
    key: str


def talks(send: Commands, patterns: Sequence[str]) -> Iterator[Talk]:
    """Yield the conversations. Documents are read twice, first to sort them, for keys give no order."""
    for session, places in _sessions_in(send, patterns).items():
        entries = [
            entry_of(position, partial(_entry, send, position, place.key))
            for position, place in enumerate(sorted(places))
        ]
        yield Talk(KIND, session, session, entries, has_own_ids=True)


def _sessions_in(send: Commands, patterns: Sequence[str]) -> dict[str, list[_Place]]:
    found: defaultdict[str, list[_Place]] = defaultdict(list)
    for key in dict.fromkeys(chain.from_iterable(keys_like(send, pattern, TYPE) for pattern in patterns)):
        document = _document_at(send, key)
        session = None if document is None else document.get("session_id")
        if document is not None and isinstance(session, str | int):
            found[str(session)].append(_Place(_seconds_of(document), key))
    return found


def _document_at(send: Commands, key: str) -> dict[str, Any] | None:
    """Return the document under a key, or None where there is none any more, or it is no object."""
    text = send("JSON.GET", key, ".")
    try:
        document = (
            None
            if text is None
            else loads(text.decode(errors="replace") if isinstance(text, bytes) else text)
        )
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _seconds_of(document: dict[str, Any]) -> float:
    seconds = document.get("timestamp")
    try:
        found = float(seconds)  # type: ignore[arg-type] # any type; others raise
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return found if math.isfinite(found) else 0.0


def _entry(send: Commands, position: int, key: str) -> Entry:
    document = _document_at(send, key)
    if document is None:
        raise Unreadable("is there no longer")
    said, details, warnings = envelope.read(document)
    said["timestamp"] = _moment_of(document)
    details |= {"message_key": key}
    if said["timestamp"] is None and document.get("timestamp"):
        details |= {"timestamp": document["timestamp"]}
        warnings = (*warnings, "a time that is none was kept as it is")
    return Entry(position, said, id=key, details=details, warnings=warnings)


def _moment_of(document: dict[str, Any]) -> datetime | None:
    """Return the time by the writer's clock, or None where the document has none."""
    try:
        return datetime.fromtimestamp(_seconds_of(document), UTC) if _seconds_of(document) else None
    except (ValueError, OverflowError, OSError):
        return None
