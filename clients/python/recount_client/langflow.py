"""Langflow's message store on Recount, for use inside Langflow's process, with the calls of its own store.

    with message_store(make=Message) as store:   # lfx.schema.message.Message
        langflow.memory.aget_messages = store.aget_messages

Each call exists twice: plain, and with the prefix ``a`` for use in coroutines. A message is any object or
mapping with Langflow's members. Every call raises the errors of recount_client.errors when the server is
away, late or refuses; nothing is hung.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from recount_client.client import Client
from recount_client.plain import to_plain

logger = logging.getLogger(__name__)

T = TypeVar("T")

PATH = "/api/v1/recount/messages"


@dataclass(kw_only=True)
class StoredMessage:
    """A message as Langflow's components know it."""

    id: str
    text: str
    sender: str
    sender_name: str
    session_id: str
    timestamp: str
    files: list[Any] = field(default_factory=list)
    context_id: str | None = None
    run_id: str | None = None
    flow_id: str | None = None
    user_id: str | None = None
    error: bool = False
    edit: bool = False
    properties: dict[str, Any] = field(default_factory=dict)
    category: str | None = "message"
    content_blocks: list[Any] = field(default_factory=list)
    duration: float | None = None
    session_metadata: dict[str, Any] | None = None
    is_output: bool = False

    text_key = "text"

    @property
    def data(self) -> dict[str, Any]:
        """All members, as a dictionary."""
        return asdict(self)


MEMBERS = tuple(StoredMessage.__dataclass_fields__)
"""The members of a message that are stored."""


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


class ElsewhereError(ValueError):
    """A call names another flow or user than those that are executing."""


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
    url: str | None = None,
    api_key: str | None = None,
    *,
    make: Callable[..., T],
    now: Callable[[], Executing] = executing_now.get,
    timeout_seconds: float = 30.0,
) -> Iterator[MessageStore[T]]:
    """Yield a store on the server at ``url``, in the project of ``api_key``; see Client for the defaults.

    ``make``: makes a message from its members: Langflow's Message, or StoredMessage. ``now``: returns what is
    executing, for a Langflow that knows it (lfx.memory.flow_context); the default is what ``executing`` has
    set.
    """
    with Client(url, api_key, timeout_seconds=timeout_seconds) as client:
        yield MessageStore(client, make, now)


@dataclass(frozen=True)
class MessageStore(Generic[T]):
    """The calls of langflow.memory, answered by a Recount server."""

    client: Client
    make: Callable[..., T]
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
        try:
            flow, user = self._whose(flow_id, user_id)
        except ElsewhereError:
            return []
        if not flow or not user:
            return []
        query = {
            "flow_id": flow,
            "user_id": user,
            "session_id": str(session_id) if session_id else None,
            "context_id": context_id,
            "sender": sender,
            "sender_name": sender_name,
            "order_by": order_by or "",
            "order": order or "",
            "limit": limit,
        }
        return self._made(self.client.request("GET", PATH, query=query))

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
        return self._write("PUT", message, flow_id, run_id, user_id)

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
        return self._write("POST", messages, flow_id, run_id, user_id)

    def update_messages(self, messages: Any) -> list[T]:
        """Change messages by their ids; one that is missing, or not of what is executing, is skipped.

        A change alone does not mark a message as edited, since components change their own messages as they
        come; ``edit`` in the message does.
        """
        changed = self._write("PATCH", messages)
        if len(changed) < len(_to_list(messages)):
            logger.warning("messages to be changed are not there")
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
        flow, user = self._whose(flow_id, user_id)
        if not flow or not user:
            raise ValueError("flow_id and user_id must be given to delete messages, where no flow executes")
        query = {
            "flow_id": flow,
            "user_id": user,
            "session_id": str(session_id) if session_id else None,
            "context_id": context_id,
        }
        self.client.request("DELETE", PATH, query=query)

    def delete_message_by_id(self, id_: str | UUID) -> None:
        """Delete one message; one that is missing, or not of what is executing, is skipped."""
        if not self.now().is_kept or not _is_uuid(id_):  # nothing stored can have this id
            return
        flow, user = self._whose()
        self.client.request("DELETE", f"{PATH}/{UUID(str(id_))}", query={"flow_id": flow, "user_id": user})

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

    def _write(
        self,
        method: str,
        messages: Any,
        flow_id: str | UUID | None = None,
        run_id: str | UUID | None = None,
        user_id: str | UUID | None = None,
    ) -> list[T]:
        """Send messages; return them as they are stored, or as they came if they are not to be kept."""
        many = _to_list(messages)
        if not self.now().is_kept:
            return many
        flow, user = self._whose(flow_id, user_id)
        body = {
            "flow_id": flow,
            "user_id": user,
            "run_id": str(run_id) if run_id else None,
            "messages": [_to_members(message) for message in many],
        }
        return self._made(self.client.request(method, PATH, body=body))

    def _whose(
        self, flow_id: str | UUID | None = None, user_id: str | UUID | None = None
    ) -> tuple[str | None, str | None]:
        """Return the flow and user of a call that names these. Raises ElsewhereError."""
        now = self.now()
        if not now.flow_id:
            return _to_id(flow_id), _to_id(user_id or now.user_id)
        flow, user = _to_id(now.flow_id), _to_id(now.user_id or user_id)
        users = (None, user, _to_id(now.executor_id))
        if _to_id(flow_id) not in (None, flow) or _to_id(user_id) not in users:
            raise ElsewhereError("flow_id and user_id must be those of what is executing")
        return flow, user

    def _made(self, found: list[dict[str, Any]]) -> list[T]:
        return [self.make(**members) for members in found]


def _to_list(messages: Any) -> list[Any]:
    return list(messages) if isinstance(messages, list | tuple) else [messages]


def _to_id(given: str | UUID | None) -> str | None:
    """Return an id as it is compared and stored; None if there is none."""
    if not given:
        return None
    return str(UUID(str(given))) if _is_uuid(given) else str(given)


def _is_uuid(given: str | UUID) -> bool:
    try:
        UUID(str(given))
    except ValueError:
        return False
    return True


def _to_members(message: Any) -> dict[str, Any]:
    """Return the members of a message as JSON, without absent ones. Raises ValueError for what is not JSON.

    A text that is still streaming is empty for now; its component stores the message again when it is whole.
    """
    if isinstance(message, Mapping):
        members = {name: message.get(name) for name in MEMBERS}
    else:
        members = {name: getattr(message, name, None) for name in MEMBERS}
    if not isinstance(members["text"], str):
        members["text"] = ""
    members["files"] = [getattr(file, "path", file) for file in members["files"] or []]
    return {name: to_plain(value) for name, value in members.items() if value is not None}
