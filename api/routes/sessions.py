"""/v1/sessions: conversations under names of the caller's choice."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response
from uuid_utils.compat import uuid7

from api.dependencies import FilteredByUser, Moment_, Read, SessionName, Windowed, Write, session_name
from api.resources import (
    Json,
    NewName,
    NewSession,
    NewSessionMessages,
    PageResource,
    SessionResource,
    aggregate_resource,
    page_resource,
)
from api.routes.conversations import (
    carried_out,
    lifecycle_routes,
    message_routes,
    metadata_route,
    versioned,
)
from domain.commands import Name, RenameSession, Start
from domain.sessions import Session
from projections.history import state_as_of
from projections.sessions import get_session, list_sessions

router = APIRouter(tags=["sessions"])


@router.post("/sessions", response_model=SessionResource, status_code=201)
async def start_session(body: NewSession, writing: Write) -> Response:
    """Start a session. Not needed before adding messages, which starts one by itself."""
    return await carried_out(
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
def list_(reading: Read, window: Windowed, criteria: FilteredByUser) -> Response:
    """Sessions in the order they began."""
    page = list_sessions(reading.store.database, reading.project, window, criteria)
    return Json(page_resource(page, aggregate_resource))


@router.get("/sessions/{session_id}", response_model=SessionResource, name="get session")
def get(name: SessionName, reading: Read, as_of: Moment_, deleted: bool = False) -> Response:
    """The session now, or as it was then with ``as_of``."""
    if as_of is not None:
        target = Name(reading.project, Session.KIND, "", name)
        state = state_as_of(reading.store.application, target, as_of)
    else:
        state = get_session(reading.store.database, reading.project, name, deleted=deleted)
    return versioned(state, aggregate_resource(state))


@router.post("/sessions/{session_id}/rename", response_model=SessionResource, name="rename session")
async def rename(name: SessionName, body: NewName, writing: Write) -> Response:
    """Give the session another name; its old one is free. History and messages go with it."""
    expected = writing.expected_version
    command = RenameSession(name=name, new_name=body.session_id, expected_version=expected)
    return await carried_out(writing, command)


router.include_router(message_routes("session", session_name, NewSessionMessages))
router.include_router(metadata_route("session", session_name, SessionResource))
router.include_router(lifecycle_routes("session", session_name, SessionResource))
