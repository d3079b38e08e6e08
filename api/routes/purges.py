"""/v1/purges: what is gone for good."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator
from starlette.responses import Response

from api.dependencies import Administer, Rule, Writing
from api.purging import carry_out, wanted
from api.queries import PageQuery
from api.resources import ID_EXAMPLE, MOMENT_EXAMPLE, Incoming, Json, PageResource, page_resource
from domain.values import Name, Text
from projections.purge import Receipt, Result, page_receipts, receipts_of, rehearse

router = APIRouter(tags=["purges"])

DAYS_MAX = 36_500


class NewPurge(Incoming):
    """What is to go: one of ``session_id``, ``thread_id``, ``user_id`` and ``older_than_days``."""

    session_id: Name | None = Field(None, examples=["trip-to-lisbon"])
    thread_id: UUID | None = None
    user_id: Name | None = Field(None, description="a user, their sessions, and what they said among others")
    older_than_days: Annotated[float, Field(ge=0, le=DAYS_MAX)] | None = Field(
        None, description="what was deleted longer ago than this"
    )
    reason: Text | None = Field(None, max_length=500, description="kept in the log for good")
    dry_run: bool = Field(False, description="only say what would go")

    @model_validator(mode="after")
    def names_one_thing(self) -> Self:
        wanted = (self.session_id, self.thread_id, self.user_id, self.older_than_days)
        if sum(one is not None for one in wanted) != 1:
            raise ValueError("name one of session_id, thread_id, user_id and older_than_days")
        return self


class TargetResource(BaseModel):
    """What goes, or would go. ``whole`` is false where only some messages of it do."""

    kind: str = Field(examples=["session"])
    name: str = Field(examples=["trip-to-lisbon"])
    stream_id: UUID = Field(examples=[ID_EXAMPLE])
    whole: bool
    messages: int = Field(examples=[2])
    why_not: str | None = Field(description="why it stays; else null")


class ReceiptResource(BaseModel):
    """What was purged; it says nothing of what was said or how it was called."""

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
    is_erased: bool = Field(description="false while the erasing is still under way")


class PurgeResource(BaseModel):
    targets: list[TargetResource]
    receipts: list[ReceiptResource] = Field(description="none of a dry run")


@router.post("/purges", response_model=PurgeResource, name="purge")
async def purge(body: NewPurge, writing: Rule) -> Response:
    """Erase for good, deleted or live. What is under a legal hold stays, and the answer says so."""
    results = await writing.store.call(purged, writing, body)
    receipts = await writing.store.call(receipts_of, writing.store.database, results)
    return Json(
        {
            "targets": [target_resource(result) for result in results],
            "receipts": [receipt_resource(receipt) for receipt in receipts],
        }
    )


def purged(writing: Writing, body: NewPurge) -> list[Result]:
    application = writing.store.application
    targets = wanted(
        application.database,
        writing.context.project,
        session=body.session_id,
        thread=None if body.thread_id is None else str(body.thread_id),
        user=body.user_id,
        older_than_days=body.older_than_days,
    )
    if body.dry_run:
        return [rehearse(application, target) for target in targets]
    insist = body.older_than_days is None
    return carry_out(application, targets, lambda project: writing.context, reason=body.reason, insist=insist)


@router.get("/purges", response_model=PageResource[ReceiptResource], name="list purges")
async def list_(reading: Administer, query: Annotated[PageQuery, Query()]) -> Response:
    """What was purged, in the order of the log."""
    page = await reading.recall(page_receipts, reading.project, query.window)
    return Json(page_resource(page, receipt_resource))


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
