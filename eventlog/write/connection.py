"""The writer's own connection, which finds out which epoch it appends to."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from recountdb.eventlog.log.epoch import Epochs, enter_epoch
from recountdb.eventlog.postgres.database import APPEND, Connection, connect, translate_errors


class WriterConnection:
    """The connection that appends; it is replaced when it breaks."""

    # Appends reach every row by its key. A plan made while a table was small would scan the table, and
    # would be kept long after it has grown.
    SETTINGS: ClassVar = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}

    def __init__(self, conninfo: str, on_new_epoch: Callable[[], None]) -> None:
        self._conninfo = conninfo
        self._connection: Connection | None = None
        self._on_new_epoch = on_new_epoch
        self.epochs: Epochs | None = None

    def get(self) -> Connection:
        """Return a live connection; one that was lost before anything was sent is replaced silently.

        Raises Unavailable, also when the database is a standby.
        """
        if self._connection is None or not self._connection.is_alive():
            connection = connect(self._conninfo, APPEND, settings=self.SETTINGS)
            try:
                with translate_errors():
                    self._enter(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _enter(self, connection: Connection) -> None:
        epochs = enter_epoch(connection)
        if self.epochs is None or epochs.current.name != self.epochs.current.name:
            self._on_new_epoch()
        self.epochs = epochs

    @property
    def pid(self) -> int | None:
        """Return the process number of its session of PostgreSQL; None without a session."""
        connection = self._connection
        return None if connection is None or connection.closed else connection.session_pid

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
