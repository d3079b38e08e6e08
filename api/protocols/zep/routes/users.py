"""``/api/v1/user``: users, their sessions, and the purge of a user and everything of theirs."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from recountdb.api.protocols.base import RequestContext, read_body
from recountdb.api.protocols.zep.errors import refuse_request
from recountdb.api.protocols.zep.parameters import (
    authenticate_client,
    check_new_name,
    read_name,
    read_name_loosely,
    read_window,
)
from recountdb.api.protocols.zep.queries import ROWS_MAX, find_all_sessions, find_all_users
from recountdb.api.protocols.zep.responses import respond_json, respond_text
from recountdb.api.protocols.zep.routing import create_zep_router
from recountdb.api.protocols.zep.rules import DELETED_THROUGH_ZEP
from recountdb.api.protocols.zep.shapes import UserDetails, to_zep_session, to_zep_user
from recountdb.api.services.purge import check_target, find_targets, purge_targets
from recountdb.domain.commands.base import Name
from recountdb.domain.commands.common import Start
from recountdb.domain.commands.users import ChangeUser
from recountdb.domain.errors import AlreadyExists, OnHold
from recountdb.domain.users import Profile, User
from recountdb.projections.lists.paging import Filter, Window
from recountdb.projections.views.users import get_user

PURGE_SECONDS_MAX = 8
"""How long to wait for another purge; zep-python waits 10 s for a response."""

router = create_zep_router()


@router.get("/api/v1/user")
async def list_users(request: Request) -> Response:
    context = await authenticate_client(request)
    page = await context.find_whole(find_all_users, read_window(request))
    return respond_json(list(map(to_zep_user, page.items)))


@router.post("/api/v1/user")
async def add_user(request: Request) -> Response:
    context = await authenticate_client(request)
    body = await read_body(request, UserDetails)
    if not body.user_id:
        refuse_request("UserID cannot be empty")
    name = check_new_name(body.user_id, "user_id")
    profile = Profile.model_validate(body.profile)
    try:
        outcome = await context.execute(
            Start(kind=User.KIND, name=name, profile=profile, metadata=body.metadata)
        )
    except AlreadyExists:
        refuse_request(f"user already exists with user_id: {name}")
    return respond_json(to_zep_user(outcome.state), 201)  # type: ignore[arg-type]


@router.get("/api/v1/user/{user_id}")
async def read_user(user_id: str, request: Request) -> Response:
    context = await authenticate_client(request)
    return respond_json(to_zep_user(await context.find(get_user, read_name(user_id, User.KIND))))


@router.patch("/api/v1/user/{user_id}")
async def change_user(user_id: str, request: Request) -> Response:
    context = await authenticate_client(request)
    body = await read_body(request, UserDetails)
    name = read_name(user_id, User.KIND)
    await context.find(get_user, name)  # to Zep, a deleted user does not exist
    outcome = await context.execute(ChangeUser(name=name, changes=body.profile, metadata=body.metadata))
    return respond_json(to_zep_user(outcome.state))  # type: ignore[arg-type]


@router.delete("/api/v1/user/{user_id}")
async def delete_user(user_id: str, request: Request) -> Response:
    """Purge a user and everything of theirs, as Zep does."""
    context = await authenticate_client(request)
    name = read_name(user_id, User.KIND)
    await context.find(get_user, name)
    await context.store.call(_purge_user, context, name)
    return respond_text()


@router.get("/api/v1/user/{user_id}/sessions")
async def list_sessions_of_user(user_id: str, request: Request) -> Response:
    context = await authenticate_client(request)
    owned = Filter(scope="", user_id=read_name_loosely(user_id))
    page = await context.find_whole(find_all_sessions, Window(limit=ROWS_MAX), owned)
    return respond_json(list(map(to_zep_session, page.items)))


def _purge_user(context: RequestContext, name: str) -> None:
    """Erase a user and everything of theirs, or nothing if a legal hold forbids it. Raises OnHold."""
    application = context.store.application
    targets = list(find_targets(application.database, Name(context.project, User.KIND, "", name)))
    for target in targets:
        if check_target(application, target).why_not is not None:
            raise OnHold(target.kind)
    purge_targets(
        application,
        targets,
        lambda project: context.event_context,
        reason=DELETED_THROUGH_ZEP,
        insist=True,
        patience_seconds=PURGE_SECONDS_MAX,
    )
