"""/v1/users: profiles that sessions and messages point to by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from recountdb.api.http.context import Read, UserName, Write, user_name
from recountdb.api.http.query_parameters import ListQuery, StateQuery
from recountdb.api.http.routes import native_router
from recountdb.api.http.routes.conversations import (
    add_lifecycle_routes,
    execute_to_response,
    find_to_response,
)
from recountdb.api.http.routes.sessions import sessions_page
from recountdb.api.schemas.requests import NewUser, UserChanges
from recountdb.api.schemas.responses import (
    Json,
    PageResource,
    SessionResource,
    UserResource,
    aggregate_resource,
    page_resource,
)
from recountdb.domain.commands.common import Start
from recountdb.domain.commands.users import ChangeUser
from recountdb.domain.users import User
from recountdb.projections.views.sessions import list_sessions
from recountdb.projections.views.users import get_user, list_users

router = native_router("users")


@router.post("/users", response_model=UserResource, status_code=201)
async def create_user(body: NewUser, writing: Write) -> Response:
    """Create a user."""
    return await execute_to_response(
        writing,
        Start(
            kind=User.KIND,
            name=body.user_id,
            profile=body.profile(),
            metadata=body.metadata,
            expected_version=writing.expected_version,
        ),
        201,
    )


@router.get("/users", response_model=PageResource[UserResource], name="list users")
async def list_(reading: Read, query: Annotated[ListQuery, Query()]) -> Response:
    """Users in the order they were created."""
    page = await reading.find(list_users, query.window, query.criteria)
    return Json(page_resource(page, aggregate_resource))


@router.get("/users/{user_id}", response_model=UserResource, name="get user")
async def get(name: UserName, reading: Read, query: Annotated[StateQuery, Query()]) -> Response:
    """The user now, or as they were then with ``as_of``."""
    return await find_to_response(reading, User.KIND, name, query, get_user)


@router.patch("/users/{user_id}", response_model=UserResource)
async def change_user(name: UserName, body: UserChanges, writing: Write) -> Response:
    """Replace the members that are given, and merge ``metadata``."""
    command = ChangeUser(
        name=name,
        changes=body.changes(),
        metadata=body.metadata,
        expected_version=writing.expected_version,
    )
    return await execute_to_response(writing, command)


@router.get(
    "/users/{user_id}/sessions",
    response_model=PageResource[SessionResource],
    name="list user sessions",
)
async def sessions_of(name: UserName, reading: Read, query: Annotated[ListQuery, Query()]) -> Response:
    """The user's sessions in the order they began; none for a user nobody has heard of."""
    own = replace(query.criteria, user_id=name)
    page = await reading.find(list_sessions, query.window, own)
    return await sessions_page(reading, page)


add_lifecycle_routes(router, "user", user_name, UserResource)
