"""Work that a server does again and again, beside what it is asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from recountdb.domain.errors import Unavailable

logger = logging.getLogger(__name__)


FIRST_SECONDS = 60
"""After which work is done the first time, or a server that is often started anew would never come to it."""


class Periodic(threading.Thread):
    """Calls ``work`` every so many seconds until it is stopped, the first time after a minute at most."""

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
            except Unavailable as error:  # next time
                if str(error) != reason:
                    reason = str(error)
                    logger.warning("%s waits: %s", self.name, reason)
            except Exception:
                logger.exception("%s failed", self.name)

    def stop(self) -> None:
        """Wait for what is under way, and do no more."""
        self._stopped.set()
        self.join()
