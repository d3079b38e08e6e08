"""``/api/v1/monitor/messages…``: the message history as Langflow's user interface and its clients see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Concatenate, ParamSpec
from urllib.parse import unquote
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import RootModel
from starlette.responses import Response

from api.middleware import SLASH_IN_SEGMENT
from api.protocols.frame import BodyInvalid, Visit, again, body_as, visit
from api.protocols.langflow import changes
from api.protocols.langflow.errors import Refused
from api.protocols.langflow.messages import (
    KEY,
    SENDER_NAMES,
    SENDERS,
    MessageUpdate,
    list_item,
    roles_with,
    single,
)
from api.resources import Json
from api.settings import Settings
from domain.commands import Command
from domain.errors import NotFound
from domain.values import Text
from eventlog.application import Recount
from eventlog.changes import Outcome
from projections.messages import FoundMessage, get_message
from projections.spoken import (
    Label,
    Said,
    Speaker,
    latest_sessions,
    newest_messages,
    scopes_spoken_in,
)

P = ParamSpec("P")

LIMIT_DEFAULT = 100
LIMIT_MAX = 200
SESSIONS_MAX = 500  # in one bulk deletion

ORDER_BY = ("timestamp", "sender", "sender_name", "session_id", "text")


class MessageIds(RootModel[list[UUID]]):
    """The body of a deletion of messages."""


class SessionIds(RootModel[list[str]]):
    """The body of a deletion of sessions."""


async def visitor(request: Request) -> Visit:
    """Langflow's clients may also send their key in the query."""
    return await visit(request, key=request.query_params.get("x-api-key"))


NUL = "\x00"  # which PostgreSQL takes in no text
IN_NO_NAME = "\x1f"

Here = Annotated[Visit, Depends(visitor)]
Words = Annotated[Text, Query()]
Count = Annotated[int, Query(ge=0, le=2**62)]


def add_routes(router: APIRouter, settings: Settings) -> None:
    """Reading and changing messages."""
    is_capped = not settings.langflow_list_all

    @router.get("/api/v1/monitor/messages")
    async def messages(
        here: Here,
        flow_id: UUID | None = None,
        session_id: Words = "",
        end_user_id: Words = "",
        sender: Words = "",
        sender_name: Words = "",
        order_by: str = "timestamp",
        order: str = "ASC",
        limit: Count = 0,
        offset: Count = 0,
    ) -> Response:
        """The newest ``limit`` messages after skipping ``offset`` of them, and only then in ``order``."""
        if order_by not in ("", *ORDER_BY):
            raise Refused(400, f"order_by must be one of {', '.join(ORDER_BY)}")
        if order_by and order.upper() not in ("ASC", "DESC"):
            raise Refused(400, "order must be ASC or DESC")
        said = Said(
            scope=None if flow_id is None else str(flow_id),
            session=readable(session_id),
            user_id=end_user_id or None,
            label=by_sender(sender),
            speaker=by_sender_name(sender_name),
        )
        found = await here.find(newest_messages, said, limit=cap(limit, is_capped), offset=offset)
        return Json(in_order([list_item(one) for one in found], order_by, order))

    @router.get("/api/v1/monitor/messages/sessions")
    async def sessions(
        here: Here, flow_id: UUID | None = None, limit: Count = 0, offset: Count = 0
    ) -> Response:
        """Session ids, the one that was last spoken in first."""
        said = Said(scope=None if flow_id is None else str(flow_id))
        found = await here.find(
            latest_sessions, said, limit=cap(limit, is_capped), offset=offset, unless_begins="agentic_"
        )
        return Json([session.name for session in found])

    @router.put("/api/v1/monitor/messages/{message_id}")
    async def update(message_id: UUID, here: Here, request: Request) -> Response:
        """Change the members that are given."""
        given = (await body_as(request, MessageUpdate)).given()
        if not given.get("session_id", "new"):
            raise BodyInvalid("session_id", "must not be empty")
        try:
            outcome = await again(partial(carry_out, here, changes.update, message_id, given))
            return Json(single(await here.find(get_message, outcome.message_ids[0])))
        except NotFound:
            raise Refused(404, "Message not found") from None

    @router.patch("/api/v1/monitor/messages/session/{session_id}")
    async def rename(session_id: str, here: Here, new_session_id: Words) -> Response:
        """Give what a session says another session id, in all flows. One that has it already is joined."""
        old, new = in_path(session_id), changes.session_named(new_session_id)
        moved: list[FoundMessage] = []
        for scope in await here.find(scopes_spoken_in, old):
            with suppress(NotFound):
                moved += await rename_in(here, scope, old, new)
        if not moved:
            raise Refused(404, "No messages found with the given session ID")
        return Json([list_item(one) for one in reversed(moved)])

    @router.delete("/api/v1/monitor/messages")
    async def delete_messages(here: Here, request: Request) -> Response:
        """Delete messages by their ids; unknown ones are passed over."""
        ids = (await body_as(request, MessageIds)).root
        await delete_all(here, await here.recall(changes.deletions, here.project, ids))
        return no_content()

    @router.delete("/api/v1/monitor/messages/session/{session_id}")
    async def delete_session(session_id: str, here: Here) -> Response:
        """Delete all messages of a session, in all flows."""
        name = in_path(session_id)
        await delete_all(here, await here.recall(changes.deletions_of_session, here.project, name))
        return no_content()

    @router.delete("/api/v1/monitor/messages/sessions")
    async def delete_sessions(here: Here, request: Request) -> Response:
        """Delete all messages of some sessions; tells how many had any."""
        names = (await body_as(request, SessionIds)).root
        if len(names) > SESSIONS_MAX:
            raise Refused(400, f"Cannot delete more than {SESSIONS_MAX} sessions at once")
        count = 0
        for name in dict.fromkeys(names):
            deletions = await here.recall(changes.deletions_of_session, here.project, name)
            count += await delete_all(here, deletions)
        message = f"Deleted the messages of {count} session(s)" if count else "No sessions to delete"
        return Json({"message": message, "deleted_count": count})


# ---- what a request says ------------------------------------------------------------------------


def cap(limit: int, is_capped: bool) -> int | None:
    """How many rows a list may have; None for all."""
    if not is_capped:
        return limit or None
    return min(limit or LIMIT_DEFAULT, LIMIT_MAX)


def readable(session_id: str) -> str | None:
    """A session id in a query, decoded once more, as the web interface encodes it twice."""
    return unquote(session_id).replace(NUL, IN_NO_NAME) or None


def in_path(segment: str) -> str:
    return segment.replace(SLASH_IN_SEGMENT, "/").replace(NUL, IN_NO_NAME)


def by_sender(sender: str) -> Label | None:
    return Label((KEY, "sender"), [sender], roles_with(SENDERS, sender)) if sender else None


def by_sender_name(name: str) -> Speaker | None:
    return Speaker(name, roles_with(SENDER_NAMES, name)) if name else None


def in_order(items: list[dict[str, Any]], order_by: str, order: str) -> list[dict[str, Any]]:
    """``items``, the newest first, as they were asked for."""
    if order_by == "":
        return items
    is_descending = order.upper() == "DESC"
    rows = items if is_descending else items[::-1]
    if order_by == "timestamp":
        return rows
    return sorted(rows, key=lambda row: str(row[order_by]), reverse=is_descending)


def no_content() -> Response:
    return Response(status_code=204, media_type="application/json")


# ---- what is done -------------------------------------------------------------------------------


async def carry_out(
    here: Visit, make: Callable[Concatenate[Recount, str, P], Command], *given: P.args, **more: P.kwargs
) -> Outcome:
    """Carry out what ``make`` makes. Raises ExpectationFailed, AlreadyExists: see ``again``."""
    command = await here.recall(make, here.project, *given, **more)
    cause = changes.cause_of(command)
    return await (here if cause is None else here.because_of(cause)).execute(command)


async def rename_in(here: Visit, scope: str, old: str, new: str) -> list[FoundMessage]:
    """Rename the session of one flow; returns its messages, the newest first."""
    outcome = await again(partial(carry_out, here, changes.rename, scope, old, new))
    found = await here.find(newest_messages, Said(scope=scope, session=new), limit=None)
    has_joined = bool(outcome.message_ids)  # else it was renamed, and all there is has the new name
    return [one for one in found if not has_joined or one.message.id in outcome.message_ids]


async def delete_all(here: Visit, commands: Sequence[Command]) -> bool:
    """Carry out deletions of what may be gone since it was looked for; tells whether there were any."""
    for command in commands:
        with suppress(NotFound):
            await here.execute(command)
    return bool(commands)
