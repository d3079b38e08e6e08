"""/v1/webhooks: where the project's events are sent as they are recorded."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query
from starlette.responses import Response

from recountdb.api.background.webhook_addresses import checked_webhook_url
from recountdb.api.http.context import AdminRead, Manage
from recountdb.api.http.query_parameters import DeliveryListQuery, PageQuery, ResumeQuery
from recountdb.api.http.routes import native_router
from recountdb.api.schemas.examples import WEBHOOK_EXAMPLE
from recountdb.api.schemas.requests import NewWebhook
from recountdb.api.schemas.responses import (
    DeliveryResource,
    Json,
    NewWebhookResource,
    PageResource,
    WebhookResource,
    delivery_resource,
    page_resource,
    webhook_resource,
)
from recountdb.projections.followers.webhooks import (
    create_webhook,
    delete_webhook,
    get_webhook,
    list_webhooks,
    page_deliveries,
    resume_webhook,
)

router = native_router("webhooks")


async def webhook_id(
    webhook_id: Annotated[str, Path(pattern="^wh_[0-9a-f]{16}$", examples=[WEBHOOK_EXAMPLE])],
) -> str:
    return webhook_id


WebhookId = Annotated[str, Depends(webhook_id)]


@router.post("/webhooks", response_model=NewWebhookResource, status_code=201, name="create webhook")
async def create(body: NewWebhook, managing: Manage) -> Response:
    """Have the project's events sent to an address. The secret they are signed with is shown this once."""
    settings = managing.store.settings
    after = None
    if body.after is not None:
        settled = await managing.store.call(managing.store.application.log.settled)
        after = settled.epochs.check(body.after)
    webhook, secret = await managing.find(
        create_webhook,
        url=checked_webhook_url(body.url, allow_private=settings.webhooks_allow_private),
        types=body.types,
        after=after,
        webhooks_max=settings.webhooks_max,
        idempotency=managing.idempotency,
    )
    return Json(webhook_resource(webhook) | {"secret": secret}, 201)


@router.get("/webhooks", response_model=PageResource[WebhookResource], name="list webhooks")
async def list_(reading: AdminRead, query: Annotated[PageQuery, Query()]) -> Response:
    """Webhooks in the order they were made."""
    page = await reading.find(list_webhooks, query.window)
    return Json(page_resource(page, webhook_resource))


@router.get("/webhooks/{webhook_id}", response_model=WebhookResource, name="get webhook")
async def get(webhook_id: WebhookId, reading: AdminRead) -> Response:
    """A webhook, and how much it is behind."""
    return Json(webhook_resource(await reading.find(get_webhook, webhook_id)))


@router.delete("/webhooks/{webhook_id}", response_model=WebhookResource, name="delete webhook")
async def delete(webhook_id: WebhookId, managing: Manage) -> Response:
    """Send it nothing more. What was sent to it is forgotten, too; the answer is what was deleted."""
    deleted = await managing.find(delete_webhook, webhook_id, idempotency=managing.idempotency)
    return Json(webhook_resource(deleted))


@router.post("/webhooks/{webhook_id}/resume", response_model=WebhookResource, name="resume webhook")
async def resume(webhook_id: WebhookId, managing: Manage, query: Annotated[ResumeQuery, Query()]) -> Response:
    """Have a parked or disabled webhook go on where it stopped; nothing recorded meanwhile is left out."""
    resumed = await managing.find(
        resume_webhook, webhook_id, skip=query.skip, idempotency=managing.idempotency
    )
    return Json(webhook_resource(resumed))


@router.get(
    "/webhooks/{webhook_id}/deliveries",
    response_model=PageResource[DeliveryResource],
    name="list webhook deliveries",
)
async def deliveries(
    webhook_id: WebhookId, reading: AdminRead, query: Annotated[DeliveryListQuery, Query()]
) -> Response:
    """Deliveries, sent and still to be sent, the newest first unless ``order=oldest``."""
    page = await reading.find(page_deliveries, webhook_id, query.window)
    return Json(page_resource(page, delivery_resource))
