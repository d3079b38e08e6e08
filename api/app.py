"""The one place where things are wired: database, application, views, routes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api import problems
from api.dependencies import Store
from api.keys import KeyRing
from api.live import Tail
from api.metrics import Metrics
from api.middleware import Edge, ExactPaths
from api.routes import events, messages, sessions, system, threads, users
from api.settings import Settings, read_settings
from domain.errors import RecountError
from eventlog.application import Recount
from eventlog.database import Connection, Database
from eventlog.schema import Migration, check_schema, migrate, migrations_of
from projections.core import CoreViews

DESCRIPTION = """
An event-sourced memory store for conversations. Every change is an event in one append-only log;
messages and sessions are views of it, and any of them can be read as it was at an earlier moment.

Errors are `application/problem+json`. Writes may carry an `Idempotency-Key` and an `If-Match`
version; lists are paged by `limit` and `cursor`.
"""


class NotServable(RecountError):
    """The server must not start like this."""


def all_migrations() -> list[Migration]:
    """The migrations of every room, in the order they are applied."""
    return [m for room in ("eventlog", "projections", "api") for m in migrations_of(room)]


def migrate_database(connection: Connection) -> list[Migration]:
    """Bring the database's schema up to this program's. Raises SchemaMismatch where it is newer."""
    return migrate(connection, all_migrations())


def open_database(settings: Settings, conninfo: str) -> Database:
    """An open database with the right schema. Raises Unavailable, SchemaMismatch."""
    database = Database(conninfo, connections_max=settings.connections_max)
    database.open()
    try:
        with database.connection() as connection:
            check_schema(connection, all_migrations())
    except RecountError:
        database.close()
        raise
    return database


def refuse_open_server(settings: Settings, keys: KeyRing) -> None:
    """Without keys only this machine may reach the server. Raises NotServable."""
    if not settings.is_loopback and not keys.has_keys():
        raise NotServable(
            f"without API keys Recount listens on this machine only, not on {settings.host}: make "
            "a key first with 'recount keys create', or leave out --host"
        )


def create_app(settings: Settings, conninfo: str) -> FastAPI:
    """The server's application on the database at ``conninfo``, which must be migrated."""
    metrics = Metrics(is_multiprocess="PROMETHEUS_MULTIPROC_DIR" in os.environ)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = open_database(settings, conninfo)
        keys = KeyRing(database)
        refuse_open_server(settings, keys)
        application = Recount(database, CoreViews(database))
        tail = Tail(conninfo)
        tail.start(asyncio.get_running_loop())
        app.state.store = Store(settings, database, application, keys, tail, metrics)
        try:
            yield
        finally:
            tail.stop()
            application.close()
            database.close()

    app = FastAPI(
        title="Recount",
        version=version("recount"),
        description=DESCRIPTION,
        lifespan=lifespan,
        generate_unique_id_function=operation_id,
        separate_input_output_schemas=False,
    )
    for module in (sessions, threads, messages, users, events):
        app.include_router(module.router, prefix="/v1")
    app.include_router(system.router)
    problems.install(app)
    app.add_middleware(ExactPaths)
    app.add_middleware(Edge, metrics=metrics, body_bytes_max=settings.body_bytes_max)
    return app


def operation_id(route: APIRoute) -> str:
    """Names for generated clients: ``add_session_messages``, ``sessions_list``."""
    tag = str(route.tags[0]) if route.tags else ""
    name = route.name.replace(" ", "_").strip("_")
    return name if "_" in name else f"{tag}_{name}"


def from_environment() -> FastAPI:
    """For server processes that a supervisor starts: all they need is in the environment."""
    settings = read_settings()
    assert settings.conninfo is not None, "the supervisor sets RECOUNT_DATABASE_URL"
    return create_app(settings, settings.conninfo)
