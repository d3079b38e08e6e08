"""/users: the people who speak in threads."""

from __future__ import annotations

from uuid import UUID

from fastapi import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from recountdb.api.protocols.base import RequestContext, authenticate, read_body
from recountdb.api.protocols.langmem.routing import create_langmem_router
from recountdb.api.protocols.langmem.shapes.requests import UserQuery, UserToUpsert
from recountdb.api.protocols.langmem.shapes.responses import to_langmem_user
from recountdb.api.schemas.responses import Json
from recountdb.domain.commands.users import ChangeUser, UpsertUser
from recountdb.domain.users import User
from recountdb.projections.views.users import find_users, get_user

router = create_langmem_router()


@router.post("/users")
async def create_user(request: Request) -> Response:
    """Create a user, or replace the members that are given of an existing one."""
    context = await authenticate(request)
    body = await read_body(request, UserToUpsert)
    return await _send(context, UpsertUser, body.id or uuid7(), body)


@router.patch("/users/{user_id}")
async def update_user(request: Request, user_id: UUID) -> Response:
    """Replace the members that are given."""
    context = await authenticate(request)
    return await _send(context, ChangeUser, user_id, await read_body(request, UserToUpsert))


@router.get("/users/{user_id}")
async def read_user(request: Request, user_id: UUID) -> Response:
    context = await authenticate(request)
    return Json(to_langmem_user(await context.find(get_user, str(user_id))))


@router.post("/users/query")
async def list_users(request: Request) -> Response:
    """List all users whose name and id are among those asked for."""
    context = await authenticate(request, scope="read")
    body = await read_body(request, UserQuery)
    ids = None if body.id is None else [str(user_id) for user_id in body.id]
    users = await context.find(find_users, names=ids, display_names=body.name)
    return Json({"users": [to_langmem_user(user) for user in users]})


@router.post("/users/{user_id}/trigger-all")
async def trigger_all_for_user(request: Request, user_id: UUID) -> Response:
    """Do nothing, because no memories are made of messages."""
    await authenticate(request)
    return Json({})


async def _send(
    context: RequestContext, command: type[ChangeUser], user_id: UUID, body: UserToUpsert
) -> Response:
    """Execute the change, and answer with the user as it is afterwards."""
    outcome = await context.execute(
        command(
            name=str(user_id),
            changes=body.changes(),
            metadata=body.metadata,
            replaces_metadata=True,
        )
    )
    assert isinstance(outcome.state, User)
    return Json(to_langmem_user(outcome.state))
