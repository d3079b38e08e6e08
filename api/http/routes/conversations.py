"""The routes that sessions and threads have in common: messages, deletion, the audit trail.

One function adds the routes of both kinds, so that they stay alike.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from recountdb.api.http.context import (
    AdminWrite,
    MessageId,
    NameOf,
    Read,
    ReadContext,
    Store,
    Write,
    WriteContext,
)
from recountdb.api.http.query_parameters import ConversationQuery, PageQuery, PastQuery, StateQuery
from recountdb.api.http.routes.purges import add_purge_route
from recountdb.api.schemas.requests import MessageChanges, MetadataPatch, NewHold, NewMessage, NewMessages
from recountdb.api.schemas.responses import (
    AddedResource,
    EventResource,
    Json,
    MessageResource,
    PageResource,
    ProofResource,
    added_resource,
    aggregate_resource,
    event_resource,
    message_resource,
    origin_ids,
    page_resource,
)
from recountdb.domain.aggregate import Aggregate
from recountdb.domain.commands.base import Command
from recountdb.domain.commands.common import Delete, MergeMetadata, Undelete
from recountdb.domain.commands.conversations import AddMessages, ChangeMessage, DeleteMessage
from recountdb.domain.commands.retention import PlaceHold, ReleaseHold
from recountdb.domain.conversation import Conversation
from recountdb.domain.messages import MessageAdded, MessageState, message_from
from recountdb.domain.values import Text
from recountdb.eventlog.integrity.proof import proof_of
from recountdb.eventlog.write.ports import Outcome
from recountdb.projections.queries.audit_trail import page_named_stream
from recountdb.projections.queries.history import (
    find_named_stream,
    load_message_as_of,
    load_messages_at,
    load_state_as_of,
    page_as_of,
)
from recountdb.projections.views.messages import ConversationKind, page_messages
from recountdb.projections.views.sessions import find_session_names


def to_response(state: Aggregate, body: object, status: int = 200) -> Json:
    """Return ``body`` as a response with the version of ``state`` as its ETag."""
    return Json(body, status, headers={"ETag": f'"{state.version}"'})


async def execute_to_response(writing: WriteContext, command: Command, status: int = 200) -> Json:
    """Carry out a command about a session, thread or user, and return it as a response."""
    outcome = await writing.execute(command)
    return await _describe(writing.store, outcome.state, status)


async def _describe(store: Store, state: Aggregate, status: int = 200) -> Json:
    """Return a session, thread or user as a response."""
    origins = await origins_of(store, state.project, [state])
    return to_response(state, aggregate_resource(state, origins), status)


async def find_to_response(
    reading: ReadContext, kind: str, name: str, query: StateQuery, get: Callable[..., Aggregate]
) -> Json:
    """Return a session, thread or user as a response: found by ``get``, or as it was at ``as_of``."""
    if query.as_of is not None:
        state = await reading.recall(load_state_as_of, reading.name(kind, name), query.as_of)
    else:
        state = await reading.find(get, name, deleted=query.deleted)
    return await _describe(reading.store, state)


async def origins_of(store: Store, project: str, states: Sequence[Aggregate]) -> dict[UUID, str]:
    """Return the names of the sessions that forks among ``states`` came from, for ``aggregate_resource``."""
    ids = origin_ids(states)
    return await store.call(find_session_names, store.database, project, ids) if ids else {}


def add_metadata_route(router: APIRouter, kind: str, name_of: NameOf, resource: type) -> None:
    """Add the route that merges metadata."""
    path = f"/{kind}s/{{{kind}_id}}"

    @router.patch(path, response_model=resource, name=f"merge {kind} metadata")
    async def merge_metadata(patch: MetadataPatch, writing: Write, name: str = Depends(name_of)) -> Response:
        """Merge metadata, deeply. A deleted one becomes live by it; what it held stays deleted."""
        metadata = dict(patch.metadata)
        expected = writing.expected_version
        return await execute_to_response(
            writing,
            MergeMetadata(kind=kind, name=name, metadata=metadata, expected_version=expected),
        )


def add_lifecycle_routes(router: APIRouter, kind: str, name_of: NameOf, resource: type) -> None:
    """Add routes for deletion, undeletion, legal holds, purging and the audit trail of one kind."""
    path = f"/{kind}s/{{{kind}_id}}"

    @router.delete(path, response_model=resource, name=f"delete {kind}")
    async def delete(
        writing: Write,
        name: str = Depends(name_of),
        reason: Annotated[Text | None, Query(max_length=500)] = None,
    ) -> Response:
        """Delete softly, with all it holds; it can be undeleted until it is purged."""
        expected = writing.expected_version
        command = Delete(kind=kind, name=name, reason=reason, expected_version=expected)
        return await execute_to_response(writing, command)

    @router.post(f"{path}/undelete", response_model=resource, name=f"undelete {kind}")
    async def undelete(writing: Write, name: str = Depends(name_of)) -> Response:
        """Bring back exactly what the deletion removed."""
        expected = writing.expected_version
        return await execute_to_response(writing, Undelete(kind=kind, name=name, expected_version=expected))

    @router.put(f"{path}/hold", response_model=resource, name=f"hold {kind}", tags=["holds"])
    async def place_hold(body: NewHold, writing: AdminWrite, name: str = Depends(name_of)) -> Response:
        """Keep it from being purged, deleted or live, until the hold is released."""
        expected = writing.expected_version
        command = PlaceHold(kind=kind, name=name, reason=body.reason, expected_version=expected)
        return await execute_to_response(writing, command)

    @router.delete(f"{path}/hold", response_model=resource, name=f"release {kind}", tags=["holds"])
    async def release_hold(writing: AdminWrite, name: str = Depends(name_of)) -> Response:
        """Let it be purged again."""
        expected = writing.expected_version
        return await execute_to_response(
            writing, ReleaseHold(kind=kind, name=name, expected_version=expected)
        )

    add_purge_route(router, kind, name_of)

    @router.get(f"{path}/proof", response_model=ProofResource, name=f"prove {kind}")
    async def proof(reading: Read, name: str = Depends(name_of)) -> Response:
        """Proof of what was recorded, word for word, for somebody to check without the store.

        `eventlog/integrity/check_proof.py` in the repository checks it with Python alone.
        """
        stream_id = await reading.recall(find_named_stream, reading.name(kind, name))
        return Json(await reading.store.call(proof_of, reading.store.database, stream_id))

    @router.get(f"{path}/events", response_model=PageResource[EventResource], name=f"audit {kind}")
    async def events(
        reading: Read, query: Annotated[PageQuery, Query()], name: str = Depends(name_of)
    ) -> Response:
        """The audit trail: everything that was ever recorded of it, by whom and when."""
        page = await reading.recall(page_named_stream, reading.name(kind, name), query.window)
        return Json(page_resource(page, event_resource))


def add_message_routes(
    router: APIRouter,
    kind: ConversationKind,
    name_of: NameOf,
    new_messages: type[NewMessages],
) -> None:
    """Add the routes of messages in one kind of conversation. ``new_messages`` is the body to add some."""
    path = f"/{kind}s/{{{kind}_id}}/messages"
    _add_message_adding(router, path, kind, name_of, new_messages)
    _add_message_reads(router, path, kind, name_of)
    _add_message_changes(router, path, kind, name_of)


def _add_message_adding(
    router: APIRouter,
    path: str,
    kind: ConversationKind,
    name_of: NameOf,
    new_messages: type[NewMessages],
) -> None:
    async def add_messages(body: NewMessages, writing: Write, name: str = Depends(name_of)) -> Response:
        """Add messages in order, all or none. Starts the conversation if there is none.

        A message whose ``id`` is there already is not added again: the answer is as the first time.
        """
        outcome = await writing.execute(
            AddMessages(
                kind=kind,
                name=name,
                messages=list(map(NewMessage.to_message, body.messages)),
                given_ids=frozenset(m.id for m in body.messages if m.id is not None),
                user_id=body.owner,
                expected_version=writing.expected_version,
            )
        )
        messages = await _recorded(writing.store, outcome)
        return to_response(outcome.state, added_resource(outcome.state, messages), 201)

    # FastAPI takes the type of the body from the annotation.
    add_messages.__annotations__["body"] = new_messages
    adding = router.post(path, response_model=AddedResource, status_code=201, name=f"add {kind} messages")
    adding(add_messages)


def _add_message_reads(router: APIRouter, path: str, kind: ConversationKind, name_of: NameOf) -> None:
    """Add the routes that read all messages of a conversation or one of them, now or in the past."""

    @router.get(path, response_model=PageResource[MessageResource], name=f"list {kind} messages")
    async def list_messages(
        reading: Read, query: Annotated[ConversationQuery, Query()], name: str = Depends(name_of)
    ) -> Response:
        """Messages, the newest first unless ``order=oldest``; as they were then with ``as_of``."""
        window, criteria = query.window, query.criteria
        if query.as_of is not None:
            page = await reading.recall(page_as_of, reading.name(kind, name), query.as_of, window, criteria)
        else:
            criteria = replace(criteria, scope=reading.name(kind, name).scope)
            page = await reading.find(page_messages, kind, name, window, criteria)
        return Json(page_resource(page, message_resource), headers={"ETag": f'"{page.version}"'})

    @router.get(f"{path}/{{message_id}}", response_model=MessageResource, name=f"get {kind} message")
    async def get_message(
        message_id: MessageId,
        reading: Read,
        query: Annotated[PastQuery, Query()],
        name: str = Depends(name_of),
    ) -> Response:
        """A message of this conversation now, or as it was then with ``as_of``."""
        message = await reading.recall(load_message_as_of, reading.name(kind, name), message_id, query.as_of)
        return Json(message_resource(message))


def _add_message_changes(router: APIRouter, path: str, kind: ConversationKind, name_of: NameOf) -> None:
    """Add the routes that change or delete one existing message."""

    @router.patch(f"{path}/{{message_id}}", response_model=MessageResource, name=f"change {kind} message")
    async def change_message(
        message_id: MessageId, body: MessageChanges, writing: Write, name: str = Depends(name_of)
    ) -> Response:
        """Replace the members that are given, and merge ``metadata``."""
        command = ChangeMessage(
            kind=kind,
            name=name,
            message_id=message_id,
            changes=body.changes(),
            metadata=body.metadata,
            expected_version=writing.expected_version,
        )
        return await _message_answer(writing, command)

    @router.delete(f"{path}/{{message_id}}", response_model=MessageResource, name=f"delete {kind} message")
    async def delete_message(message_id: MessageId, writing: Write, name: str = Depends(name_of)) -> Response:
        """Delete one message; the answer is what was deleted."""
        expected = writing.expected_version
        return await _message_answer(
            writing,
            DeleteMessage(kind=kind, name=name, message_id=message_id, expected_version=expected),
        )


async def _message_answer(writing: WriteContext, command: Command) -> Json:
    """Carry out a command about one message, and return the message after it as a response."""
    outcome = await writing.execute(command)
    (message,) = await _recorded(writing.store, outcome)
    return to_response(outcome.state, message_resource(message))


async def _recorded(store: Store, outcome: Outcome) -> Iterable[MessageState]:
    """Return the messages of an outcome, as they were right after it, in the caller's order."""
    added = {
        event.message.id: message_from(event) for event in outcome.events if isinstance(event, MessageAdded)
    }
    others = [message_id for message_id in outcome.message_ids if message_id not in added]
    if others:
        assert isinstance(outcome.state, Conversation)
        added |= await store.call(load_messages_at, store.application, outcome.state, others)
    return [added[message_id] for message_id in outcome.message_ids]
