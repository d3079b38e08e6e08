"""/v1/purges: erasing for good."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from recountdb.api.http.context import Administer, Erase, NameOf, Writing
from recountdb.api.http.query_parameters import PageQuery
from recountdb.api.http.routes import native_router
from recountdb.api.schemas.examples import ID_EXAMPLE, MOMENT_EXAMPLE
from recountdb.api.schemas.requests import Incoming
from recountdb.api.schemas.responses import Json, PageResource, page_resource
from recountdb.api.services.purge import all_of, carry_out, days_ago
from recountdb.domain.values import Text
from recountdb.projections.queries.purge import (
    Receipt,
    Result,
    Target,
    due,
    page_receipts,
    receipts_of,
    rehearse,
)

router = native_router("purges")

DAYS_MAX = 36_500


class NewPurge(Incoming):
    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "request of 2026-11-20"}]})

    reason: Text | None = Field(None, max_length=500, description="kept in the log for good")
    dry_run: bool = Field(False, strict=True, description="only say what would go")


class RetentionPurge(NewPurge):
    model_config = ConfigDict(json_schema_extra={"examples": [{"older_than_days": 30, "dry_run": True}]})

    older_than_days: Annotated[float, Field(ge=0, le=DAYS_MAX, strict=True)] = Field(
        description="what was deleted longer ago than this"
    )


class TargetResource(BaseModel):
    """A target that was or would be purged. ``whole`` is false if only some of its messages are."""

    kind: str = Field(examples=["session"])
    name: str = Field(examples=["trip-to-lisbon"])
    stream_id: UUID = Field(examples=[ID_EXAMPLE])
    whole: bool
    messages: int = Field(examples=[2])
    why_not: str | None = Field(description="why it stays; else null")


class ReceiptResource(BaseModel):
    """The receipt of a purge. It reveals neither names nor what was said."""

    position: int = Field(description="of the event that says so", examples=[42])
    kind: str = Field(examples=["session"])
    stream_id: UUID = Field(examples=[ID_EXAMPLE])
    version: int = Field(description="of the event that says so", examples=[7])
    events: int | None = Field(description="erased with it; null where the rest of it goes on", examples=[6])
    messages: int = Field(examples=[2])
    purged_at: datetime = Field(examples=[MOMENT_EXAMPLE])
    actor: str = Field(examples=["key:1f0c9a7e"])
    reason: str | None
    chain_head: str = Field(description="the stream's last link, in hexadecimal")
    is_erased: bool = Field(description="whether a look into all tables found nothing of it left")
    left: dict[str, int] = Field(
        description="rows that are left of it by table, a thousand of each at most; none once it is erased"
    )


class PurgeResource(BaseModel):
    targets: list[TargetResource]
    receipts: list[ReceiptResource] = Field(description="none of a dry run")


def add_purge_route(router: APIRouter, kind: str, name_of: NameOf) -> None:
    """Add the route that purges one session, thread or user."""

    path = f"/{kind}s/{{{kind}_id}}/purge"

    @router.post(path, response_model=PurgeResource, name=f"purge {kind}", tags=["purges"])
    async def purge(body: NewPurge, writing: Erase, name: str = Depends(name_of)) -> Response:
        """Erase for good, deleted or live; of a user also their sessions, and what they said among others.

        What is under a legal hold stays, and the answer says so.
        """
        find = partial(all_of, writing.store.database, writing.name(kind, name))
        return await purged(writing, find, body, insist=True)


@router.post("/purges", response_model=PurgeResource, name="purge deleted")
async def purge_deleted(body: RetentionPurge, writing: Erase) -> Response:
    """Erase for good what was deleted long ago: sessions, threads, users, and single messages."""
    database = writing.store.database

    def find() -> Iterable[Target]:
        return due(database, days_ago(database, body.older_than_days), writing.context.project)

    return await purged(writing, find, body, insist=False)


@router.get("/purges", response_model=PageResource[ReceiptResource], name="list purges")
async def list_(reading: Administer, query: Annotated[PageQuery, Query()]) -> Response:
    """Receipts of purges, in the order of the log."""
    page = await reading.recall(page_receipts, reading.project, query.window)
    return Json(page_resource(page, receipt_resource))


async def purged(
    writing: Writing, find: Callable[[], Iterable[Target]], body: NewPurge, *, insist: bool
) -> Json:
    """Purge the targets that ``find`` returns, or only list them for a dry run, and return the response."""
    application = writing.store.application

    def carried_out() -> tuple[list[Result], list[Receipt]]:
        if body.dry_run:
            return [rehearse(application, target) for target in find()], []
        results = carry_out(
            application, find(), lambda project: writing.context, reason=body.reason, insist=insist
        )
        return results, receipts_of(application.database, results)

    results, receipts = await writing.store.call(carried_out)
    return Json(
        {
            "targets": [target_resource(result) for result in results],
            "receipts": [receipt_resource(receipt) for receipt in receipts],
        }
    )


def target_resource(result: Result) -> dict[str, Any]:
    target = result.target
    return {
        "kind": target.kind,
        "name": target.name,
        "stream_id": target.stream_id,
        "whole": target.message_ids is None,
        "messages": target.messages,
        "why_not": result.why_not,
    }


def receipt_resource(receipt: Receipt) -> dict[str, Any]:
    return vars(receipt) | {"chain_head": receipt.chain_head.hex()}
