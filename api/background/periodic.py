"""Periodic work of a server, beside its requests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from recountdb.domain.errors import Unavailable

logger = logging.getLogger(__name__)


FIRST_SECONDS = 60
"""The longest wait before the first time; otherwise a server that restarts often would never do the work."""


class PeriodicTask(threading.Thread):
    """Thread that calls ``work`` periodically until it is stopped, the first time after a minute at most."""

    def __init__(self, name: str, seconds: float, work: Callable[[], object]) -> None:
        super().__init__(name=f"recount-{name}", daemon=True)
        self._seconds = seconds
        self._work = work
        self._stopped = threading.Event()

    def run(self) -> None:
        pause = min(self._seconds, FIRST_SECONDS)
        reason = None
        while not self._stopped.wait(pause):
            pause = self._seconds
            try:
                self._work()
                reason = None
            except Unavailable as error:  # try again the next time
                if str(error) != reason:
                    reason = str(error)
                    logger.warning("%s waits: %s", self.name, reason)
            except Exception:
                logger.exception("%s failed", self.name)

    def stop(self) -> None:
        """Stop calling ``work``, and wait for a call that is under way."""
        self._stopped.set()
        self.join()
