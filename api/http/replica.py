"""The replica, which answers reads that name the position they must see."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from recountdb.api.background.log_watcher import LogWatcher
from recountdb.api.runtime import open_application
from recountdb.eventlog.log.epoch import LogPosition
from recountdb.eventlog.postgres.database import Addresses, Database

WAIT_SECONDS_MAX = 1.0


class Replica:
    """The database at ``RECOUNT_READ_URL``. While it is unreachable, nothing is read there."""

    def __init__(self, address: str, stack: ExitStack, *, connections_max: int) -> None:
        self.database = Database(Addresses(address), connections_max=connections_max)
        self.database.open(waits=False)
        stack.callback(self.database.close)
        self.application = stack.enter_context(open_application(self.database))
        self._tail = LogWatcher(address, asyncio.get_running_loop(), notes=False)
        self._tail.start()
        stack.callback(self._tail.stop)

    @property
    def is_connected(self) -> bool:
        """Return whether the replica answered last time."""
        return self._tail.is_connected

    async def has(self, place: LogPosition) -> bool:
        """Wait until the replica has everything up to ``place``; return whether it had in time."""
        if not self.is_connected:
            return False
        position = place.position - 1
        is_there = await self._tail.wait_beyond(position, timeout_seconds=WAIT_SECONDS_MAX)
        epochs = self._tail.epochs
        return is_there and epochs is not None and epochs.is_current(place.epoch)
