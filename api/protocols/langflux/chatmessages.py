"""``/api/v1/chatmessage/{chatflowid}``: reading, writing and deleting chat messages."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from recountdb.api.http.middleware import IN_NO_NAME, SLASH_IN_SEGMENT
from recountdb.api.protocols.base import Visit, body_as, visit
from recountdb.api.protocols.exchange import Exchange
from recountdb.api.protocols.langflux.errors import refused
from recountdb.api.protocols.langflux.messages import (
    DEFAULT_CHAT_TYPE,
    KEY,
    NewChatMessage,
    chat_message,
    created,
    extras_of,
    members_of,
    role_of,
    scope_of,
    session_id_of,
)
from recountdb.api.schemas.responses import Json
from recountdb.api.settings import Settings
from recountdb.api.transfer.cleaning import loads
from recountdb.domain.commands import DeleteMessages
from recountdb.domain.errors import MessageIdTaken, NotFound
from recountdb.domain.sessions import Session
from recountdb.domain.values import check_text, to_utc
from recountdb.projections.queries.recent_messages import Label, Said, latest_sessions, newest_messages
from recountdb.projections.views.messages import FoundMessage, get_message

KNOWN = {
    *("sessionId", "chatId", "memoryType", "messageId", "chatType", "startDate", "endDate", "feedbackType"),
    *("order", "sort", "feedback", "page", "limit", "hardDelete", "isClearFromViewMessageDialog"),
}
"""The parameters that a deletion may have; an unknown one is refused, as it may mean to delete less."""

MANY = {"chatType", "feedbackType"}
"""The parameters that may be repeated."""

INDEX = re.compile(r"\[\d*\]$")
WHOLE = re.compile(r"\s*[+-]?\d+")
"""The part of a text that JavaScript's parseInt reads."""

DATES = (
    *("%Y", "%Y-%m", "%Y/%m/%d", "%m/%d/%Y", "%b %d, %Y"),
    *("%a %b %d %Y", "%a %b %d %Y %H:%M:%S GMT%z"),
)
"""The formats that JavaScript's Date parses besides ISO 8601 and RFC 5322; it writes the last two itself."""

MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Wanted:
    """A selection of a chatflow's messages: a filter for the store, and what to select from its result.

    ``ratings``: only messages with these ratings, each with the message just before it; None for all.
    ``page``, ``limit``: the page of sessions, and its size; 0 for all.
    """

    said: Said
    ratings: Collection[str] | None = None
    page: int = 0
    limit: int = 0

    @property
    def is_paged(self) -> bool:
        of_one = self.said.session is not None or self.said.message_id is not None
        return self.page > 0 and self.limit > 0 and not of_one


def add_routes(router: APIRouter, settings: Settings) -> None:
    as_strings = settings.langflux_json_columns == "string"

    @router.get("/api/v1/chatmessage")
    @router.get("/api/v1/chatmessage/")
    @router.delete("/api/v1/chatmessage")
    @router.delete("/api/v1/chatmessage/")
    async def unnamed(request: Request) -> Response:
        """Refuse a request that names no chatflow."""
        await visit(request)
        raise refused(412, "Error: chatMessagesController - id not provided!")

    @router.get("/api/v1/chatmessage/{chatflow}")
    async def messages(chatflow: str, request: Request) -> Response:
        """List the chat messages of a chatflow."""
        return await listed(chatflow, request, None)

    @router.get("/api/v1/internal-chatmessage/{chatflow}")
    async def internal(chatflow: str, request: Request) -> Response:
        """List the chat messages from the canvas only, and never in pages."""
        return await listed(chatflow, request, ["INTERNAL"])

    async def listed(chatflow: str, request: Request, chat_types: list[str] | None) -> Response:
        here = await visit(request)
        query = Query(request)
        has_feedback = bool(query.one("feedback"))
        wanted = query.wanted(scope_in(chatflow), has_feedback=has_feedback, chat_types=chat_types)
        if chat_types is not None:
            wanted = replace(wanted, page=0)
        found = await find(here, wanted, is_descending=query.is_descending)
        return Json([chat_message(one, as_strings=as_strings, feedback=has_feedback) for one in found])

    @router.post("/api/v1/chatmessage/{chatflow}")
    async def add(chatflow: str, request: Request) -> Response:
        """Store a message, and answer what was stored."""
        here = await visit(request)
        scope = chatflow_id(chatflow)
        body = await body_as(request, NewChatMessage)
        given = body.model_dump(mode="json", exclude_none=True)
        chat_id = given.setdefault("chatId", given.get("sessionId") or str(uuid7()))
        at = None if body.createdDate is None else moment_in("createdDate", body.createdDate)
        exchange = Exchange(here, scope, given.get("sessionId") or chat_id)
        if body.id is not None:
            await _refuse_taken(here, exchange, body.id)
        message = await exchange.record(members_of(given, at), body.id)
        return Json(chat_message(await here.find(get_message, message.id), as_strings=as_strings))

    @router.delete("/api/v1/chatmessage/{chatflow}")
    async def delete(chatflow: str, request: Request) -> Response:
        """Delete the messages of a chatflow that the parameters select; without parameters, all of them."""
        here = await visit(request)
        scope = chatflow_id(chatflow)
        query = Query(request)
        query.refuse_unclear()
        # As in Flowise, empty values filter nothing if a chat is given.
        wanted = query.wanted(scope, has_feedback=True, is_strict=not query.one("chatId"))
        found = await find(here, wanted, with_one_before=False)
        return Json({"raw": [], "affected": await _delete_all(here, found)})

    @router.put("/api/v1/chatmessage/abort/{chatflow}/{chat_id}")
    async def abort(chatflow: str, chat_id: str, request: Request) -> Response:
        """Acknowledge the request; an answer under way goes on until its caller hangs up."""
        await visit(request)
        return Json({"status": 200, "message": "Chat message aborted"})


# ---- parsing of requests ------------------------------------------------------------------------


def scope_in(chatflow: str) -> str:
    """Return the scope of a chatflow to read; one that is not a valid id has no messages."""
    return scope_of(chatflow) or chatflow.replace(SLASH_IN_SEGMENT, "/")


def chatflow_id(chatflow: str) -> str:
    """Return the scope of a chatflow to change. Raises a refusal if its id is invalid."""
    scope = scope_of(chatflow)
    if scope is None:
        raise refused(400, "Invalid UUID format for chatflowId")
    return scope


class Query:
    """Query parameters as Express reads them: one may be repeated, or have ``[]`` or ``[0]`` in its name."""

    def __init__(self, request: Request) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            try:
                self._values.setdefault(INDEX.sub("", name), []).append(check_text(value))
            except ValueError:
                raise refused(400, f"{name[:100]!r} cannot be read") from None

    def one(self, name: str) -> str | None:
        values = self._values.get(name)
        return values[0] if values else None

    def many(self, name: str) -> list[str]:
        """Return the values of a parameter that may be repeated, or be a JSON array."""
        return many_in(self._values.get(name, ()))

    def moment(self, name: str) -> datetime | None:
        value = self.one(name)
        return moment_in(name, value) if value else None

    def count(self, name: str) -> int:
        """Return a number, 0 if there is none. Raises a refusal for a negative one."""
        found = WHOLE.match((self.one(name) or "")[:20])
        number = int(found[0]) if found else 0
        if number < 0:
            raise refused(412, f"Error: {name} cannot be negative!")
        return min(number, 2**31)

    @property
    def is_descending(self) -> bool:
        """Return whether ``order``, or else ``sort``, its name in the documentation, is exactly ``DESC``."""
        order = self.one("order")
        return (self.one("sort") if order is None else order) == "DESC"

    def refuse_unclear(self) -> None:
        """Raise a refusal if it is not clear what a deletion is about."""
        for name, values in self._values.items():
            if name not in KNOWN:
                raise refused(400, f"there is no parameter {name[:100]!r}; nothing was deleted")
            if len(values) > 1 and name not in MANY:
                raise refused(400, f"the parameter {name!r} is there twice; nothing was deleted")

    def wanted(
        self,
        scope: str,
        *,
        has_feedback: bool,
        is_strict: bool = False,
        chat_types: list[str] | None = None,
    ) -> Wanted:
        """Return the selection that the parameters ask for. Raises a refusal if one of them is invalid.

        Ratings and pages count with ``has_feedback`` only; then empty values filter nothing, unless
        ``is_strict``. ``chat_types``: overrides the parameter ``chatType``.
        """
        equal = {name: self.one(name) for name in ("sessionId", "chatId", "memoryType", "messageId")}
        if has_feedback and not is_strict:
            equal = {name: value or None for name, value in equal.items()}
        message_id = equal["messageId"]
        kept: dict[str, Any] = {
            name: equal[name] for name in ("chatId", "memoryType") if equal[name] is not None
        }
        session = equal["sessionId"]
        if session == "":
            session, kept["sessionId"] = None, ""  # no session has an empty name
        until = self.moment("endDate")
        types = chat_types or self.many("chatType")
        said = Said(
            # An invalid message id belongs to no message.
            scope=scope if message_id is None or scope_of(message_id) else IN_NO_NAME,
            session=session,
            message_id=as_uuid(message_id),
            metadata={KEY: kept} if kept else None,
            without={KEY: {"sessionId": None}} if session is not None else None,
            label=by_chat_type(types) if types else None,
            since=self.moment("startDate"),
            until=None if until is None else until + MILLISECOND,
        )
        ratings = self.many("feedbackType") if has_feedback else []
        page, limit = self.count("page"), self.count("limit")  # validated even where they are ignored
        return Wanted(said, ratings or None, page, limit) if has_feedback else Wanted(said)


def many_in(values: Iterable[str]) -> list[str]:
    """Return all values, with a JSON array replaced by its items, and without empty texts."""
    found: list[str] = []
    for value in values:
        read: Any = value
        with suppress(ValueError):
            read = loads(value)
        found += map(str, read) if isinstance(read, list) else [value]
    return [value for value in found if value]


def as_uuid(text: str | None) -> UUID | None:
    scope = None if text is None else scope_of(text)
    return None if scope is None else UUID(scope)


def by_chat_type(types: Sequence[str]) -> Label:
    return Label((KEY, "chatType"), types, None if DEFAULT_CHAT_TYPE in types else ())


def moment_in(name: str, text: str) -> datetime:
    """Parse a time as JavaScript does; without a zone it is UTC. Raises a refusal."""
    with suppress(ValueError):
        return to_utc(datetime.fromisoformat(text))
    for form in DATES:
        with suppress(ValueError):
            found = datetime.strptime(text.partition(" (")[0], form)  # noqa: DTZ007 - to_utc sees to that
            return to_utc(found)
    with suppress(ValueError, TypeError):
        return to_utc(parsedate_to_datetime(text))
    raise refused(400, f"{name} is not a date")


# ---- execution ----------------------------------------------------------------------------------


async def find(
    here: Visit, wanted: Wanted, *, is_descending: bool = False, with_one_before: bool = True
) -> list[FoundMessage]:
    """Return the selected messages, oldest first unless ``is_descending``.

    ``with_one_before``: whether a selection by ratings includes the message before each.
    """
    if wanted.is_paged:
        found = await _page_of_sessions(here, wanted, is_descending=is_descending)
    else:
        found = await here.find_whole(newest_messages, wanted.said, limit=None)
    if wanted.ratings is not None:
        return _chosen(found[::-1], wanted.ratings, with_one_before=with_one_before)
    return found if is_descending else found[::-1]


async def _page_of_sessions(here: Visit, wanted: Wanted, *, is_descending: bool) -> list[FoundMessage]:
    """Return all selected messages of the sessions on a page, newest first."""
    names = await _sessions_with(here, wanted)
    if not is_descending:
        names = names[::-1]
    first = (wanted.page - 1) * wanted.limit
    found: list[FoundMessage] = []
    for name in names[first : first + wanted.limit]:
        found += await here.find_whole(newest_messages, replace(wanted.said, session=name), limit=None)
    return sorted(found, key=lambda one: created(one.message), reverse=True)


async def _sessions_with(here: Visit, wanted: Wanted) -> list[str]:
    """Return the names of the sessions with selected messages, the one with the newest first."""
    if wanted.ratings is None:
        return [session.name for session in await here.find(latest_sessions, wanted.said, limit=None)]
    found = await here.find_whole(newest_messages, wanted.said, limit=None)
    rated = (one for one in found if _is_rated(one, wanted.ratings) and session_id_of(one))
    return list(dict.fromkeys(one.conversation for one in rated))


def _chosen(
    found: Sequence[FoundMessage], ratings: Collection[str], *, with_one_before: bool
) -> list[FoundMessage]:
    """Return the messages with such a rating, each with the one before it in its session.

    Both ``found`` and the result are ordered oldest first.
    """
    before: dict[str, FoundMessage] = {}
    picked: dict[Any, FoundMessage] = {}
    for one in found:
        if not session_id_of(one) and with_one_before:
            continue
        if _is_rated(one, ratings):
            previous = before.get(one.conversation)
            if previous is not None and with_one_before:
                picked[previous.message.id] = previous
            picked[one.message.id] = one
        before[one.conversation] = one
    return sorted(picked.values(), key=lambda one: created(one.message))


def _is_rated(found: FoundMessage, ratings: Collection[str]) -> bool:
    feedback = extras_of(found.message).get("feedback") or {}
    return role_of(found.message) == "apiMessage" and feedback.get("rating") in ratings


async def _refuse_taken(here: Visit, exchange: Exchange, message_id: UUID) -> None:
    """Raise MessageIdTaken when a message of another session has this id."""
    with suppress(NotFound):
        found = await here.find(get_message, message_id)
        if (found.scope, found.conversation) != (exchange.scope, exchange.session):
            raise MessageIdTaken(message_id)


async def _delete_all(here: Visit, found: Sequence[FoundMessage]) -> int:
    """Delete messages, by one command for each session; return how many messages this deleted."""
    by_session: dict[str, list[FoundMessage]] = {}
    for one in found:
        by_session.setdefault(one.conversation, []).append(one)
    count = 0
    for name, members in by_session.items():
        ids = [one.message.id for one in members]
        with suppress(NotFound):
            outcome = await here.execute(
                DeleteMessages(kind=Session.KIND, name=name, scope=members[0].scope, message_ids=ids)
            )
            count += len(outcome.events)
    return count
