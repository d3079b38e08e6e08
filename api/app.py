"""The server's application: its routes and background tasks, on a store that api.runtime opens."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Protocol

from fastapi.applications import FastAPI  # fastapi.FastAPI may have been replaced by one that traces
from fastapi.telemetry import TelemetryConfig
from starlette.routing import BaseRoute

from recountdb.api.background.log_watcher import LogWatcher, stop_on_signals
from recountdb.api.background.periodic import PeriodicTask
from recountdb.api.background.tasks import BackgroundTasks
from recountdb.api.http import openapi, problems
from recountdb.api.http.context import Store
from recountdb.api.http.incoming import Intake
from recountdb.api.http.long_answers import AskAgain, LongAnswers
from recountdb.api.http.metrics import Metrics
from recountdb.api.http.middleware import Edge, ExactPaths, KeyInPath
from recountdb.api.http.origins import allow_origins
from recountdb.api.http.positions import Positions
from recountdb.api.http.prefix import WithoutPrefix
from recountdb.api.http.replica import Replica
from recountdb.api.http.routes import (
    audit,
    events,
    messages,
    pages,
    projections,
    purges,
    sessions,
    system,
    threads,
    timetravel,
    users,
    webhooks,
)
from recountdb.api.http.turns import FairThreads, Neighbours, Turns
from recountdb.api.logs import forget_exception_texts
from recountdb.api.protocols.registry import PROTOCOLS
from recountdb.api.runtime import open_application, open_store
from recountdb.api.services.first_key import use_first_key
from recountdb.api.services.keys import KeyRing
from recountdb.api.services.purge import purge_due
from recountdb.api.services.read_audit import ReadRecorder
from recountdb.api.services.rebuild import BackgroundRebuild
from recountdb.api.settings import Settings, read_settings
from recountdb.api.telemetry import RequestSpans, record_spans
from recountdb.domain.errors import RecountError
from recountdb.eventlog.application import Recount
from recountdb.eventlog.integrity.checkpoints import take_checkpoints
from recountdb.eventlog.log.epoch import is_standby
from recountdb.eventlog.postgres.database import Addresses, Database
from recountdb.eventlog.postgres.monitor import DatabaseMonitor

DESCRIPTION = """
An event-sourced memory store for conversations. Every change is an event in one append-only log;
messages and sessions are views of it, and any of them can be read as it was at an earlier moment.

Errors are `application/problem+json`. Writes may carry an `Idempotency-Key` and an `If-Match`
version; lists are paged by `limit` and `cursor`.
"""


NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI's own spans, switched off: they carry whole paths and queries, and so keys and names. For ours see
api.telemetry."""

WRITES_AT_ONCE = 2048
WRITES_EACH = 32
WRITES_EACH_BESIDE = 2
"""Limits on writes under way: in total, of one project, and of one project while others send requests, too.
So many may come before another project's next."""

READS_EACH_BESIDE = 2
"""The limit on reads of one project under way while others send requests, too. Alone it is half of all."""


class NotServable(RecountError):
    """The server must not start with these settings on this database."""


def refuse_open_server(settings: Settings, keys: KeyRing) -> None:
    """Raise NotServable when other machines could reach the server and there are no API keys."""
    if not settings.is_loopback and not keys.has_keys():
        raise NotServable(
            f"without API keys Recount listens on this machine only, not on {settings.host}: make "
            "a key first with 'recount keys create', or leave out --host"
        )


def _refuse_unrecorded_reads(settings: Settings, database: Database) -> None:
    """Raise NotServable when reads are to be recorded in a database that takes no writes."""
    if settings.audit_reads and database.read(is_standby):
        raise NotServable(
            "reads cannot be recorded on a standby, which takes no writes: name the primary in"
            " RECOUNT_DATABASE_URL, or leave out RECOUNT_AUDIT_READS"
        )


class BackgroundPart(Protocol):
    """A background part of the server, which runs beside the requests."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


def create_app(settings: Settings, where: Addresses | str) -> FastAPI:
    """Return the server's application on the database ``where``, which must be migrated."""
    addresses = Addresses.of(where)
    metrics = Metrics(is_multiprocess="PROMETHEUS_MULTIPROC_DIR" in os.environ)
    reads = ReadRecorder(addresses.direct) if settings.audit_reads else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            if settings.otel:
                stack.enter_context(record_spans())
            store = app.state.store = _open_store(stack, settings, addresses, metrics, reads)
            stack.enter_context(stop_on_signals(store.tail))
            yield

    app = FastAPI(
        title="Recount",
        version=version("recountdb"),
        description=DESCRIPTION,
        lifespan=lifespan,
        routes=list(_all_routes(settings)),
        docs_url=None,  # FastAPI's pages load scripts from the internet; ours are in api.http.routes.pages
        redoc_url=None,
        openapi_url=None,
        separate_input_output_schemas=False,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
    )
    problems.install(app)
    openapi.install(app)
    _add_middleware(app, settings, metrics, reads)
    return app


def _add_middleware(app: FastAPI, settings: Settings, metrics: Metrics, reads: ReadRecorder | None) -> None:
    """Add what every request passes, from the inside out: the one added last comes first."""
    app.add_middleware(Positions)
    app.add_middleware(AskAgain)
    app.add_middleware(ExactPaths)
    app.add_middleware(KeyInPath)
    app.add_middleware(Edge, metrics=metrics, body_bytes_max=settings.body_bytes_max, reads=reads)
    if settings.otel:
        app.add_middleware(RequestSpans)
    if settings.root_path:
        app.add_middleware(WithoutPrefix, root_path=settings.root_path)
    if settings.cors_origins:
        allow_origins(app, settings.cors_origins)


def _open_store(
    stack: ExitStack,
    settings: Settings,
    addresses: Addresses,
    metrics: Metrics,
    reads: ReadRecorder | None,
) -> Store:
    """Open the store and start the background tasks; ``stack`` ends them.

    Raises NotServable, and what ``open_store`` raises.
    """
    application = stack.enter_context(open_store(addresses, connections_max=settings.connections_max))
    database = application.database
    keys = KeyRing(database)
    _refuse_unrecorded_reads(settings, database)
    use_first_key(settings, database)
    refuse_open_server(settings, keys)
    bulk = stack.enter_context(open_application(database))
    # There are as many threads as connections that they may wait for.
    threads = ThreadPoolExecutor(settings.connections_max, thread_name_prefix="recount-reader")
    stack.callback(threads.shutdown, cancel_futures=True)
    neighbours = Neighbours()
    reads_under_way = Turns(
        settings.connections_max, settings.connections_max // 2, READS_EACH_BESIDE, neighbours
    )
    intake = Intake(settings.body_bytes_max, settings.body_values_max, neighbours)
    stack.callback(intake.stop)
    rebuilding = BackgroundRebuild(addresses.direct)
    stack.callback(rebuilding.stop)
    tail = LogWatcher(addresses.direct, asyncio.get_running_loop())
    monitor = DatabaseMonitor(
        addresses.direct, database.clock, lambda: application.running_append or bulk.running_append
    )
    parts: list[BackgroundPart] = [monitor, *_background_parts(settings, application, addresses), tail]
    if reads is not None:
        reads.clock = database.clock
        parts.insert(0, reads)
    for part in parts:
        part.start()
        stack.callback(part.stop)
    replica = None
    if addresses.read is not None:
        replica = Replica(addresses.read, stack, connections_max=settings.connections_max)
    return Store(
        settings=settings,
        database=database,
        application=application,
        bulk=bulk,
        keys=keys,
        tail=tail,
        metrics=metrics,
        threads=threads,
        fair=FairThreads(threads, reads_under_way),
        writes=Turns(WRITES_AT_ONCE, WRITES_EACH, WRITES_EACH_BESIDE, neighbours),
        intake=intake,
        rebuilding=rebuilding,
        answers=LongAnswers(keys, bytes_max=settings.answer_bytes_max),
        monitor=monitor,
        replica=replica,
    )


NATIVE = (sessions, threads, timetravel, messages, users, events, webhooks, audit, purges, projections)
"""The native routes, the most requested first: each request is compared with one route after another."""


def _all_routes(settings: Settings) -> Iterator[BaseRoute]:
    """Yield all routes, for the application to take as its own.

    FastAPI would copy each route of an included router, and search those routers one after another.
    """
    for module in (*NATIVE, system):
        yield from module.router.routes
    yield from pages.routes(settings)  # these come before Motorhead, which answers programs at / as well
    for name in settings.protocols:
        yield from PROTOCOLS[name](settings)


def _background_parts(
    settings: Settings, application: Recount, addresses: Addresses
) -> Iterator[BackgroundPart]:
    """Yield the periodic tasks and the followers of the server."""
    database = application.database
    yield PeriodicTask("checkpoints", settings.checkpoint_seconds, partial(take_checkpoints, database))
    if settings.retention_days != "forever":
        yield PeriodicTask(
            "purge", settings.purge_seconds, partial(purge_due, application, settings.retention_days)
        )
    yield BackgroundTasks(addresses.direct, database.clock, allow_private=settings.webhooks_allow_private)


def create_lasting_app(settings: Settings, where: Addresses | str) -> FastAPI:
    """Return the application of ``create_app``, for a process that does nothing else until it ends.

    All objects made so far are kept out of garbage collection. Looking through them again and again
    would hold up all requests for 40 ms, three times a second under load.
    """
    if not settings.debug:
        forget_exception_texts()
    app = create_app(settings, where)
    gc.collect()
    gc.freeze()
    return app


def from_environment() -> FastAPI:
    """Return the application of a process that a supervisor starts, as the environment sets it up."""
    _end_with_supervisor()
    settings = read_settings()
    assert settings.addresses is not None, "the supervisor sets RECOUNT_DATABASE_URL"
    return create_lasting_app(settings, settings.addresses)


def _end_with_supervisor() -> None:
    """End this server process when its supervisor ends, so that none is left listening after a kill."""
    supervisor = multiprocessing.parent_process()

    def watch() -> None:
        assert supervisor is not None
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)

    if supervisor is not None:
        threading.Thread(target=watch, name="recount-supervisor", daemon=True).start()
