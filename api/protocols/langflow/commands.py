"""Langflow's changes of messages and sessions as Recount's commands, for HTTP and Langflow's own process.

Each function reads the current state and makes commands from it. A command is refused (ExpectationFailed,
AlreadyExists) if another writer got in between; the caller then calls the function again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from recountdb.api.protocols.langflow.rules import ALL_FLOWS, Flows
from recountdb.api.protocols.langflow.shapes.messages import KEY, build_changes, find_flow
from recountdb.api.protocols.metadata import find_own_members
from recountdb.api.services.merge import prepare_move, prepare_rename
from recountdb.domain.commands.base import Command, Name
from recountdb.domain.commands.common import Delete
from recountdb.domain.commands.conversations import ChangeMessage, DeleteMessages, MergeSessions, MoveMessages
from recountdb.domain.errors import InvalidInput, NotFound
from recountdb.domain.sessions import Session
from recountdb.domain.values import check_name, merge
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.queries.recent_messages import find_spoken_scopes
from recountdb.projections.views.messages import FoundMessage, get_message
from recountdb.projections.views.sessions import get_session


def find_message(
    application: Recount, project: str, message_id: UUID, flows: Flows = ALL_FLOWS
) -> FoundMessage:
    """Return the message with this id in a session of ``flows``. Raises NotFound."""
    found = get_message(application.database, project, message_id)
    if found.kind != Session.KIND or not flows.have(found.scope):
        raise NotFound("message")
    return found


def build_update(
    application: Recount,
    project: str,
    message_id: UUID,
    given: Mapping[str, Any],
    flows: Flows = ALL_FLOWS,
    *,
    is_edit: bool,
) -> ChangeMessage | MoveMessages:
    """Return the command that sets the members ``given`` of a message. Raises NotFound, InvalidInput.

    A new session id moves the message there, changed. ``is_edit``: whether a person edits the message, rather
    than a component: a changed text then marks it as edited, and its files must be uploads.
    """
    found = find_message(application, project, message_id, flows)
    # Read the version before the message, so that any write in between has the command refused.
    session = get_session(application.database, project, found.conversation, scope=found.scope)
    found = find_message(application, project, message_id, flows)
    if is_edit:
        _refuse_files(given.get("files"), found, flows)
    changes, metadata = build_changes(given, found.message, is_edit=is_edit)
    new_session = given.get("session_id") or found.conversation
    if new_session != found.conversation:
        changed: dict[str, Any] = dict(changes)
        if metadata:
            changed["metadata"] = merge(found.message.metadata or {}, metadata)
        name = Name(project, Session.KIND, found.scope, found.conversation)
        return prepare_move(
            application, name, check_session_id(new_session), found.message._replace(**changed)
        )
    return ChangeMessage(
        kind=Session.KIND,
        name=found.conversation,
        scope=found.scope,
        message_id=message_id,
        changes=changes,
        metadata=metadata or None,
        expected_version=session.version,
    )


def check_session_id(session_id: str) -> str:
    """Return ``session_id``. Raises InvalidInput when it is not a valid name of a session."""
    try:
        return check_name(session_id)
    except ValueError as error:
        raise InvalidInput("session_id", str(error)) from None


def build_rename(application: Recount, project: str, scope: str, old: str, new: str) -> Command:
    """Return the command that renames ``old`` to ``new``, or merges it into ``new``. Raises NotFound."""
    name = Name(project, Session.KIND, scope, old)
    return prepare_rename(application, name, new, reason="its messages joined another session")


def find_cause(command: Command) -> Session | None:
    """Return the session that a command takes messages from, as the cause of its events; None if none."""
    return command.source if isinstance(command, MergeSessions | MoveMessages) else None


def build_deletions(
    application: Recount, project: str, ids: Collection[UUID], flows: Flows = ALL_FLOWS
) -> list[DeleteMessages]:
    """Return one command for each session with any of these messages; unknown ids are ignored."""
    found = []
    for message_id in dict.fromkeys(ids):
        try:
            found.append(find_message(application, project, message_id, flows))
        except NotFound:
            continue
    return group_deletions(found)


def group_deletions(found: Iterable[FoundMessage]) -> list[DeleteMessages]:
    """Return one command for each session with any of these messages."""
    by_session: dict[tuple[str, str], list[UUID]] = {}
    for one in found:
        by_session.setdefault((one.scope, one.conversation), []).append(one.message.id)
    return [
        DeleteMessages(kind=Session.KIND, scope=scope, name=name, message_ids=ids)
        for (scope, name), ids in by_session.items()
    ]


def build_session_deletions(
    application: Recount, project: str, session_id: str, flows: Flows = ALL_FLOWS
) -> list[Delete]:
    """Return one command for each of these flows that has a session of this id with any message."""
    try:
        check_name(session_id)
    except ValueError:
        return []
    return [
        Delete(kind=Session.KIND, name=session_id, scope=scope)
        for scope in find_scopes(application.database, project, session_id, flows)
    ]


def find_scopes(database: Database, project: str, session_id: str, flows: Flows) -> list[str]:
    """Return the scopes among ``flows`` in which a session of this id has a message."""
    return [scope for scope in find_spoken_scopes(database, project, session_id) if flows.have(scope)]


def _refuse_files(files: Iterable[str] | None, found: FoundMessage, flows: Flows) -> None:
    """Raise InvalidInput if a message names a file that is not an upload, as ``<flow id>/<name>``.

    A folder belongs to a flow or a user; a message may name those of its own flow and user only. Files that
    it names already are allowed.
    """
    folders = {find_flow(found.scope), flows.source, found.message.user_id}
    for file in files or ():
        folder, _, name = file.partition("/")
        is_upload = folder and folder in folders and name and ".." not in name and not {*"/\\"} & {*name}
        if not is_upload and file not in (find_own_members(found.message.metadata, KEY).get("files") or []):
            raise InvalidInput("files", "must be uploads of yours, as <flow id>/<name>")
