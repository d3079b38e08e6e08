"""Langflow's message store on Recount, for use inside Langflow's process, with the calls of its own store.

    with message_store("postgresql://…", make=Message) as store:   # lfx.schema.message.Message
        langflow.memory.aget_messages = store.aget_messages

Each call exists twice: plain, and with the prefix ``a`` for use in coroutines. A message is any object or
mapping with Langflow's members.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field
from pydantic_core import from_json, to_json
from uuid_utils.compat import uuid7

from recountdb.api.protocols.base import ATTEMPTS_MAX
from recountdb.api.protocols.langflow import commands
from recountdb.api.protocols.langflow.filters import ORDER_BY, filter_by_sender, filter_by_sender_name
from recountdb.api.protocols.langflow.rules import ALL_FLOWS, Flows, choose_scope
from recountdb.api.protocols.langflow.shapes.content_blocks import decode_node
from recountdb.api.protocols.langflow.shapes.messages import (
    EXTRAS,
    KEY,
    from_langflow_message,
    to_full_message,
    unwrap,
)
from recountdb.api.protocols.metadata import find_own_members
from recountdb.api.protocols.responder.exchange import build_message
from recountdb.api.runtime import open_database
from recountdb.domain.commands import AddMessages, Command
from recountdb.domain.errors import AlreadyExists, ExpectationFailed, NotFound
from recountdb.domain.events import Context
from recountdb.domain.messages import Message
from recountdb.domain.sessions import Session
from recountdb.domain.values import to_utc
from recountdb.eventlog.application import Recount
from recountdb.eventlog.write.ports import Outcome
from recountdb.projections.queries.recent_messages import Said, newest_messages
from recountdb.projections.views.messages import FoundMessage
from recountdb.projections.views.registry import CoreViews

logger = logging.getLogger(__name__)

T = TypeVar("T")

KNOWN = ("id", "text", "sender", "sender_name", "session_id", "flow_id", "user_id", "timestamp", *EXTRAS[1:])
REQUIRED = ("session_id", "sender", "sender_name")
UPDATABLE = ("text", "sender", "sender_name", "session_id", *EXTRAS[1:])


class StoredMessage(BaseModel):
    """A message as Langflow's components know it; ``data`` repeats all its members."""

    id: str
    text: str
    text_key: str = "text"
    data: dict[str, Any] = Field(default_factory=dict)
    sender: str
    sender_name: str
    files: list[Any] = Field(default_factory=list)
    session_id: str
    context_id: str | None = None
    run_id: str | None = None
    timestamp: str
    flow_id: str | None = None
    error: bool = False
    edit: bool = False
    properties: dict[str, Any] = Field(default_factory=dict)
    category: str | None = "message"
    content_blocks: list[Any] = Field(default_factory=list)
    duration: float | None = None
    session_metadata: dict[str, Any] | None = None

    def model_post_init(self, context: Any) -> None:
        if not self.data:
            self.data = self.model_dump(exclude={"data", "text_key"})


class Executing(NamedTuple):
    """The flow that is running, and the user it runs for; None where unknown.

    ``is_kept``: whether its messages are stored. ``executor_id``: the user who started it, if somebody else;
    older components name them.
    """

    flow_id: str | UUID | None
    user_id: str | UUID | None
    is_kept: bool = True
    executor_id: str | UUID | None = None


NOTHING = Executing(None, None)


class _Whose(NamedTuple):
    """The flow and the user that a call is about; None where the call is about no particular one."""

    flow_id: str | None
    user_id: str | None


class ElsewhereError(ValueError):
    """Error of a call that names another flow or user than those that are executing."""


executing_now: ContextVar[Executing] = ContextVar("langflow_executing", default=NOTHING)


@contextmanager
def executing(flow_id: str | UUID, user_id: str | UUID) -> Iterator[None]:
    """Set the flow and user of all store calls in this context.

    A call that names others is refused, or finds nothing.
    """
    token = executing_now.set(Executing(flow_id, user_id))
    try:
        yield
    finally:
        executing_now.reset(token)


@contextmanager
def message_store(
    conninfo: str,
    *,
    project: str = "default",
    make: Callable[..., T] = StoredMessage,  # type: ignore[assignment]
    now: Callable[[], Executing] = executing_now.get,
) -> Iterator[MessageStore[T]]:
    """Yield a store on the database at ``conninfo``. Raises Unavailable, SchemaMismatch.

    ``make``: makes a message from its members. ``now``: returns what is executing, for a Langflow that knows
    it (lfx.memory.flow_context); the default is what ``executing`` has set.
    """
    with closing(open_database(conninfo, connections_max=4)) as database:
        application = Recount(database, CoreViews(database))
        try:
            yield MessageStore(application, make, project, now=now)
        finally:
            application.close()


@dataclass(frozen=True)
class MessageStore(Generic[T]):
    """The calls of langflow.memory on a store."""

    application: Recount
    make: Callable[..., T]
    project: str = "default"
    actor: str = "langflow"
    now: Callable[[], Executing] = executing_now.get

    # ---- reading ----

    def get_messages(
        self,
        sender: str | None = None,
        sender_name: str | None = None,
        session_id: str | UUID | None = None,
        context_id: str | None = None,
        order_by: str | None = "timestamp",
        order: str | None = "DESC",
        flow_id: str | UUID | None = None,
        limit: int | None = None,
        user_id: str | UUID | None = None,
    ) -> list[T]:
        """Return messages that are not marked as errors, newest first unless ``order`` is ASC.

        Return an empty list if the flow or user is neither given nor known from what is executing, or differs
        from it. Raises ValueError for an unknown order.
        """
        if order_by and order_by not in ORDER_BY:
            raise ValueError(f"messages have no order by {order_by}; there is {', '.join(ORDER_BY)}")
        try:
            flow, user = self._whose(flow_id, user_id)
        except ElsewhereError:
            return []
        if not flow or not user:
            return []
        said = Said(
            scope=choose_scope(flow),
            session=str(session_id) if session_id else None,
            owner=user,
            metadata={KEY: {"context_id": context_id}} if context_id else None,
            without={KEY: {"error": True}},
            label=filter_by_sender(sender),
            speaker=filter_by_sender_name(sender_name),
        )
        is_newest_first = order_by in (None, "", "timestamp") and (order or "DESC") == "DESC"
        newest = partial(newest_messages, self.application.database, self.project, said)
        found = newest(limit=(limit or None) if is_newest_first else None)
        if not is_newest_first:
            found = _sorted_by(found, order_by or "timestamp", order)[: limit or None]
        return list(map(self._made, found))

    # ---- writing ----

    def store_message(
        self,
        message: Any,
        flow_id: str | UUID | None = None,
        run_id: str | UUID | None = None,
        user_id: str | UUID | None = None,
    ) -> list[T]:
        """Add a message, or change the one with its id. Raises ValueError when a required member is missing.

        A message of another flow, as when that flow ran this one, stays as it is and is added here anew.
        """
        if not message:
            return []
        if not self.now().is_kept:
            return [message]
        members = _members_in(message)
        _refuse_incomplete(members)
        self._whose(flow_id, user_id)
        if members.get("id"):
            changed = self.update_messages([message])
            if changed:
                return changed
            if self._is_known(members["id"]):
                del members["id"]
        return self.add_messages([members], flow_id, run_id, user_id)

    def add_messages(
        self,
        messages: Any,
        flow_id: str | UUID | None = None,
        run_id: str | UUID | None = None,
        user_id: str | UUID | None = None,
    ) -> list[T]:
        """Add one message or many, those of one session in one transaction. Raises ValueError.

        ``user_id``: the owner, overriding the messages'; what is executing overrides it in turn.
        """
        many = list(messages) if isinstance(messages, list | tuple) else [messages]
        if not self.now().is_kept:
            return many
        here = self._whose(flow_id, user_id)
        by_session: dict[tuple[str, str], list[Message]] = {}
        ids = []
        for members in map(_members_in, many):
            _refuse_incomplete(members)
            if run_id and not members.get("run_id"):
                members["run_id"] = str(run_id)
            owner = here.user_id or members.get("user_id")
            members["user_id"] = str(owner) if owner else None
            flow = here.flow_id or members.get("flow_id")
            message_id = UUID(str(members["id"])) if members.get("id") else uuid7()
            message = build_message(
                message_id, from_langflow_message(members), now=self.application.database.clock.now()
            )
            scope = choose_scope(str(flow)) if flow else ""
            by_session.setdefault((scope, commands.check_session_id(members["session_id"])), []).append(
                message
            )
            ids.append(message_id)
        recorded: dict[UUID, UUID] = {}
        for (scope, name), said in by_session.items():
            recorded |= self._record(scope, name, said)
        return [self._found(recorded[message_id]) for message_id in ids]

    def _record(self, scope: str, name: str, said: list[Message]) -> dict[UUID, UUID]:
        """Record messages in a session; return, by given id, the id that each message has now."""
        ids = [message.id for message in said]
        adding = AddMessages(
            kind=Session.KIND,
            scope=scope,
            name=name,
            messages=said,
            given_ids=frozenset(ids),
            hidden_ids="renew",
        )
        return dict(zip(ids, self._execute(adding).message_ids, strict=True))

    def update_messages(self, messages: Any) -> list[T]:
        """Change messages by their ids; one that is missing, or not of what is executing, is skipped.

        A change alone does not mark a message as edited, since components change their own messages as they
        come; ``edit`` in the message does.
        """
        many = list(messages) if isinstance(messages, list | tuple) else [messages]
        if not self.now().is_kept:
            return many
        changed = []
        for members in map(_members_in, many):
            given = {name: members[name] for name in UPDATABLE if members.get(name) is not None}
            try:
                message_id = self._own(members.get("id")).message.id
                change = partial(commands.build_update, message_id=message_id, given=given, is_edit=False)
                outcome = self._again(change)
                changed.append(
                    self._made(commands.find_message(self.application, self.project, outcome.message_ids[0]))
                )
            except NotFound:
                logger.warning("a message to be changed is not there")
        return changed

    # ---- deleting ----

    def delete_messages(
        self,
        session_id: str | None = None,
        context_id: str | None = None,
        *,
        flow_id: str | UUID | None = None,
        user_id: str | UUID | None = None,
    ) -> None:
        """Delete a user's messages in a session, or in a context, which wins if both are given.

        Raises ValueError when neither is given, or when the flow or user is unknown.
        """
        if not session_id and not context_id:
            raise ValueError("session_id or context_id must be given to delete messages")
        flow, user = self._whose(flow_id, user_id)
        if not flow or not user:
            raise ValueError("flow_id and user_id must be given to delete messages, where no flow executes")
        said = Flows(choose_scope(flow)).said(
            session=None if context_id else str(session_id),
            metadata={KEY: {"context_id": context_id}} if context_id else None,
            owner=user,
        )
        found = newest_messages(self.application.database, self.project, said, limit=None)
        for command in commands.group_deletions(found):
            self._execute(command)

    def delete_message_by_id(self, id_: str | UUID) -> None:
        """Delete one message; one that is missing, or not of what is executing, is skipped."""
        if not self.now().is_kept:  # nothing is stored, so no id is known
            return
        with suppress(NotFound):
            for command in commands.group_deletions([self._own(id_)]):
                self._execute(command)

    # ---- coroutines ----

    async def aget_messages(self, *given: Any, **named: Any) -> list[T]:
        """See get_messages."""
        return await asyncio.to_thread(self.get_messages, *given, **named)

    async def astore_message(self, *given: Any, **named: Any) -> list[T]:
        """See store_message."""
        return await asyncio.to_thread(self.store_message, *given, **named)

    async def aadd_messages(self, *given: Any, **named: Any) -> list[T]:
        """See add_messages."""
        return await asyncio.to_thread(self.add_messages, *given, **named)

    async def aupdate_messages(self, *given: Any, **named: Any) -> list[T]:
        """See update_messages."""
        return await asyncio.to_thread(self.update_messages, *given, **named)

    async def adelete_messages(self, *given: Any, **named: Any) -> None:
        """See delete_messages."""
        await asyncio.to_thread(self.delete_messages, *given, **named)

    async def delete_message(self, id_: str | UUID) -> None:
        """See delete_message_by_id. Langflow's own is a coroutine without an ``a``."""
        await asyncio.to_thread(self.delete_message_by_id, id_)

    # ---- helpers ----

    def _whose(self, flow_id: str | UUID | None = None, user_id: str | UUID | None = None) -> _Whose:
        """Return the flow and user of a call that names these. Raises ElsewhereError."""
        now = self.now()
        if not now.flow_id:
            return _Whose(_text_of_id(flow_id), _text_of_id(user_id or now.user_id))
        here = _Whose(_text_of_id(now.flow_id), _text_of_id(now.user_id or user_id))
        users = (None, here.user_id, _text_of_id(now.executor_id))
        if _text_of_id(flow_id) not in (None, here.flow_id) or _text_of_id(user_id) not in users:
            raise ElsewhereError("flow_id and user_id must be those of what is executing")
        return here

    def _is_known(self, message_id: object) -> bool:
        try:
            commands.find_message(self.application, self.project, UUID(str(message_id)))
        except (ValueError, NotFound):
            return False
        return True

    def _own(self, message_id: object) -> FoundMessage:
        """Return the message with this id, if what is executing may access it. Raises NotFound."""
        flow, user = self._whose()
        flows = Flows(choose_scope(flow)) if flow else ALL_FLOWS
        try:
            found = commands.find_message(self.application, self.project, UUID(str(message_id)), flows)
        except ValueError:
            raise NotFound("message") from None
        if flow and user and found.message.user_id not in (None, user):
            raise NotFound("message")
        return found

    def _execute(self, command: Command, cause: Session | None = None) -> Outcome:
        because = None if cause is None else f"{cause.id}/{cause.version}"
        context = Context(
            self.project, self.actor, self.application.database.clock.now(), causation_id=because
        )
        return self.application.execute(command, context)

    def _again(self, make: Callable[..., Command]) -> Outcome:
        """Execute the command that ``make`` returns; make a new one when another writer got in between."""
        for attempt in range(ATTEMPTS_MAX):
            command = make(self.application, self.project)
            try:
                return self._execute(command, commands.find_cause(command))
            except (ExpectationFailed, AlreadyExists):
                if attempt == ATTEMPTS_MAX - 1:
                    raise
        raise AssertionError("unreachable")

    def _found(self, message_id: UUID) -> T:
        return self._made(commands.find_message(self.application, self.project, message_id))

    def _made(self, found: FoundMessage) -> T:
        told = to_full_message(found)
        extras = find_own_members(found.message.metadata, KEY)
        # Components get the blocks as stored, not in the form of the HTTP API's clients.
        blocks = map(decode_node, extras.get("content_blocks") or [])
        told["content_blocks"] = [block for block in blocks if block is not None]
        told["user_id"], told["is_output"] = found.message.user_id, bool(extras.get("is_output"))
        told["session_metadata"] = unwrap(extras.get("session_metadata"))
        return self.make(**told)


def _text_of_id(given: str | UUID | None) -> str | None:
    """Return an id as it is compared and stored; None if there is none."""
    return choose_scope(str(given)) if given else None


def _sorted_by(found: list[FoundMessage], order_by: str, order: str | None) -> list[FoundMessage]:
    """Return ``found``, which comes newest first, in the order of one of Langflow's columns."""
    is_descending = order == "DESC"
    rows = found if is_descending else found[::-1]
    if order_by == "timestamp":
        return rows
    return sorted(rows, key=lambda one: str(to_full_message(one).get(order_by)), reverse=is_descending)


def _members_in(message: Any) -> dict[str, Any]:
    """Return the members of a message as JSON, without absent ones. Raises ValueError if its time is invalid.

    A text that is still streaming is empty for now; its component stores the message again when it is whole.
    """
    if isinstance(message, Mapping):
        members = dict(message)
    else:
        names = (
            "id",
            "text",
            "sender",
            "sender_name",
            "session_id",
            "flow_id",
            "user_id",
            "timestamp",
            *EXTRAS,
        )
        members = {name: getattr(message, name, None) for name in dict.fromkeys(names)}
    if not isinstance(members.get("text"), str):
        members["text"] = ""
    members["files"] = [getattr(file, "path", file) for file in members.get("files") or []]
    timestamp = members.get("timestamp")
    plain: dict[str, Any] = from_json(to_json({k: v for k, v in members.items() if v is not None}))
    if timestamp:
        plain["timestamp"] = moment_in(timestamp)
    return plain


def _refuse_incomplete(members: Mapping[str, Any]) -> None:
    missing = [name for name in REQUIRED if not members.get(name)]
    if missing:
        raise ValueError(f"a message needs {', '.join(REQUIRED)}; missing: {', '.join(missing)}")


SPACED_OFFSET = re.compile(r"\s+(?=[+-]\d\d:?\d\d$)")


def moment_in(timestamp: str | datetime) -> datetime:
    """Parse a time in Langflow's format or ISO 8601; without a zone it is UTC. Raises ValueError."""
    if isinstance(timestamp, datetime):
        return to_utc(timestamp)
    text = timestamp.strip()
    if text.upper().endswith("UTC"):
        text = text[:-3].rstrip()
    return to_utc(datetime.fromisoformat(SPACED_OFFSET.sub("", text)))
