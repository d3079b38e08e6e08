"""Whole streams, folded: what each would have led to, had all its events come in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import attrgetter

from eventsourcing.persistence import StoredEvent

from domain.aggregate import Started
from domain.commands import KINDS
from domain.errors import RecordUnreadable
from domain.events import Event
from domain.messages import fold_messages
from eventlog.changes import StreamChange
from eventlog.mapper import EventMapper

SetAside = Callable[[RecordUnreadable], object]
"""Told of a stream with an event that cannot be read, which is then passed over; may raise it instead."""


def fold_streams(
    stored: Iterable[StoredEvent], mapper: EventMapper, set_aside: SetAside
) -> Iterator[StreamChange]:
    """One change for each stream. ``stored``: whole streams, one after the other, by version."""
    for _, entries in groupby(stored, key=attrgetter("originator_id")):
        try:
            change = fold_stream([mapper.to_domain_event(entry) for entry in entries])
        except RecordUnreadable as error:
            set_aside(error)
        else:
            yield change


def fold_stream(events: list[Event]) -> StreamChange:
    """Raises RecordUnreadable for a stream that does not begin with its beginning."""
    first = events[0]
    if not isinstance(first, Started):
        raise RecordUnreadable(
            "the stream has to begin with what started it",
            stream_id=first.originator_id,
            version=first.originator_version,
            topic=first.TOPIC,
        )
    state = KINDS[events[0].TOPIC.partition(".")[0]].project_all(None, events)
    assert state is not None
    return StreamChange(state, events, fold_messages({}, events))
