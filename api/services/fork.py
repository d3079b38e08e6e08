"""Forks: preparation of the command that starts a session with what another one held at a moment.

The past does not change, so it is read before the writer's turn, which takes no longer for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from recountdb.domain.commands.base import Command, Name, Refuse
from recountdb.domain.commands.conversations import Fork
from recountdb.domain.errors import ExpectationFailed, InvalidInput, NotFound, Refused
from recountdb.domain.messages import Message, MessageState
from recountdb.domain.sessions import Session
from recountdb.eventlog.application import Recount
from recountdb.projections.lists.paging import LIMIT_MAX, Window, encode_cursor, measure_json
from recountdb.projections.queries.history import (
    AsOf,
    find_named_stream,
    find_version_as_of,
    load_messages_at,
    load_state_at,
    read_messages_as_of,
)

MESSAGES_MAX = 10_000
MESSAGES_BYTES_MAX = 64 * 2**20


@dataclass(frozen=True)
class Cut:
    """Point at which to fork: the session as it was at ``version``, up to and including ``message_id``.

    Without a version, the session as it was when that message was added; with neither, as it is now.
    """

    version: int | None = None
    message_id: UUID | None = None


def prepare_fork(
    application: Recount,
    name: Name,
    new_name: str,
    cut: Cut,
    *,
    metadata: dict[str, JsonValue] | None = None,
    expected_version: int | None = None,
    forks_max: int | None = None,
) -> Command:
    """Return the command that starts ``new_name`` with what ``name`` held at ``cut``.

    It is a Refuse command when there was no such session or message then, when the session held too many
    messages, or when it is no longer at ``expected_version``.
    """
    try:
        stream_id = find_named_stream(application, name)
        _refuse_unexpected(application, stream_id, expected_version)
        source, last = _source_at(application, stream_id, cut)
        return Fork(
            name=new_name,
            scope=name.scope,
            source=source,
            messages=[_copy_of(message) for message in _seen_until(application, source, last)],
            metadata=metadata,
            forks_max=forks_max,
        )
    except (InvalidInput, NotFound, Refused) as error:
        return Refuse(kind=Session.KIND, name=new_name, scope=name.scope, error=error)


def _refuse_unexpected(application: Recount, stream_id: UUID, expected_version: int | None) -> None:
    current = application.log.last_version(stream_id)
    if expected_version is not None and expected_version != current:
        raise ExpectationFailed(expected_version, current)


def _source_at(application: Recount, stream_id: UUID, cut: Cut) -> tuple[Session, int]:
    """Return the session as it was at ``cut``, and the version of the last message to take.

    Raises NotFound, and InvalidInput for a version that is not recorded yet.
    """
    added_at = None
    if cut.message_id is not None:
        found = application.views.find_messages(stream_id, [cut.message_id], ())
        if not found:
            raise NotFound("message")
        added_at = found[0].version
    wanted = AsOf(version=added_at if cut.version is None else cut.version)
    version = find_version_as_of(application, stream_id, wanted, field="version")
    source = load_state_at(application, Session.KIND, stream_id, version)
    assert isinstance(source, Session)
    if source.is_deleted:
        raise NotFound(Session.KIND)
    if cut.message_id is not None:
        _refuse_hidden(application, source, cut.message_id)
    return source, version if added_at is None else added_at


def _refuse_hidden(application: Recount, source: Session, message_id: UUID) -> None:
    message = load_messages_at(application, source, [message_id]).get(message_id)
    if message is None or source.hides(message):
        raise NotFound("message")


def _seen_until(application: Recount, source: Session, last: int) -> Iterator[MessageState]:
    """Yield the messages visible then, oldest first, up to version ``last``.

    Raises InvalidInput when they are too many or too large.
    """
    count = size = 0
    window = Window(LIMIT_MAX, "oldest", encode_cursor(source.hidden_through, "oldest"))
    for message in read_messages_as_of(application, source, window):
        if message.version > last:
            return
        if source.hides(message):
            continue
        count += 1
        size += measure_json(message)
        if count > MESSAGES_MAX or size > MESSAGES_BYTES_MAX:
            raise InvalidInput(
                "message_id",
                f"a fork takes at most {MESSAGES_MAX:,} messages, and {MESSAGES_BYTES_MAX // 2**20} MiB:"
                " name an earlier one",
            )
        yield message


def _copy_of(message: MessageState) -> Message:
    """Return a copy of the message under a new id."""
    members: dict[str, Any] = {member: getattr(message, member) for member in Message.model_fields}
    return Message.model_construct(**{**members, "id": uuid7()})
