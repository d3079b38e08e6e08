"""/v1/sessions: conversations under names of the caller's choice."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Query
from starlette.responses import Response
from uuid_utils.compat import uuid7

from recountdb.api.http.context import Read, ReadContext, SessionName, Write, session_name
from recountdb.api.http.query_parameters import OwnedListQuery, StateQuery
from recountdb.api.http.routes import native_router
from recountdb.api.http.routes.conversations import (
    add_lifecycle_routes,
    add_message_routes,
    add_metadata_route,
    execute_to_response,
    find_to_response,
    origins_of,
)
from recountdb.api.http.routes.timetravel import add_difference_route
from recountdb.api.schemas.requests import NewName, NewSession, NewSessionMessages
from recountdb.api.schemas.responses import (
    Json,
    PageResource,
    SessionResource,
    aggregate_resource,
    page_resource,
)
from recountdb.domain.commands.common import Start
from recountdb.domain.commands.conversations import RenameSession
from recountdb.domain.sessions import Session
from recountdb.projections.lists.paging import Page
from recountdb.projections.views.sessions import get_session, list_sessions

router = native_router("sessions")
# The most requested come first: each request is compared with one route after another.
add_message_routes(router, "session", session_name, NewSessionMessages)


@router.post("/sessions", response_model=SessionResource, status_code=201)
async def start_session(body: NewSession, writing: Write) -> Response:
    """Start a session. Not needed before adding messages, which starts one by itself."""
    return await execute_to_response(
        writing,
        Start(
            kind=Session.KIND,
            name=body.session_id or str(uuid7()),
            user_id=body.user_id,
            metadata=body.metadata,
            expected_version=writing.expected_version,
        ),
        201,
    )


@router.get("/sessions", response_model=PageResource[SessionResource], name="list sessions")
async def list_(reading: Read, query: Annotated[OwnedListQuery, Query()]) -> Response:
    """Sessions in the order they began."""
    page = await reading.find(list_sessions, query.window, query.criteria)
    return await sessions_page(reading, page)


async def sessions_page(reading: ReadContext, page: Page[Session]) -> Json:
    """Return a page of sessions as a response."""
    origins = await origins_of(reading.store, reading.project, page.items)
    return Json(page_resource(page, partial(aggregate_resource, origins=origins)))


@router.get("/sessions/{session_id}", response_model=SessionResource, name="get session")
async def get(name: SessionName, reading: Read, query: Annotated[StateQuery, Query()]) -> Response:
    """The session now, or as it was then with ``as_of``."""
    in_scope = partial(get_session, scope=reading.scope)
    return await find_to_response(reading, Session.KIND, name, query, in_scope)


@router.post("/sessions/{session_id}/rename", response_model=SessionResource, name="rename session")
async def rename(name: SessionName, body: NewName, writing: Write) -> Response:
    """Give the session another name; its old one is free. History and messages go with it."""
    expected = writing.expected_version
    command = RenameSession(name=name, new_name=body.session_id, expected_version=expected)
    return await execute_to_response(writing, command)


add_metadata_route(router, "session", session_name, SessionResource)
add_lifecycle_routes(router, "session", session_name, SessionResource)
add_difference_route(router, "session", session_name)
