"""The eventsourcing library's own application and PostgreSQL recorder, in their normal settings."""

from __future__ import annotations

import time
from functools import singledispatchmethod
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier
from pydantic_core import to_json
from uuid_utils.compat import uuid7

from bench.common import PROJECT
from bench.contestants import CONTENT, Append, rate_of
from recountdb.eventlog.postgres.database import Connection, connect


class _StockSession(Aggregate):
    """A session as it is usually written with the library; like Recount's it keeps no messages."""

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


def _environment(connection: Connection) -> dict[str, str]:
    """Return the library's settings for tables of its own, in the schema "stock"."""
    server = connection.info
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": server.dbname,
        "POSTGRES_HOST": server.host,
        "POSTGRES_PORT": str(server.port),
        "POSTGRES_USER": server.user,
        "POSTGRES_PASSWORD": server.password,
        "POSTGRES_SCHEMA": "stock",
    }


class Stock:
    """Contestant that keeps the aggregate in memory, so that an append is only deciding and saving.

    It does not use POSTGRES_ENABLE_DB_FUNCTIONS, which takes no lock and loses events for followers.
    """

    name = "stock library"

    def __init__(self, conninfo: str) -> None:
        with connect(conninfo) as connection:
            connection.execute("CREATE SCHEMA stock")
            self._application: Application[UUID] = Application(env=_environment(connection))

    def rate(self, writers: int, seconds: float) -> float:
        return rate_of([self._append_to(f"session {n}") for n in range(writers)], seconds)

    def _append_to(self, name: str) -> Append:
        session = _StockSession(name=name)

        def append() -> None:
            said = {"id": str(uuid7()), "role": "user", "content": CONTENT}
            session.add_message(said)
            self._application.save(session)

        return append

    def close(self) -> None:
        self._application.close()


class _Lines(PostgresTrackingRecorder):
    """A view as it is usually written with the library: the messages, each committed with its position."""

    def __init__(self, datastore: PostgresDatastore, **more: Any) -> None:
        super().__init__(datastore, **more)
        lines = Identifier(self.datastore.schema), Identifier("lines")
        columns = "(position bigint PRIMARY KEY, stream_id uuid, said json)"
        self.sql_create_statements.append(SQL("CREATE TABLE IF NOT EXISTS {}.{} " + columns).format(*lines))
        self._insert = SQL("INSERT INTO {}.{} VALUES (%s, %s, %s)").format(*lines)

    def add(self, stream_id: UUID, said: dict[str, Any], tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(self._insert, (tracking.notification_id, stream_id, to_json(said).decode()))


class _LinesProjection(Projection[_Lines]):
    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Ignore events that add no message: they have no row."""

    @process_event.register
    def _(self, domain_event: _StockSession.MessageAdded, tracking: Tracking) -> None:
        self.view.add(domain_event.originator_id, domain_event.message, tracking)


def projected(conninfo: str, events: int) -> float:
    """Return how many events per second the library's runner turns into a view, on a log of ``events``."""
    with connect(conninfo) as connection:
        connection.execute("CREATE SCHEMA stock")
        env = _environment(connection)
    application: Application[UUID] = Application(env=env)
    for number in range(events // 10):
        session = _StockSession(name=f"talk {number}")
        for _ in range(10):
            session.add_message({"id": str(uuid7()), "role": "user", "content": CONTENT})
        application.save(session)
    last = application.recorder.max_notification_id()
    application.close()
    assert last is not None
    started = time.perf_counter()
    with ProjectionRunner(
        application_class=Application, projection_class=_LinesProjection, view_class=_Lines, env=env
    ) as runner:
        runner.wait(last, timeout=600)
        return last / (time.perf_counter() - started)
