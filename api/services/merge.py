"""Merges: preparation of the commands that move messages of a session to another one.

As for a fork (see api.services.fork), the messages are read before the writer's turn. At its turn the
writer checks that the session has not changed since.
"""

from __future__ import annotations

from typing import Any

from recountdb.api.services.fork import MESSAGES_BYTES_MAX, MESSAGES_MAX
from recountdb.domain.commands.base import Command, Name
from recountdb.domain.commands.conversations import MergeSessions, MoveMessages, RenameSession
from recountdb.domain.errors import InvalidInput, NotFound
from recountdb.domain.messages import Message, MessageState
from recountdb.domain.sessions import Session
from recountdb.eventlog.application import Recount
from recountdb.projections.lists.paging import LIMIT_MAX, Window, encode_cursor, measure_json
from recountdb.projections.queries.history import AsOf, load_state_as_of, read_messages_as_of


def prepare_rename(application: Recount, name: Name, new_name: str, *, reason: str) -> Command:
    """Return the command that renames session ``name`` to ``new_name``, or merges it into that session.

    When a session has the new name, deleted or live, the messages join it and ``name`` is deleted for
    ``reason``. Raises NotFound, and InvalidInput when there are too many messages. Other writes before the
    command's turn can cause its refusal (AlreadyExists, ExpectationFailed, NotFound): call this again then.
    """
    source = load_state_as_of(application, name, AsOf())
    assert isinstance(source, Session)
    if source.is_deleted:
        raise NotFound(Session.KIND)
    if name.name == new_name or application.views.find_stream(name._replace(name=new_name)) is None:
        return RenameSession(name=name.name, scope=name.scope, new_name=new_name)
    return MergeSessions(
        name=new_name,
        scope=name.scope,
        source=source,
        messages=_copy_messages(application, source),
        reason=reason,
    )


def prepare_move(application: Recount, name: Name, new_name: str, message: MessageState) -> MoveMessages:
    """Return the command that moves a message of ``name``, as given here, to the session ``new_name``.

    The given message may differ from the stored one. Raises NotFound. Other writes before the command's turn
    can cause its refusal: call this again then.
    """
    source = load_state_as_of(application, name, AsOf())
    assert isinstance(source, Session)
    return MoveMessages(
        name=new_name, scope=name.scope, source=source, messages=[_complete_message(source, message)]
    )


def _copy_messages(application: Recount, source: Session) -> list[Message]:
    """Return the visible messages of the session as it was, in order. Raises InvalidInput for too many."""
    window = Window(LIMIT_MAX, "oldest", encode_cursor(source.hidden_through, "oldest"))
    messages: list[Message] = []
    size = 0
    for message in read_messages_as_of(application, source, window):
        if source.hides(message):
            continue
        size += measure_json(message)
        if len(messages) == MESSAGES_MAX or size > MESSAGES_BYTES_MAX:
            raise InvalidInput(
                "new_name",
                f"is taken, and a merge takes at most {MESSAGES_MAX:,} messages,"
                f" and {MESSAGES_BYTES_MAX // 2**20} MiB: choose another",
            )
        messages.append(_complete_message(source, message))
    return messages


def _complete_message(source: Session, message: MessageState) -> Message:
    """Return the message, completed from its session: about when it was said, and by which user."""
    members: dict[str, Any] = {member: getattr(message, member) for member in Message.model_fields}
    members["timestamp"] = message.timestamp or message.recorded_at
    if message.user_id is None and message.role in ("user", "human"):
        members["user_id"] = source.user_id
    return Message.model_construct(**members)
