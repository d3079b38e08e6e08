"""Following the log: every event once, in order, as soon as its position is settled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

from eventsourcing.persistence import Notification, Subscription

from recountdb.domain.errors import Unavailable
from recountdb.eventlog.log.epoch import Epochs, LogPosition
from recountdb.eventlog.log.reader import LogReader
from recountdb.eventlog.log.rows import LogEntry
from recountdb.eventlog.log.settled_positions import SettledPositions


class LogSubscription(Subscription[LogReader]):
    """The library's subscription, over settled positions only. For one consuming thread."""

    def __init__(self, recorder: LogReader, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        super().__init__(recorder, gt=gt, topics=topics)
        self._positions = SettledPositions(recorder.database.conninfo, gt=gt or 0)
        self._epochs: Epochs | None = None
        self._read_to = gt or 0
        self._settled = gt or 0
        self._entries: Iterator[LogEntry] = iter(())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            entry = next(self._entries, None)
            if entry is not None:
                return entry
            if self._read_to >= self._settled:
                self._settled = next(self._positions)
                self._check_epoch()
            try:
                self._entries = iter(self._page())
            except Unavailable:
                self._positions.pause()
        self._positions.close()
        raise StopIteration

    def _check_epoch(self) -> None:
        """Raise OlderEpoch when the log is in another epoch than when the subscription began."""
        epochs = self._positions.epochs
        assert epochs is not None
        if self._epochs is not None:
            epochs.check(LogPosition(self._epochs.current.name, self._read_to))
        self._epochs = epochs

    def _page(self, limit: int = 500) -> Sequence[LogEntry]:
        page = self._recorder.select_notifications(
            self._read_to, limit, self._settled, self._topics, inclusive_of_start=False
        )
        # Otherwise there is nothing more of these topics up to the settled position.
        has_more = page.is_cut or len(page) == limit
        self._read_to = page[-1].id if has_more else self._settled
        return page

    def stop(self) -> None:
        super().stop()
        self._positions.stop()

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        super().__exit__(*args, **kwargs)
        self._positions.close()
