"""``/healthz``, and requests at Zep's addresses for which there is no other route."""

from __future__ import annotations

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from recountdb.api.protocols.zep.parameters import authenticate_client
from recountdb.api.protocols.zep.responses import respond_text
from recountdb.api.protocols.zep.routes import memory, messages, sessions, users
from recountdb.api.protocols.zep.routing import ZepRoute, create_zep_router, strip_slashes

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

router = create_zep_router()


@router.api_route("/healthz", methods=["GET", "HEAD"])
async def report_health() -> Response:
    return respond_text(".")


KNOWN = [
    route.path_regex
    for known in (sessions.router, memory.router, messages.router, users.router, router)
    for route in known.routes
    if isinstance(route, ZepRoute)
]
"""The paths of Zep's routes, at which only the method can be wrong."""


@router.api_route("/api/v1/sessions", methods=METHODS)
@router.api_route("/api/v1/sessions/{rest:path}", methods=METHODS)
@router.api_route("/api/v1/user", methods=METHODS)
@router.api_route("/api/v1/user/{rest:path}", methods=METHODS)
@router.api_route("/api/v1/collection", methods=METHODS)
@router.api_route("/api/v1/collection/{rest:path}", methods=METHODS)
@router.api_route("/healthz", methods=METHODS)
@router.api_route("/healthz/{rest:path}", methods=METHODS)
async def refuse_stray_request(request: Request) -> Response:
    """Answer 405 for another method at a known path, else 404, as Zep does."""
    await authenticate_client(request, scope="read")
    path = strip_slashes(request.scope["path"])
    if any(known.match(path) for known in KNOWN):
        raise HTTPException(405, "method not allowed")
    raise HTTPException(404, "not found")
