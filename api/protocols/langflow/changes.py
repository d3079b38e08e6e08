"""Langflow's changes of messages and sessions as commands of ours, over HTTP and in its own process alike.

Each function reads what is there and makes commands upon it. What others write between the two has a
command refused (ExpectationFailed, AlreadyExists): the function is called again then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from recountdb.api.protocols.langflow.flows import ALL, Flows
from recountdb.api.protocols.langflow.messages import changes_of, extras_of, flow_in
from recountdb.domain.commands import (
    ChangeMessage,
    Command,
    Delete,
    DeleteMessages,
    MergeSessions,
    MoveMessages,
    Name,
)
from recountdb.domain.errors import InvalidInput, NotFound
from recountdb.domain.sessions import Session
from recountdb.domain.values import check_name, merge
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.queries.merge import move, rename_or_merge
from recountdb.projections.queries.recent_messages import scopes_spoken_in
from recountdb.projections.views.messages import FoundMessage, get_message
from recountdb.projections.views.sessions import get_session


def find(application: Recount, project: str, message_id: UUID, flows: Flows = ALL) -> FoundMessage:
    """The message with this id, in a session of these flows. Raises NotFound."""
    found = get_message(application.database, project, message_id)
    if found.kind != Session.KIND or not flows.have(found.scope):
        raise NotFound("message")
    return found


def update(
    application: Recount,
    project: str,
    message_id: UUID,
    given: Mapping[str, Any],
    flows: Flows = ALL,
    *,
    is_edit: bool,
) -> ChangeMessage | MoveMessages:
    """The command that gives a message the members ``given``. Raises NotFound, InvalidInput.

    With another session id it moves there, changed. ``is_edit``: whether somebody edits it, and no component:
    another text marks it as edited then, and files have to be uploads.
    """
    found = find(application, project, message_id, flows)
    # The version before the message: whatever is written in between has the command refused.
    session = get_session(application.database, project, found.conversation, scope=found.scope)
    found = find(application, project, message_id, flows)
    if is_edit:
        refuse_files(given.get("files"), found, flows)
    changes, metadata = changes_of(given, found.message, is_edit=is_edit)
    new_session = given.get("session_id") or found.conversation
    if new_session != found.conversation:
        changed: dict[str, Any] = dict(changes)
        if metadata:
            changed["metadata"] = merge(found.message.metadata or {}, metadata)
        name = Name(project, Session.KIND, found.scope, found.conversation)
        return move(application, name, session_named(new_session), found.message._replace(**changed))
    return ChangeMessage(
        kind=Session.KIND,
        name=found.conversation,
        scope=found.scope,
        message_id=message_id,
        changes=changes,
        metadata=metadata or None,
        expected_version=session.version,
    )


def refuse_files(files: Iterable[str] | None, found: FoundMessage, flows: Flows) -> None:
    """Keep a message from naming a file that is no upload: ``<flow id>/<name>``. Raises InvalidInput.

    Folders are of flows, and of people: those of others than the message's are not theirs to name.
    """
    folders = {flow_in(found.scope), flows.source, found.message.user_id}
    for file in files or ():
        folder, _, name = file.partition("/")
        is_upload = folder and folder in folders and name and ".." not in name and not {*"/\\"} & {*name}
        if not is_upload and file not in (extras_of(found.message).get("files") or []):
            raise InvalidInput("files", "must be uploads of yours, as <flow id>/<name>")


def session_named(session_id: str) -> str:
    """Raises InvalidInput for an id that no session can have."""
    try:
        return check_name(session_id)
    except ValueError as error:
        raise InvalidInput("session_id", str(error)) from None


def rename(application: Recount, project: str, scope: str, old: str, new: str) -> Command:
    """What ``old`` says is found under ``new`` after it. Raises NotFound."""
    name = Name(project, Session.KIND, scope, old)
    return rename_or_merge(application, name, new, reason="its messages joined another session")


def cause_of(command: Command) -> Session | None:
    """The session that messages came from, for them to name it as what led to them."""
    return command.source if isinstance(command, MergeSessions | MoveMessages) else None


def deletions(
    application: Recount, project: str, ids: Collection[UUID], flows: Flows = ALL
) -> list[DeleteMessages]:
    """One command for each session that has any of these messages."""
    found = []
    for message_id in dict.fromkeys(ids):
        try:
            found.append(find(application, project, message_id, flows))
        except NotFound:
            continue
    return deletions_of(found)


def deletions_of(found: Iterable[FoundMessage]) -> list[DeleteMessages]:
    by_session: dict[tuple[str, str], list[UUID]] = {}
    for one in found:
        by_session.setdefault((one.scope, one.conversation), []).append(one.message.id)
    return [
        DeleteMessages(kind=Session.KIND, scope=scope, name=name, message_ids=ids)
        for (scope, name), ids in by_session.items()
    ]


def deletions_of_session(
    application: Recount, project: str, session_id: str, flows: Flows = ALL
) -> list[Delete]:
    """One command for each of these flows that has a session of this id with any message."""
    try:
        check_name(session_id)
    except ValueError:
        return []
    return [
        Delete(kind=Session.KIND, name=session_id, scope=scope)
        for scope in scopes_of(application.database, project, session_id, flows)
    ]


def scopes_of(database: Database, project: str, session_id: str, flows: Flows) -> list[str]:
    """The scopes of those of these flows in which a session of this id has a message."""
    return [scope for scope in scopes_spoken_in(database, project, session_id) if flows.have(scope)]
