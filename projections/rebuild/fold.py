"""Folding of whole streams, each into the change that all its events make in a single transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from eventsourcing.persistence import StoredEvent

from recountdb.domain.aggregate import Started
from recountdb.domain.catalog import KINDS
from recountdb.domain.errors import RecordUnreadable
from recountdb.domain.events import Erased
from recountdb.domain.messages import fold_messages
from recountdb.eventlog.log.mapper import EventMapper, Row, make_unreadable
from recountdb.eventlog.write.ports import StreamChange

Quarantine = Callable[[RecordUnreadable], object]
"""Callback for a stream with an event that cannot be read. The stream is skipped unless it raises."""


def fold_streams(rows: Iterable[Row], mapper: EventMapper, quarantine: Quarantine) -> Iterator[StreamChange]:
    """Yield one change for each stream. ``rows``: whole streams, one after the other, by version."""
    for _, stream in groupby(rows, key=lambda row: row[0].int):
        try:
            change = _fold_stream(list(stream), mapper)
        except RecordUnreadable as error:
            quarantine(error)
        else:
            yield change


def _fold_stream(rows: Sequence[Row], mapper: EventMapper) -> StreamChange:
    """Return the change that all events of a stream make.

    Raises RecordUnreadable, also when the stream does not begin with the event that starts it.
    """
    events = mapper.to_domain_events(rows)
    _, _, topic, _ = rows[0]
    kind = KINDS[topic.partition(".")[0]]
    if not isinstance(events[0], Started | Erased):
        raise make_unreadable(StoredEvent(*rows[0]), "the stream has to begin with what started it")
    state = kind.project_all(None, events)
    if state is None:
        raise make_unreadable(StoredEvent(*rows[-1]), "the stream was erased, but never purged")
    messages = {} if state.is_purged else fold_messages({}, events)
    return StreamChange(state, events, messages)
