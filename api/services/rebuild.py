"""Rebuilding the views in the background of a server, in a process of its own."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from multiprocessing.process import BaseProcess

from recountdb.domain.errors import RecountError
from recountdb.eventlog.postgres.database import connect
from recountdb.projections.rebuild import shadow
from recountdb.projections.rebuild.build import end_with_parent
from recountdb.projections.rebuild.progress import begin, carry_out

logger = logging.getLogger(__name__)


class Rebuilding:
    """Starts rebuilds. There is one at a time, whichever server or command started it.

    What becomes of it is in the database, where any server can read it. It ends with this server; the
    next rebuild of the same views goes on where it was.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._process: BaseProcess | None = None
        self._watching: threading.Thread | None = None

    def start(self, names: Sequence[str], *, is_rehearsal: bool) -> None:
        """Raises RebuildUnderWay; returns as soon as this one is noted as begun."""
        with ExitStack() as stack:
            connection = stack.enter_context(connect(self._conninfo))
            stack.enter_context(shadow.alone(connection))
            number = begin(connection, names, is_rehearsal=is_rehearsal)
            # A server that folded itself would have its requests wait.
            self._process = multiprocessing.get_context("spawn").Process(
                target=work,
                args=(self._conninfo, number, names, is_rehearsal, connection.session_pid),
                daemon=True,
            )
            self._process.start()
            held = stack.pop_all()  # nobody else may begin one until the process has ended
        self._watching = threading.Thread(target=_watch, args=(self._process, held), name="recount-rebuild")
        self._watching.start()

    def stop(self) -> None:
        """End one that is under way here."""
        if self._process is not None and self._watching is not None:
            self._process.terminate()
            self._watching.join()


def _watch(process: BaseProcess, held: ExitStack) -> None:
    process.join()
    try:
        held.close()
    except Exception as error:  # the connection broke, and with it the lock is gone
        logger.warning("the lock of a rebuild was lost (%s)", type(error).__name__)


def work(conninfo: str, number: int, names: Sequence[str], is_rehearsal: bool, holder: int) -> None:
    """In the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends it, in its own time
    end_with_parent()
    try:
        carry_out(conninfo, number, names, is_rehearsal=is_rehearsal, holder=holder)
    except RecountError as error:
        logger.error("a rebuild failed: %s", error)
    except Exception as error:
        logger.error("a rebuild failed (%s)", type(error).__name__)
