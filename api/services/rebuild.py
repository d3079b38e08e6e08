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
    """Starter of rebuilds. One runs at a time, no matter which server or command started it.

    The outcome is in the database, where any server can read it. A rebuild ends with this server; the
    next rebuild of the same views continues where it stopped.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._process: BaseProcess | None = None
        self._watching: threading.Thread | None = None

    def start(self, names: Sequence[str], *, is_rehearsal: bool) -> None:
        """Start a rebuild, and return as soon as it is recorded as begun. Raises RebuildUnderWay."""
        with ExitStack() as stack:
            connection = stack.enter_context(connect(self._conninfo))
            stack.enter_context(shadow.alone(connection))
            number = begin(connection, names, is_rehearsal=is_rehearsal)
            # If the server folded events itself, its requests would wait.
            self._process = multiprocessing.get_context("spawn").Process(
                target=work,
                args=(self._conninfo, number, names, is_rehearsal, connection.session_pid),
                daemon=True,
            )
            self._process.start()
            held = stack.pop_all()  # the lock is held until the process has ended
        self._watching = threading.Thread(target=_watch, args=(self._process, held), name="recount-rebuild")
        self._watching.start()

    def stop(self) -> None:
        """End a rebuild that this server started, if one is under way."""
        if self._process is not None and self._watching is not None:
            self._process.terminate()
            self._watching.join()


def _watch(process: BaseProcess, held: ExitStack) -> None:
    process.join()
    try:
        held.close()
    except Exception as error:  # the connection broke, which released the lock
        logger.warning("the lock of a rebuild was lost (%s)", type(error).__name__)


def work(conninfo: str, number: int, names: Sequence[str], is_rehearsal: bool, holder: int) -> None:
    """Rebuild views in the process that was started for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when this process ends
    end_with_parent()
    try:
        carry_out(conninfo, number, names, is_rehearsal=is_rehearsal, holder=holder)
    except RecountError as error:
        logger.error("a rebuild failed: %s", error)
    except Exception as error:
        logger.error("a rebuild failed (%s)", type(error).__name__)
