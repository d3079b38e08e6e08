"""Tamper evidence: the events of each stream are links of a SHA-256 chain.

    commitment = SHA-256(salt ‖ payload)
    link       = SHA-256(link before it ‖ place ‖ commitment)

``payload`` is the stored JSON text, byte for byte. ``salt`` is 16 random bytes; without them nobody
can find the payload by trying, and they are erased with it, so that the chain of an erased stream
still holds and tells nothing. ``place`` is everything known of an event besides its payload:

    stream id       16 bytes
    version          8 bytes, big-endian
    recorded at      8 bytes, big-endian, microseconds since 1970-01-01 UTC
    topic            its length in 2 bytes, big-endian, then UTF-8
    project          to the end, UTF-8

The link before the first is 32 zero bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple, Protocol
from uuid import UUID

from recountdb.domain.errors import VersionConflict
from recountdb.eventlog.log.rows import Link, StoredRow

GENESIS = bytes(32)
SALT_BYTES = 16
HEADS_MAX = 100_000

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Placed(Protocol):
    """A stored event without its payload."""

    @property
    def originator_id(self) -> UUID: ...
    @property
    def originator_version(self) -> int: ...
    @property
    def topic(self) -> str: ...
    @property
    def project(self) -> str: ...
    @property
    def recorded_at(self) -> datetime: ...


class Head(NamedTuple):
    """The last link of a stream, and its version."""

    version: int
    link: bytes


def commitment_to(salt: bytes, payload: bytes) -> bytes:
    return sha256(salt + payload).digest()


def link_after(previous: bytes, event: Placed, commitment: bytes) -> bytes:
    topic = event.topic.encode()
    place = b"".join(
        (
            event.originator_id.bytes,
            event.originator_version.to_bytes(8, "big"),
            ((event.recorded_at - EPOCH) // MICROSECOND).to_bytes(8, "big", signed=True),
            len(topic).to_bytes(2, "big"),
            topic,
            event.project.encode(),
        )
    )
    return sha256(previous + place + commitment).digest()


class Chain:
    """Chain that links new events to those before them in their streams. For one thread.

    ``find_links`` returns the links of events by stream and version, for streams not written to lately.
    """

    def __init__(self, find_links: Callable[[Mapping[UUID, int]], Mapping[UUID, bytes]]) -> None:
        self._find_links = find_links
        self._heads: dict[UUID, Head] = {}

    def links_for(self, rows: Sequence[StoredRow]) -> list[Link]:
        """Return the links of ``rows``, in their order, which must be that of versions within a stream."""
        heads = self._heads_before({row.originator_id: row.originator_version - 1 for row in reversed(rows)})
        salts = os.urandom(SALT_BYTES * len(rows))
        links = []
        for number, row in enumerate(rows):
            salt = salts[SALT_BYTES * number : SALT_BYTES * (number + 1)]
            previous = heads[row.originator_id]
            link = link_after(previous, row, commitment_to(salt, row.state))
            heads[row.originator_id] = link
            links.append(Link(salt, link))
        return links

    def _heads_before(self, versions: Mapping[UUID, int]) -> dict[UUID, bytes]:
        heads, unknown = {}, {}
        for stream_id, version in versions.items():
            head = self._heads.get(stream_id)
            if version == 0:
                heads[stream_id] = GENESIS
            elif head is not None and head.version == version:
                heads[stream_id] = head.link
            else:
                unknown[stream_id] = version
        if unknown:
            found = self._find_links(unknown)
            if found.keys() != unknown.keys():
                raise VersionConflict  # the stream is not as this process thinks
            heads.update(found)
        return heads

    def keep(self, rows: Sequence[StoredRow], links: Sequence[Link]) -> None:
        """Remember the links of ``rows``. Call it only after they are committed."""
        if len(self._heads) > HEADS_MAX:
            self._heads.clear()
        for row, (_, link) in zip(rows, links, strict=True):
            self._heads[row.originator_id] = Head(row.originator_version, link)

    def forget(self) -> None:
        """Drop all remembered links."""
        self._heads.clear()
