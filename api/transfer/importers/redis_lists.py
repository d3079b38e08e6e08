"""The Redis lists of LangChain, in Python and JavaScript, Flowise and n8n: one for each conversation.

Their programs push messages at the head, without ids and times, so only their order is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from recountdb.api.transfer.importers import envelope, redis_documents
from recountdb.api.transfer.importers.redis_commands import Commands, keys_like, oldest_first, ttl_seconds
from recountdb.api.transfer.importers.source import Entry, Source, Talk, Unreadable, entry_of, given

KIND = "redis"
PREFIX = "message_store:"
LOOKED_AT = 20
"""The number of newest elements looked at to see whether a list holds messages; some may be damaged."""


@dataclass(frozen=True)
class Wanted:
    """The keys to import: those like ``patterns``, and ``keys``. ``prefix`` is no part of a session's id.

    Without patterns and keys, the keys that LangChain's Python packages write.
    """

    patterns: Sequence[str] = ()
    keys: Sequence[str] = ()
    prefix: str = PREFIX


def read(send: Commands, wanted: Wanted) -> Source:
    """Return a source of the lists, followed by the documents of langchain-redis."""
    is_default = not wanted.patterns and not wanted.keys
    patterns = [f"{wanted.prefix}*"] if is_default else wanted.patterns
    documents = [f"{redis_documents.PREFIX}*"] if is_default else wanted.patterns
    return Source(chain(_talks(send, patterns, wanted), redis_documents.talks(send, documents)))


def _talks(send: Commands, patterns: Sequence[str], wanted: Wanted) -> Iterator[Talk]:
    for key in wanted.keys:
        yield _talk(send, key, wanted.prefix)
    found = chain.from_iterable(keys_like(send, pattern, "list") for pattern in patterns)
    for key in dict.fromkeys(key for key in found if key not in wanted.keys):
        if _holds_messages(send, key):
            yield _talk(send, key, wanted.prefix)


def _holds_messages(send: Commands, key: str) -> bool:
    """Return whether one of the newest elements, or the oldest, is a message. Others keep lists, too."""
    elements = [*send("LRANGE", key, 0, LOOKED_AT - 1), *send("LRANGE", key, -1, -1)]
    return any(map(_is_message, elements))


def _is_message(element: bytes | str) -> bool:
    try:
        envelope.read_text(element)
    except Unreadable as reason:
        return str(reason) == envelope.REMOVES
    return True


def _talk(send: Commands, key: str, prefix: str) -> Talk:
    elements = oldest_first(send, key) if _is_list(send, key) else []
    return Talk(
        KIND,
        key,
        key.removeprefix(prefix),
        [entry_of(place, partial(_entry, place, element)) for place, element in enumerate(elements)],
        details=given({"ttl_seconds": ttl_seconds(send, key)}),
        refusal="" if elements else "there is no list under this key",
    )


def _is_list(send: Commands, key: str) -> bool:
    return send("TYPE", key) in (b"list", "list")


def _entry(position: int, element: bytes | str) -> Entry:
    said, details, warnings = envelope.read_text(element)
    return Entry(position, said, details=details, warnings=warnings)
