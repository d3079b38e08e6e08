"""``/api/v1/sessions``: starting and reading sessions, and merging their metadata."""

from __future__ import annotations

from contextlib import suppress

from fastapi import Request
from starlette.responses import Response

from recountdb.api.protocols.base import RequestContext, read_body
from recountdb.api.protocols.zep.errors import refuse_request
from recountdb.api.protocols.zep.parameters import authenticate_client, check_new_name, read_name, read_window
from recountdb.api.protocols.zep.queries import find_all_sessions
from recountdb.api.protocols.zep.responses import respond_json
from recountdb.api.protocols.zep.routing import create_zep_router
from recountdb.api.protocols.zep.shapes import MetadataToMerge, SessionToStart, to_zep_session
from recountdb.domain.commands.common import MergeMetadata, Start, TouchMetadata
from recountdb.domain.errors import AlreadyExists, NotFound
from recountdb.domain.sessions import Session
from recountdb.projections.lists.paging import Filter
from recountdb.projections.views.sessions import get_session
from recountdb.projections.views.users import get_user

router = create_zep_router()


@router.get("/api/v1/sessions")
async def list_sessions(request: Request) -> Response:
    context = await authenticate_client(request)
    page = await context.find_whole(find_all_sessions, read_window(request), Filter(scope=""))
    return respond_json(list(map(to_zep_session, page.items)))


@router.post("/api/v1/sessions")
async def add_session(request: Request) -> Response:
    context = await authenticate_client(request)
    body = await read_body(request, SessionToStart)
    name = check_new_name(body.session_id, "session_id")
    if body.user_id is not None and not await _has_user(context, body.user_id):
        refuse_request(f"user does not exist with user_id: {body.user_id}")
    start = Start(kind=Session.KIND, name=name, user_id=body.user_id, metadata=body.metadata)
    try:
        outcome = await context.execute(start)
    except AlreadyExists:
        refuse_request(f"session already exists with session_id: {name}")
    return respond_json(to_zep_session(outcome.state), 201)  # type: ignore[arg-type]


@router.get("/api/v1/sessions/{session_id}")
async def read_session(session_id: str, request: Request) -> Response:
    context = await authenticate_client(request)
    session = await context.find(get_session, read_name(session_id, Session.KIND))
    return respond_json(to_zep_session(session))


@router.patch("/api/v1/sessions/{session_id}")
async def merge_session_metadata(session_id: str, request: Request) -> Response:
    context = await authenticate_client(request)
    body = await read_body(request, MetadataToMerge)
    merge = TouchMetadata if body.metadata is None or body.merged else MergeMetadata
    name = read_name(session_id, Session.KIND)
    outcome = await context.execute(merge(kind=Session.KIND, name=name, metadata=body.merged))
    return respond_json(to_zep_session(outcome.state))  # type: ignore[arg-type]


async def _has_user(context: RequestContext, user_id: str) -> bool:
    with suppress(NotFound):
        await context.find(get_user, user_id)
        return True
    return False
