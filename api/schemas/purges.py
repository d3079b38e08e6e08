"""The JSON of purges: what a purge is asked for, its targets and its receipts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from recountdb.api.schemas.examples import ID_EXAMPLE, MOMENT_EXAMPLE
from recountdb.api.schemas.requests import Incoming
from recountdb.api.services.purge import PurgeOutcome, PurgeResult
from recountdb.domain.values import Text
from recountdb.projections.queries.purge import Receipt

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


def purge_resource(outcome: PurgeOutcome) -> dict[str, Any]:
    return {
        "targets": [_target_resource(result) for result in outcome.results],
        "receipts": [receipt_resource(receipt) for receipt in outcome.receipts],
    }


def _target_resource(result: PurgeResult) -> dict[str, Any]:
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
