"""``PUT``, ``PATCH`` and ``DELETE`` of ``…/messages…``: changing messages, renaming and deleting sessions."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from recountdb.api.protocols.base import BodyInvalid, RequestContext, read_body, retry_conflicts
from recountdb.api.protocols.langflow.commands import (
    build_deletions,
    build_rename,
    build_session_deletions,
    build_update,
    check_session_id,
    find_scopes,
)
from recountdb.api.protocols.langflow.errors import LangflowRefusal
from recountdb.api.protocols.langflow.execution import answer_no_content, delete_all, execute_built
from recountdb.api.protocols.langflow.parameters import (
    AllFlows,
    FlowsContext,
    SharedFlow,
    Words,
    decode_segment,
)
from recountdb.api.protocols.langflow.routing import create_langflow_router
from recountdb.api.protocols.langflow.rules import Flows
from recountdb.api.protocols.langflow.shapes.messages import (
    MessageIds,
    MessageUpdate,
    SessionIds,
    to_list_item,
    to_single_message,
)
from recountdb.api.schemas.responses import Json
from recountdb.domain.errors import NotFound
from recountdb.projections.queries.recent_messages import find_newest_messages
from recountdb.projections.views.messages import FoundMessage, get_message

SESSIONS_MAX = 500  # in one bulk deletion

router = create_langflow_router()


@router.put("/api/v1/monitor/messages/{message_id}")
async def update_message(message_id: UUID, request: Request, where: AllFlows) -> Response:
    """Change the members that are given."""
    return await _update_message(message_id, request, where)


@router.put("/api/v1/monitor/messages/shared/{message_id}")
async def update_shared_message(message_id: UUID, request: Request, where: SharedFlow) -> Response:
    return await _update_message(message_id, request, where)


@router.patch("/api/v1/monitor/messages/session/{session_id}")
async def rename_session(session_id: str, new_session_id: Words, where: AllFlows) -> Response:
    """Move the messages of a session to another session id, joining the session that has it, if any."""
    return await _rename_session(session_id, new_session_id, where)


@router.patch("/api/v1/monitor/messages/shared/session/{session_id}")
async def rename_shared_session(session_id: str, new_session_id: Words, where: SharedFlow) -> Response:
    return await _rename_session(session_id, new_session_id, where)


@router.delete("/api/v1/monitor/messages/session/{session_id}")
async def delete_session(session_id: str, where: AllFlows) -> Response:
    """Delete all messages of a session."""
    return await _delete_session(session_id, where)


@router.delete("/api/v1/monitor/messages/shared/session/{session_id}")
async def delete_shared_session(session_id: str, where: SharedFlow) -> Response:
    return await _delete_session(session_id, where)


@router.delete("/api/v1/monitor/messages")
async def delete_messages(request: Request, where: AllFlows) -> Response:
    """Delete messages by their ids; unknown ids are ignored."""
    context, flows = where
    ids = (await read_body(request, MessageIds)).root
    await delete_all(context, await context.recall(build_deletions, context.project, ids, flows))
    return answer_no_content()


@router.delete("/api/v1/monitor/messages/sessions")
async def delete_sessions(request: Request, where: AllFlows) -> Response:
    """Delete all messages of some sessions, and answer how many sessions had any."""
    names = (await read_body(request, SessionIds)).root
    if len(names) > SESSIONS_MAX:
        raise LangflowRefusal(400, f"Cannot delete more than {SESSIONS_MAX} sessions at once")
    count = 0
    for name in dict.fromkeys(names):
        count += await _delete_named(name, where)
    message = f"Deleted the messages of {count} session(s)" if count else "No sessions to delete"
    return Json({"message": message, "deleted_count": count})


async def _update_message(message_id: UUID, request: Request, where: FlowsContext) -> Response:
    context, flows = where
    given = (await read_body(request, MessageUpdate)).given()
    if not given.get("session_id", "new"):
        raise BodyInvalid("session_id", "must not be empty")
    try:
        update = partial(execute_built, context, build_update, message_id, given, flows, is_edit=True)
        outcome = await retry_conflicts(update)
        return Json(to_single_message(await context.find(get_message, outcome.message_ids[0])))
    except NotFound:
        raise LangflowRefusal(404, "Message not found") from None


async def _rename_session(session_id: str, new_session_id: str, where: FlowsContext) -> Response:
    context, flows = where
    old, new = decode_segment(session_id), check_session_id(new_session_id)
    moved: list[FoundMessage] = []
    for scope in await context.find(find_scopes, old, flows):
        with suppress(NotFound):
            moved += await _rename_in_flow(context, scope, old, new)
    if not moved:
        raise LangflowRefusal(404, "No messages found with the given session ID")
    return Json(list(map(to_list_item, reversed(moved))))


async def _rename_in_flow(context: RequestContext, scope: str, old: str, new: str) -> list[FoundMessage]:
    """Rename the session of one flow, and return the messages that it had, newest first."""
    outcome = await retry_conflicts(partial(execute_built, context, build_rename, scope, old, new))
    found = await context.find_whole(find_newest_messages, Flows(scope).said(session=new), limit=None)
    has_joined = bool(outcome.message_ids)  # else it was renamed, and every message found was its own
    return [one for one in found if not has_joined or one.message.id in outcome.message_ids]


async def _delete_session(session_id: str, where: FlowsContext) -> Response:
    await _delete_named(decode_segment(session_id), where)
    return answer_no_content()


async def _delete_named(name: str, where: FlowsContext) -> bool:
    """Delete all messages of a session; return whether it had any."""
    context, flows = where
    deletions = await context.recall(build_session_deletions, context.project, name, flows)
    return await delete_all(context, deletions)
