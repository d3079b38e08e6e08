"""Health, readiness and metrics of the server, which need no key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from recountdb.api.background.tasks import known_lags
from recountdb.api.http.context import Store, StoreOf
from recountdb.api.http.heads import HeadRoute
from recountdb.api.http.routes import operation_id
from recountdb.api.schemas.responses import HealthResource, Json, StatusResource
from recountdb.domain.errors import Unavailable
from recountdb.eventlog.postgres.monitor import SILENT

READY_SECONDS_MAX = 2.5  # probes often wait for three seconds
LAGS_SECONDS_MAX = 1.0

router = APIRouter(tags=["system"], route_class=HeadRoute, generate_unique_id_function=operation_id)


@router.get("/v1/health", name="get health", response_model=HealthResource, response_model_exclude_none=True)
async def health(store: StoreOf) -> Response:
    """200 as long as the process answers; ``degraded`` while something keeps it from its work."""
    trouble = store.monitor.trouble
    if trouble is None:
        return Json({"status": "ok"})
    return Json({"status": "degraded", "since": trouble.since, "reason": trouble.reason})


@router.get(
    "/v1/ready",
    name="get ready",
    response_model=StatusResource,
    responses={503: {"description": "the database does not answer, or writes stand still"}},
)
async def ready(store: StoreOf) -> Response:
    """200 when the database answers and writes go on; 503 while not, within three seconds."""
    await _answered(store)
    return Json({"status": "ready"})


async def _answered(store: Store) -> None:
    """Return once the database has answered a question asked now. Raises Unavailable."""
    questions: list[Awaitable[object]] = [asyncio.wrap_future(store.monitor.check_now())]
    if store.database.addresses.is_pooled:  # the monitor bypasses the pooler
        questions.append(store.call(store.database.ping))
    try:
        await asyncio.wait_for(asyncio.gather(*questions), READY_SECONDS_MAX)
    except TimeoutError:
        raise Unavailable(SILENT) from None


@router.get("/metrics", name="get metrics", response_class=PlainTextResponse)
async def metrics(store: StoreOf) -> Response:
    """Numbers for Prometheus. Those of the followers stay as they were while the database does not answer."""
    store.metrics.settled_position.set(store.tail.settled)
    store.metrics.clock_difference_seconds.set(store.database.clock.difference_seconds)
    with suppress(TimeoutError, Unavailable):
        lags = store.call(known_lags, store.database)
        store.metrics.show_lags(await asyncio.wait_for(lags, LAGS_SECONDS_MAX))
    content_type = "text/plain; version=0.0.4; charset=utf-8"
    return Response(store.metrics.exposition(), media_type=content_type)
