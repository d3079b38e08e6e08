"""/v1/purges: erasing for good."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from recountdb.api.http.context import AdminRead, Erase, NameOf, WriteContext
from recountdb.api.http.query_parameters import PageQuery
from recountdb.api.http.routes import native_router
from recountdb.api.schemas.purges import (
    NewPurge,
    PurgeResource,
    ReceiptResource,
    RetentionPurge,
    purge_resource,
    receipt_resource,
)
from recountdb.api.schemas.responses import Json, PageResource, page_resource
from recountdb.api.services.purge import PurgeOutcome, days_ago, find_targets, purge
from recountdb.projections.queries.purge import Target, find_deleted, page_receipts

router = native_router("purges")


def add_purge_route(router: APIRouter, kind: str, name_of: NameOf) -> None:
    """Add the route that purges one session, thread or user."""

    path = f"/{kind}s/{{{kind}_id}}/purge"

    @router.post(path, response_model=PurgeResource, name=f"purge {kind}", tags=["purges"])
    async def purge_one(body: NewPurge, writing: Erase, name: str = Depends(name_of)) -> Response:
        """Erase for good, deleted or live; of a user also their sessions, and what they said among others.

        What is under a legal hold stays, and the answer says so.
        """
        find = partial(find_targets, writing.store.database, writing.name(kind, name))
        return await _purge_to_response(writing, find, body, insist=True)


@router.post("/purges", response_model=PurgeResource, name="purge deleted")
async def purge_deleted(body: RetentionPurge, writing: Erase) -> Response:
    """Erase for good what was deleted long ago: sessions, threads, users, and single messages."""
    database = writing.store.database

    def find() -> Iterable[Target]:
        return find_deleted(database, days_ago(database, body.older_than_days), writing.context.project)

    return await _purge_to_response(writing, find, body, insist=False)


@router.get("/purges", response_model=PageResource[ReceiptResource], name="list purges")
async def list_(reading: AdminRead, query: Annotated[PageQuery, Query()]) -> Response:
    """Receipts of purges, in the order of the log."""
    page = await reading.recall(page_receipts, reading.project, query.window)
    return Json(page_resource(page, receipt_resource))


async def _purge_to_response(
    writing: WriteContext, find: Callable[[], Iterable[Target]], body: NewPurge, *, insist: bool
) -> Json:
    """Purge the targets that ``find`` returns, or only list them for a dry run, and return the response."""

    def run() -> PurgeOutcome:
        return purge(
            writing.store.application,
            find(),
            lambda project: writing.context,
            reason=body.reason,
            insist=insist,
            is_dry_run=body.dry_run,
        )

    return Json(purge_resource(await writing.store.call(run)))
