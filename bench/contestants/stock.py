"""The eventsourcing library's own application and PostgreSQL recorder, in their normal settings."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from uuid_utils.compat import uuid7

from bench.common import PROJECT
from bench.contestants import CONTENT, Append, rate_of
from eventlog.database import connect


class StockSession(Aggregate):
    """A session as one writes it with the library; like Recount's it keeps no messages."""

    class MessageAdded(Aggregate.Event):
        project: str
        actor: str
        message: dict[str, Any]

        def apply(self, aggregate: Any) -> None:
            aggregate.message_count += 1

    def __init__(self, name: str) -> None:
        self.name = name
        self.message_count = 0

    def add_message(self, message: dict[str, Any]) -> None:
        self.trigger_event(self.MessageAdded, project=PROJECT, actor="bench", message=message)


class Stock:
    """The aggregate stays in memory, so that an append is no more than deciding and saving.

    Never with POSTGRES_ENABLE_DB_FUNCTIONS, which takes no lock and loses events for followers.
    """

    name = "stock library"

    def __init__(self, conninfo: str) -> None:
        with connect(conninfo) as connection:
            connection.execute("CREATE SCHEMA stock")
            server = connection.info
            self._application: Application[UUID] = Application(
                env={
                    "PERSISTENCE_MODULE": "eventsourcing.postgres",
                    "POSTGRES_DBNAME": server.dbname,
                    "POSTGRES_HOST": server.host,
                    "POSTGRES_PORT": str(server.port),
                    "POSTGRES_USER": server.user,
                    "POSTGRES_PASSWORD": server.password,
                    "POSTGRES_SCHEMA": "stock",
                }
            )

    def rate(self, writers: int, seconds: float) -> float:
        return rate_of([self._append_to(f"session {n}") for n in range(writers)], seconds)

    def _append_to(self, name: str) -> Append:
        session = StockSession(name=name)

        def append() -> None:
            said = {"id": str(uuid7()), "role": "user", "content": CONTENT}
            session.add_message(said)
            self._application.save(session)

        return append

    def close(self) -> None:
        self._application.close()
