"""Whether the server lives, whether it can work, and its numbers. No key is asked for."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from api.dependencies import StoreOf
from api.following import known_lags
from api.resources import Json, StatusResource
from api.routes import operation_id

router = APIRouter(tags=["system"], generate_unique_id_function=operation_id)


@router.get("/v1/health", name="get health", response_model=StatusResource)
async def health() -> Response:
    """200 as long as the process answers."""
    return Json({"status": "ok"})


@router.get(
    "/v1/ready",
    name="get ready",
    response_model=StatusResource,
    responses={503: {"description": "the database does not answer"}},
)
async def ready(store: StoreOf) -> Response:
    """200 when the database answers; 503 while it does not."""
    await store.call(store.database.ping)
    return Json({"status": "ready"})


@router.get("/metrics", name="get metrics", response_class=PlainTextResponse)
async def metrics(store: StoreOf) -> Response:
    """Numbers for Prometheus."""
    store.metrics.settled_position.set(store.tail.settled)
    store.metrics.show_lags(await store.call(known_lags, store.database))
    content_type = "text/plain; version=0.0.4; charset=utf-8"
    return Response(store.metrics.exposition(), media_type=content_type)
