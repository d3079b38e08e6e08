"""/users: the people who speak in threads."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from recountdb.api.protocols.base import Visit, body_as, visit
from recountdb.api.protocols.langmem.answers import user_object
from recountdb.api.protocols.langmem.bodies import NewUser, UserQuery
from recountdb.api.schemas.responses import Json
from recountdb.domain.commands import ChangeUser
from recountdb.domain.users import User
from recountdb.projections.views.users import find_users, get_user


async def _create_user(request: Request) -> Response:
    """Create a user, or replace the members that are given of an existing one."""
    here = await visit(request)
    body = await body_as(request, NewUser)
    return await _changed(here, body.id or uuid7(), body, starts=True)


async def _update_user(request: Request, user_id: UUID) -> Response:
    """Replace the members that are given."""
    here = await visit(request)
    return await _changed(here, user_id, await body_as(request, NewUser), starts=False)


async def _changed(here: Visit, user_id: UUID, body: NewUser, *, starts: bool) -> Response:
    outcome = await here.execute(
        ChangeUser(
            name=str(user_id),
            changes=body.changes(),
            metadata=body.metadata,
            replaces_metadata=True,
            starts=starts,
        )
    )
    assert isinstance(outcome.state, User)
    return Json(user_object(outcome.state))


async def _get_user(request: Request, user_id: UUID) -> Response:
    here = await visit(request)
    return Json(user_object(await here.find(get_user, str(user_id))))


async def _list_users(request: Request) -> Response:
    """List all users whose name and id are among those asked for."""
    here = await visit(request, scope="read")
    body = await body_as(request, UserQuery)
    ids = None if body.id is None else [str(user_id) for user_id in body.id]
    users = await here.find(find_users, names=ids, display_names=body.name)
    return Json({"users": [user_object(user) for user in users]})


async def _trigger_all_for_user(request: Request, user_id: UUID) -> Response:
    """Do nothing, because no memories are made of messages."""
    await visit(request)
    return Json({})


def add_routes(router: APIRouter) -> None:
    router.post("/users")(_create_user)
    router.get("/users/{user_id}")(_get_user)
    router.patch("/users/{user_id}")(_update_user)
    router.post("/users/query")(_list_users)
    router.post("/users/{user_id}/trigger-all")(_trigger_all_for_user)
