"""Recorded reads: who asked for what, and when. They are off unless the setting audit_reads is on.

A request only leaves a note in memory; a thread writes the notes down, many at a time. So a request never
waits, and a process that is killed may lose the notes of its last half second.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from pydantic_core import to_json

from recountdb.domain.errors import Unavailable
from recountdb.eventlog.postgres.clock import Clock
from recountdb.eventlog.postgres.database import APPEND, Connection, Database, connect
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.followers.eraser import ErasedStream
from recountdb.projections.lists.paging import KEY_MAX, Page, Window, make_page

SQL = Statements(__name__, "read_audit")

PAUSE_SECONDS = 0.5
BATCH_MAX = 1000
WAITING_MAX = 50_000  # notes kept while the database does not answer; later ones are lost

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordedRead:
    """A read to record. ``route`` is the pattern, ``parameters`` the values in the path for its parts."""

    number: int
    read_at: datetime
    project: str
    actor: str
    request_id: str
    method: str
    route: str
    parameters: dict[str, str]
    status: int


class ReadRecorder:
    """Recorder that takes notes of reads, and a thread that writes them to the database."""

    def __init__(self, conninfo: str) -> None:
        self.clock = Clock()  # until it is replaced by the database's clock
        self._conninfo = conninfo
        self._notes: deque[dict[str, Any]] = deque()
        self._lost = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recount-reads", daemon=True)
        self._connection: Connection | None = None

    def start(self) -> None:
        self._thread.start()

    def note(
        self,
        *,
        project: str,
        actor: str,
        request_id: str,
        method: str,
        route: str,
        parameters: Mapping[str, str],
        status: int,
    ) -> None:
        """Take a note of a read and return at once. Any thread may call this."""
        if len(self._notes) >= WAITING_MAX:
            self._lost += 1
            return
        self._notes.append(
            {
                "read_at": self.clock.now(),
                "project": project,
                "actor": actor,
                "request_id": request_id,
                "method": method,
                "route": route,
                "parameters": dict(parameters),
                "status": status,
            }
        )

    def stop(self) -> None:
        """Write down the notes there are, and end."""
        self._stopped.set()
        self._thread.join(5)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stopped.wait(PAUSE_SECONDS)
            try:
                while self._write_some():
                    pass
            except (psycopg.Error, Unavailable):
                self._connection = None  # the notes are kept, and written the next time
        if self._connection is not None:
            self._connection.close()

    def _write_some(self) -> bool:
        """Write a batch. Return False when nothing is left."""
        if self._lost:
            logger.error("%s reads were not recorded: the database did not answer for too long", self._lost)
            self._lost = 0
        rows = [self._notes[index] for index in range(min(len(self._notes), BATCH_MAX))]
        if not rows:
            return False
        if self._connection is None:
            self._connection = connect(self._conninfo, APPEND)
        self._connection.execute(SQL["insert_reads"], [to_json(rows).decode()])
        for _ in rows:
            self._notes.popleft()
        return True


def forget_reads(connection: Connection, subject: ErasedStream) -> None:
    """Replace, in the recorded reads of a stream that is being erased, its name by its id."""
    bounds = {
        "kind": subject.kind,
        "project": subject.project,
        "stream_id": str(subject.stream_id),
        "names": list(subject.names),
        "until": subject.purged_at,
    }
    connection.execute(SQL["forget_reads"], bounds, prepare=False)


def page_reads(
    database: Database, project: str | None, window: Window, *, actor: str | None = None
) -> Page[RecordedRead]:
    """Return a page of recorded reads by number. None means all projects, or all actors."""
    is_newest_first = window.order == "newest"
    after = window.after()
    end = KEY_MAX if is_newest_first else 0
    bound = {"project": project, "actor": actor, "limit": window.limit + 1}
    bound["after"] = end if after is None else after
    sql = SQL["select_reads_descending" if is_newest_first else "select_reads"]
    rows = database.fetch(sql, bound, prepare=False)
    return make_page([RecordedRead(*row) for row in rows], window, lambda read: read.number)
