"""Checks that a file holds a whole log, and that each event follows from those before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from recountdb.eventlog.archive.lines import EVENT, Archive, ArchiveRefused, Closing
from recountdb.eventlog.archive.read import ChecksumWrong, NumberedEvent, Source, events_in, read_header, walk
from recountdb.eventlog.integrity.chain import GENESIS, HEADS_MAX, Head
from recountdb.eventlog.integrity.verify import Progress, flaw_of

TOLD = 2000  # lines read between two calls of ``progress``

BATCH_EVENTS = 2000
BATCH_BYTES = 8_000_000
"""An import commits after this many events or this many bytes of them, whichever comes first."""

FindLinks = Callable[[Mapping[UUID, int]], Mapping[UUID, bytes]]


def check(source: Source, progress: Progress) -> Archive:
    """Read the whole file once and verify its checksum. Raises ArchiveRefused, naming the line if it can."""
    header, last = read_header(source), b""
    try:
        with source() as stream:
            for number, _, line in walk(stream):
                last = line
                if number % TOLD == 0:
                    progress(TOLD)
    except ChecksumWrong:
        _tell_where(source)
        raise
    closing = Closing.model_validate_json(last)
    if closing.events != header.events:
        raise ArchiveRefused(f"the file should hold {header.events} events, but it has {closing.events}")
    return Archive(header, closing.checkpoints, closing.sha256)


def _tell_where(source: Source) -> None:
    """Raise ArchiveRefused for the first event that is not as recorded, if the damage is in an event."""
    heads = Heads()
    with source() as stream, suppress(ChecksumWrong):
        for kind, lines in groupby(walk(stream), key=itemgetter(1)):
            if kind == EVENT:
                for batch in batches(events_in(lines)):
                    heads.check(batch)


def batches(events: Iterable[NumberedEvent]) -> Iterator[list[NumberedEvent]]:
    """Yield events in batches that each fit into one transaction."""
    batch: list[NumberedEvent] = []
    size = 0
    for event in events:
        batch.append(event)
        size += event.size
        if len(batch) >= BATCH_EVENTS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Heads:
    """The last links of the streams read so far.

    ``find_links`` returns the links of events by stream and version, for streams not met lately; without it
    such a stream is assumed to go on correctly.
    """

    def __init__(self, find_links: FindLinks | None = None) -> None:
        self._find_links = find_links
        self._heads: dict[UUID, Head | None] = {}

    def check(self, batch: Sequence[NumberedEvent]) -> None:
        """Raise ArchiveRefused for the first event that does not follow those before it in its stream."""
        if len(self._heads) > HEADS_MAX:
            self._heads.clear()
        self._look_up(batch)
        for event in batch:
            row = event.row
            head = self._heads.get(row.originator_id, Head(0, GENESIS))
            if head is not None and (flaw := flaw_of(row, head.version, head.link)):
                is_missing = flaw.position is None
                raise event.refused("one before it in its stream is missing" if is_missing else flaw.reason)
            self._heads[row.originator_id] = Head(row.originator_version, row.link)

    def _look_up(self, batch: Sequence[NumberedEvent]) -> None:
        """Load the heads of the streams that go on in ``batch``; None for a stream assumed to be correct."""
        versions = {
            event.row.originator_id: event.row.originator_version - 1
            for event in reversed(batch)
            if event.row.originator_id not in self._heads
        }
        versions = {stream_id: version for stream_id, version in versions.items() if version > 0}
        if self._find_links is None:
            self._heads.update(dict.fromkeys(versions))
        elif versions:
            for stream_id, link in self._find_links(versions).items():
                self._heads[stream_id] = Head(versions[stream_id], link)
