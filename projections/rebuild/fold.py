"""Whole streams, folded: what each would have led to, had all its events come in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from eventsourcing.persistence import StoredEvent

from recountdb.domain.aggregate import Started
from recountdb.domain.commands import KINDS
from recountdb.domain.errors import RecordUnreadable
from recountdb.domain.events import Erased
from recountdb.domain.messages import fold_messages
from recountdb.eventlog.log.mapper import EventMapper, Row, unreadable
from recountdb.eventlog.write.ports import StreamChange

SetAside = Callable[[RecordUnreadable], object]
"""Told of a stream with an event that cannot be read, which is then passed over; may raise it instead."""


def fold_streams(rows: Iterable[Row], mapper: EventMapper, set_aside: SetAside) -> Iterator[StreamChange]:
    """One change for each stream. ``rows``: whole streams, one after the other, by version."""
    for _, stream in groupby(rows, key=lambda row: row[0].int):
        try:
            change = _fold_stream(list(stream), mapper)
        except RecordUnreadable as error:
            set_aside(error)
        else:
            yield change


def _fold_stream(rows: Sequence[Row], mapper: EventMapper) -> StreamChange:
    """Raises RecordUnreadable, also for a stream that does not begin with its beginning."""
    events = mapper.to_domain_events(rows)
    _, _, topic, _ = rows[0]
    kind = KINDS[topic.partition(".")[0]]
    if not isinstance(events[0], Started | Erased):
        raise unreadable(StoredEvent(*rows[0]), "the stream has to begin with what started it")
    state = kind.project_all(None, events)
    if state is None:
        raise unreadable(StoredEvent(*rows[-1]), "the stream was erased, but never purged")
    messages = {} if state.is_purged else fold_messages({}, events)
    return StreamChange(state, events, messages)
