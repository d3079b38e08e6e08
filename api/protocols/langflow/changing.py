"""``PUT``, ``PATCH`` and ``DELETE`` of ``…/messages…``: changing messages, renaming and deleting sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Concatenate, ParamSpec
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import RootModel
from starlette.responses import Response

from recountdb.api.protocols.base import BodyInvalid, Visit, again, body_as
from recountdb.api.protocols.langflow import changes
from recountdb.api.protocols.langflow.errors import Refused
from recountdb.api.protocols.langflow.flows import Flows
from recountdb.api.protocols.langflow.messages import MessageUpdate, list_item, single
from recountdb.api.protocols.langflow.visiting import Visited, Visiting, Words, in_path
from recountdb.api.schemas.responses import Json
from recountdb.domain.commands import Command
from recountdb.domain.errors import NotFound
from recountdb.eventlog.application import Recount
from recountdb.eventlog.write.ports import Outcome
from recountdb.projections.queries.recent_messages import newest_messages
from recountdb.projections.views.messages import FoundMessage, get_message

P = ParamSpec("P")

SESSIONS_MAX = 500  # in one bulk deletion


class _MessageIds(RootModel[list[UUID]]):
    """The body of a deletion of messages."""


class _SessionIds(RootModel[list[str]]):
    """The body of a deletion of sessions."""


def add_routes(router: APIRouter, path: str, visiting: Visiting) -> None:
    """Add routes under ``path`` that change a message or session of the flows that ``visiting`` finds."""

    @router.put(f"{path}/{{message_id}}")
    async def update(message_id: UUID, request: Request, visited: Visited = Depends(visiting)) -> Response:
        """Change the members that are given."""
        here, flows = visited
        given = (await body_as(request, MessageUpdate)).given()
        if not given.get("session_id", "new"):
            raise BodyInvalid("session_id", "must not be empty")
        try:
            change = partial(_carry_out, here, changes.update, message_id, given, flows, is_edit=True)
            outcome = await again(change)
            return Json(single(await here.find(get_message, outcome.message_ids[0])))
        except NotFound:
            raise Refused(404, "Message not found") from None

    @router.patch(f"{path}/session/{{session_id}}")
    async def rename(
        session_id: str, new_session_id: Words, visited: Visited = Depends(visiting)
    ) -> Response:
        """Move the messages of a session to another session id, joining the session that has it, if any."""
        here, flows = visited
        old, new = in_path(session_id), changes.session_named(new_session_id)
        moved: list[FoundMessage] = []
        for scope in await here.find(changes.scopes_of, old, flows):
            with suppress(NotFound):
                moved += await _rename_in(here, scope, old, new)
        if not moved:
            raise Refused(404, "No messages found with the given session ID")
        return Json([list_item(one) for one in reversed(moved)])

    @router.delete(f"{path}/session/{{session_id}}")
    async def delete_session(session_id: str, visited: Visited = Depends(visiting)) -> Response:
        """Delete all messages of a session."""
        here, flows = visited
        name = in_path(session_id)
        await _delete_all(here, await here.recall(changes.deletions_of_session, here.project, name, flows))
        return _no_content()


def add_bulk_routes(router: APIRouter, path: str, visiting: Visiting) -> None:
    """Add routes that delete many messages or sessions at once, which Langflow lacks for shared flows."""

    @router.delete(path)
    async def delete_messages(request: Request, visited: Visited = Depends(visiting)) -> Response:
        """Delete messages by their ids; unknown ids are ignored."""
        here, flows = visited
        ids = (await body_as(request, _MessageIds)).root
        await _delete_all(here, await here.recall(changes.deletions, here.project, ids, flows))
        return _no_content()

    @router.delete(f"{path}/sessions")
    async def delete_sessions(request: Request, visited: Visited = Depends(visiting)) -> Response:
        """Delete all messages of some sessions, and answer how many sessions had any."""
        here, flows = visited
        names = (await body_as(request, _SessionIds)).root
        if len(names) > SESSIONS_MAX:
            raise Refused(400, f"Cannot delete more than {SESSIONS_MAX} sessions at once")
        count = 0
        for name in dict.fromkeys(names):
            deletions = await here.recall(changes.deletions_of_session, here.project, name, flows)
            count += await _delete_all(here, deletions)
        message = f"Deleted the messages of {count} session(s)" if count else "No sessions to delete"
        return Json({"message": message, "deleted_count": count})


def _no_content() -> Response:
    return Response(status_code=204, media_type="application/json")


# ---- execution ----------------------------------------------------------------------------------


async def _carry_out(
    here: Visit, make: Callable[Concatenate[Recount, str, P], Command], *given: P.args, **more: P.kwargs
) -> Outcome:
    """Execute the command that ``make`` returns. Raises ExpectationFailed, AlreadyExists: see ``again``."""
    command = await here.recall(make, here.project, *given, **more)
    cause = changes.cause_of(command)
    return await (here if cause is None else here.because_of(cause)).execute(command)


async def _rename_in(here: Visit, scope: str, old: str, new: str) -> list[FoundMessage]:
    """Rename the session of one flow, and return the messages that it had, newest first."""
    outcome = await again(partial(_carry_out, here, changes.rename, scope, old, new))
    found = await here.find_whole(newest_messages, Flows(scope).said(session=new), limit=None)
    has_joined = bool(outcome.message_ids)  # else it was renamed, and every message found was its own
    return [one for one in found if not has_joined or one.message.id in outcome.message_ids]


async def _delete_all(here: Visit, commands: Sequence[Command]) -> bool:
    """Execute deletions, ignoring what was deleted meanwhile; return whether there were any."""
    for command in commands:
        with suppress(NotFound):
            await here.execute(command)
    return bool(commands)
