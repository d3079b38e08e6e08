"""/v1/projections: the views, and rebuilding them. They span all projects, so only operators may."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from recountdb.api.http.context import Maintain, ManageContext, Operate
from recountdb.api.http.prefix import prefix_of
from recountdb.api.http.routes import native_router
from recountdb.api.schemas.rebuilds import (
    NewRebuild,
    RebuildResource,
    ViewListResource,
    rebuild_resource,
    view_resource,
)
from recountdb.api.schemas.responses import Json
from recountdb.api.services.rebuild import RebuildOptions
from recountdb.projections.followers.answered_requests import answer_once
from recountdb.projections.rebuild.progress import check_view_names, list_views, load_last_rebuild

router = native_router("projections")

REBUILD = "/projections/rebuild"
RESOURCE = TypeAdapter(dict[str, Any])


@router.get("/projections", response_model=ViewListResource, name="list projections")
async def list_(store: Operate) -> Response:
    """The views, which version made their rows, and the rebuild under way or the last one."""
    views = await store.call(list_views, store.database)
    last = await store.call(load_last_rebuild, store.database)
    return Json({"items": [view_resource(view) for view in views], "rebuild": rebuild_resource(last)})


@router.post(REBUILD, response_model=RebuildResource, status_code=202, name="start rebuild")
async def start(request: Request, body: NewRebuild, managing: Maintain) -> Response:
    """Make views again from the log, in the background. Reads and writes go on."""
    options = RebuildOptions(check_view_names(body.views or ()), is_dry_run=body.dry_run)
    started = await managing.store.call(_start_once, managing, options)
    answer = Json(started, 202)
    answer.headers["Location"] = f"{prefix_of(request, managing.store.settings.root_path)}/v1{REBUILD}"
    return answer


def _start_once(managing: ManageContext, options: RebuildOptions) -> dict[str, Any]:
    """Start a rebuild and return it as a resource. A repeat of the request gets the answer of the first."""
    database = managing.store.database

    def begin() -> dict[str, Any]:
        managing.store.rebuilding.start(options)
        return rebuild_resource(load_last_rebuild(database))

    if managing.idempotency is None:
        return begin()
    with database.connection() as connection, connection.transaction():
        return answer_once(connection, managing.project, managing.idempotency, begin, RESOURCE)


@router.get(REBUILD, response_model=RebuildResource, name="get rebuild")
async def get(store: Operate) -> Response:
    """How far the rebuild under way is, or what became of the last one."""
    return Json(rebuild_resource(await store.call(load_last_rebuild, store.database)))
