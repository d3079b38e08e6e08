"""Rebuilds of the views from the log, beside those in use, which they then replace.

The new rows are made as the old ones were: the events of a stream are folded, and each view returns
the rows that follow (``writes_for``). Only the way into the tables differs: whole streams at a time, by COPY,
into tables of the same shape whose names begin with ``rebuild_``, by any number of processes.

Writers go on writing to the views in use. The rebuild catches up with what they add: streams with newer
events are folded again. At the end writers wait for some milliseconds, while the last events are caught up
with and the tables are renamed; the names of the old ones then begin with ``previous_``.

The work is cut into *units*, ranges of streams, and each is marked as done in the transaction that writes
its rows, so a rebuild that was killed continues where it stopped.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from copy import copy
from itertools import groupby, islice
from operator import itemgetter
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from recountdb.domain.aggregate import Aggregate
from recountdb.domain.catalog import events_by_topic
from recountdb.domain.errors import RecordUnreadable
from recountdb.domain.messages import MessageEvent, MessageState, fold_messages
from recountdb.eventlog.log.mapper import EventMapper, Row
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.log.recorder import as_json
from recountdb.eventlog.log.rows import make_stored_event
from recountdb.eventlog.postgres.database import Connection, connect, translate_errors
from recountdb.eventlog.postgres.exclusive_locks import keep_alive
from recountdb.eventlog.postgres.statements import Statements
from recountdb.eventlog.write.ports import StreamChange
from recountdb.projections.rebuild import shadow
from recountdb.projections.rebuild.copy import copy_lines, load_columns, make_line_encoder
from recountdb.projections.rebuild.fold import fold_streams
from recountdb.projections.rebuild.shadow import Difference
from recountdb.projections.views.messages import SQL as MESSAGES
from recountdb.projections.views.registry import BY_NAME
from recountdb.projections.views.tables import (
    SHADOW,
    has_tables,
    list_tables,
    load_versions,
    replace_table,
    select_stream_tables,
)

SQL = Statements(__name__, "build")

FETCHED = 2000  # rows of the log that are read at a time
CHANGES = 100  # streams that are turned into rows at a time
CAUGHT_UP = 200  # events left: few enough to be caught up with while writers wait
CATCH_UPS_MAX = 10

FIND_MESSAGES = replace_table(MESSAGES["find_messages"], "messages", f"{SHADOW}messages")

Progress = Callable[[int], object]
"""Callback that takes how many events were folded since the last call."""


def _raise_unreadable(error: RecordUnreadable) -> None:
    raise error


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Suspend garbage collection.

    Searching ever more events for reference cycles, of which there are none, takes longer than all else.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Folder:
    """Worker that folds streams and copies their rows into the shadow tables, over one connection.

    With ``quarantine``, streams with an event that cannot be read are noted and skipped.
    """

    def __init__(self, connection: Connection, *, quarantine: bool = False) -> None:
        self._connection = connection
        self._quarantined: list[RecordUnreadable] = []
        self._quarantine = self._quarantined.append if quarantine else _raise_unreadable
        self._states: dict[UUID, Aggregate] | None = None  # of streams met while catching up
        self._mapper = EventMapper(events_by_topic())
        self._views = [BY_NAME[name] for name in load_versions(connection, SHADOW)]
        self._columns = {table: load_columns(connection, table) for table in list_tables(connection)}
        self._line_of = {table: make_line_encoder(columns) for table, columns in self._columns.items()}

    def fold_unit(self, take: str = "take_unit") -> int:
        """Fold one unit that is not done, and return how many events it had; 0 when no unit is left.

        ``take``: the statement that chooses the unit; ``take_free_unit`` skips units that others work on.
        """
        with translate_errors(), self._connection.transaction(), _no_garbage_collection():
            self._connection.execute(SQL["flush_later"])
            for number, low, high, events in self._connection.execute(SQL[take]).fetchall():
                with self._connection.cursor("recount_streams") as cursor:
                    cursor.itersize = FETCHED
                    # In binary form, and payloads as bytes, rows take a third of the time.
                    cursor.execute(SQL["select_streams"], [low, high], binary=True)
                    self.fold(cursor)
                self._connection.execute(SQL["finish_unit"], [number])
                return int(events)
        return 0

    def fold(self, stored: Iterable[Row]) -> None:
        """Copy the rows of whole streams, none of which are in the shadow tables yet."""
        lines: dict[str, list[bytes]] = {table: [] for table in select_stream_tables(self._columns)}
        numbers: dict[tuple[str, str], dict[str, Any]] = {}
        changes = fold_streams(stored, self._mapper, self._quarantine)
        while some := list(islice(changes, CHANGES)):
            if self._states is not None:
                self._states.update((change.state.id, change.state) for change in some)
            purged = {change.state.id for change in some if change.state.is_purged}
            for table, _, rows in (write for view in self._views for write in view.writes_for(some)):
                if table == "counters":
                    for row in rows:
                        key = (row["project"], row["kind"])
                        numbers[key] = max(row, numbers.get(key, row), key=itemgetter("last"))
                else:
                    kept = (row for row in rows if row["stream_id"] not in purged) if purged else rows
                    lines[table] += map(self._line_of[table], kept)
        for table, found in lines.items():
            if found:
                copy_lines(self._connection, f"{SHADOW}{table}", list(self._columns[table]), found)
        self._note_quarantined()
        # Once, in order, and last of all, because several processes lock these rows.
        self._raise_counters(list(numbers.values()))

    def _note_quarantined(self) -> None:
        shadow.quarantine_streams(self._connection, self._quarantined)
        self._quarantined.clear()

    def _raise_counters(self, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(SQL["raise_counters"], [as_json(rows)])

    def catch_up(self, settled: int) -> int:
        """Take in the events recorded since the last call, and return how many these were.

        A stream that is met for the first time is folded anew. From then on its state is known, and the
        rows of further events are written as appends write them, only into the shadow tables.
        """
        states = self._states = {} if self._states is None else self._states
        with translate_errors(), self._connection.transaction():
            ((position,),) = self._connection.execute(SQL["caught_up_to"]).fetchall()
            aside = list(shadow.load_quarantine(self._connection))
            found = self._connection.execute(SQL["events_since"], [position, settled, aside]).fetchall()
            newer = {
                stream_id: [make_stored_event(row) for row in rows]
                for stream_id, rows in groupby(found, key=itemgetter(0))
            }
            unknown = [stream_id for stream_id in newer if stream_id not in states]
            self._append({stream_id: newer[stream_id] for stream_id in newer if stream_id in states})
            shadow.clear_streams(self._connection, unknown)
            self.fold(self._connection.execute(SQL["select_some_streams"], [unknown], binary=True))
            self._connection.execute(SQL["note_caught_up"], [settled])
        return len(found)

    def _append(self, newer: Mapping[UUID, Sequence[StoredEvent]]) -> None:
        """Write the rows that follow from events of streams whose states are known."""
        found = (self._change(stream_id, stored) for stream_id, stored in newer.items())
        changes = [change for change in found if change is not None]
        self._note_quarantined()
        for table, sql, rows in (write for view in self._views for write in view.writes_for(changes)):
            if table == "counters":
                self._raise_counters(rows)
            elif rows:
                shadow_sql = replace_table(sql, table, f"{SHADOW}{table}")
                self._connection.execute(shadow_sql, [as_json(rows)])

    def _change(self, stream_id: UUID, stored: Sequence[StoredEvent]) -> StreamChange | None:
        """Return the change that ``stored`` makes; None when all of it was folded already."""
        assert self._states is not None
        state = self._states[stream_id]
        try:
            events = [self._mapper.to_domain_event(e) for e in stored if e.originator_version > state.version]
        except RecordUnreadable as error:
            self._quarantine(error)
            return None
        if not events:
            return None
        ids = [event.message_id for event in events if isinstance(event, MessageEvent)]
        rows = self._connection.execute(FIND_MESSAGES, {"stream_id": stream_id, "ids": ids, "instants": []})
        known = {message.id: message for message in (MessageState(*row) for row in rows)}
        for event in events:
            state = state.evolve(event)
        self._states[stream_id] = state
        return StreamChange(state, events, fold_messages(known, events))

    def for_one_try(self) -> Folder:
        """Return a copy for a transaction that may be rolled back, so that this folder keeps its states."""
        tried = copy(self)
        tried._states = dict(self._states or {})
        return tried

    def come_close(self) -> None:
        """Catch up until few events are left, at most CATCH_UPS_MAX times: writers may be faster."""
        for _ in range(CATCH_UPS_MAX):
            if self.catch_up(settled_position(self._connection)) <= CAUGHT_UP:
                break


def fill_views(
    conninfo: str,
    names: Collection[str] = tuple(BY_NAME),
    *,
    workers: int = 1,
    quarantine: bool = False,
    progress: Progress = lambda count: None,
) -> None:
    """Fill the shadow tables of these views from the whole log, or continue a rebuild that was stopped.

    Raises RecordUnreadable, which names stream and version, for an event that cannot be read, unless
    ``quarantine`` says to set such streams aside.
    """
    with translate_errors(), connect(conninfo) as connection:
        if not quarantine and has_tables(connection, SHADOW) and shadow.load_quarantine(connection):
            shadow.drop_shadow(connection)
        shadow.create_shadow(connection, settled_position(connection), names)
        fill_shadow(conninfo, workers, progress, quarantine=quarantine)
        shadow.index_shadow(connection)
        Folder(connection, quarantine=quarantine).come_close()


def count_log(connection: Connection) -> int:
    """Return how many events the log has."""
    ((events,),) = connection.execute(SQL["log_size"]).fetchall()
    return int(events)


def fill_shadow(conninfo: str, workers: int, progress: Progress, *, quarantine: bool = False) -> None:
    """Fold all units that are not done."""
    if workers > 1:
        _fill_together(conninfo, workers, progress, quarantine=quarantine)
    # PostgreSQL may still work on a unit for a rebuild that was killed. This waits for it, and then folds
    # the unit unless it was finished after all.
    with connect(conninfo) as connection, keep_alive(connection):
        for events in iter(Folder(connection, quarantine=quarantine).fold_unit, 0):
            progress(events)


def _fill_together(conninfo: str, workers: int, progress: Progress, *, quarantine: bool) -> None:
    """Fold the units that no other process works on, in ``workers`` processes."""
    spawning = multiprocessing.get_context("spawn")
    initial = (conninfo, quarantine)
    with ProcessPoolExecutor(workers, spawning, initializer=_begin_work, initargs=initial) as pool:
        running = {pool.submit(fold_unit) for _ in range(workers)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for events in (future.result() for future in done):
                if events:
                    progress(events)
                    running.add(pool.submit(fold_unit))


_folder: list[Folder] = []
"""The folder of a process of the pool, for all units that it folds."""

_kept = ExitStack()
"""The resources that a process of the pool keeps until it ends."""


def _begin_work(conninfo: str, quarantine: bool) -> None:
    exit_with_parent()
    connection = connect(conninfo)
    _kept.enter_context(keep_alive(connection))  # to the end of the process
    _folder.append(Folder(connection, quarantine=quarantine))


def exit_with_parent() -> None:
    """Make this process exit when its parent process is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="recount-parent", daemon=True).start()


def fold_unit() -> int:
    return _folder[0].fold_unit("take_free_unit")


def find_differences(connection: Connection) -> Iterator[Difference]:
    """Yield the rows in use that differ from the log, after ``rebuild``.

    Rows of streams that were written to since, are being erased, or were set aside are left out.
    """
    with translate_errors(), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        ((position,),) = connection.execute(SQL["caught_up_to"]).fetchall()
        ((newer, _),) = connection.execute(SQL["streams_since"], [position, 2**63 - 1])
        erased = [stream_id for (stream_id,) in connection.execute(SQL["being_erased"])]
        aside = shadow.load_quarantine(connection)
        yield from shadow.compare_tables(connection, but=[*(newer or []), *erased, *aside])


def swap_in(conninfo: str, *, quarantine: bool = False, holder: int | None = None) -> float:
    """Swap in the rebuilt tables, and return for how many seconds writers waited.

    ``holder``: the session that must still hold the lock of the rebuild (see shadow.check_rebuild_lock).
    """
    with translate_errors(), connect(conninfo) as connection, keep_alive(connection):
        folder = Folder(connection, quarantine=quarantine)

        def catch_up() -> Callable[[], object]:
            tried = folder.for_one_try()
            tried.catch_up(settled_position(connection))
            return lambda: tried.catch_up(_last_position(connection))

        folder.come_close()
        return shadow.swap_tables(connection, catch_up, holder=holder)


def _last_position(connection: Connection) -> int:
    ((last,),) = connection.execute(SQL["last_position"]).fetchall()
    return int(last)


def roll_back_rebuild(conninfo: str, *, holder: int | None = None) -> float:
    """Swap in the tables from before the last rebuild again, caught up with the log.

    Returns for how many seconds writers waited. ``holder``: see swap_in. Raises NotFound when there
    are no such tables.
    """
    with translate_errors(), connect(conninfo) as connection:
        shadow.restore_previous(connection)
        quarantine = bool(shadow.load_quarantine(connection))
    return swap_in(conninfo, quarantine=quarantine, holder=holder)
