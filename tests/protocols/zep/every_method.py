"""Calls every method of zep-python that goes to the server, plain or async; prints what came of it."""

import asyncio
import json
import sys
import warnings
from uuid import UUID

from zep_python import APIError, NotFoundError, ZepClient
from zep_python.exceptions import AuthError
from zep_python.memory import Memory, MemorySearchPayload, Session
from zep_python.message import Message
from zep_python.user import CreateUserRequest, UpdateUserRequest

warnings.simplefilter("error", UserWarning)  # as of a server that is too old
address, mode, key, wrong_key = sys.argv[1:]


async def call(manager, name, *arguments, **named):
    if mode == "plain":
        return getattr(manager, name)(*arguments, **named)
    return await getattr(manager, f"a{name}")(*arguments, **named)


async def chunks(manager, name, size):
    if mode == "plain":
        return list(getattr(manager, name)(size))
    return [chunk async for chunk in getattr(manager, f"a{name}")(size)]


async def error_of(manager, name, *arguments):
    try:
        await call(manager, name, *arguments)
    except (APIError, NotFoundError, AuthError) as error:
        return type(error).__name__
    return None


async def main():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zep = ZepClient(address, key)
    told = {}

    for name in ("ana", "bo", "cy"):
        user = CreateUserRequest(user_id=f"{mode}-{name}", email="a@example.org", metadata={"name": name})
        added = await call(zep.user, "add", user)
    assert isinstance(added.uuid, UUID), added
    assert added.created_at.tzinfo is not None
    user = UpdateUserRequest(user_id=added.user_id, first_name="Cy", metadata={"more": 1})
    updated = await call(zep.user, "update", user)
    told["user"] = [updated.email, updated.first_name, updated.metadata]
    assert await call(zep.user, "get", added.user_id) == updated
    ours = [each.user_id for each in await call(zep.user, "list") if each.user_id.startswith(mode)]
    assert len(ours) == 3, ours
    assert len(await call(zep.user, "list", 2, 0)) == 2
    listed = [each.user_id for chunk in await chunks(zep.user, "list_chunked", 2) for each in chunk]
    told["users"] = [name for name in listed if name.startswith(mode)]

    session = Session(session_id=f"{mode} session", user_id=f"{mode}-ana", metadata={"a": {"b": 1}})
    added = await call(zep.memory, "add_session", session)
    assert isinstance(added.id, int)
    added.metadata = {"a": {"c": 2}}
    await call(zep.memory, "update_session", added)
    told["session"] = (await call(zep.memory, "get_session", session.session_id)).metadata
    for n in range(3):
        await call(zep.memory, "add_session", Session(session_id=f"{mode} {n}"))
    assert await call(zep.memory, "list_sessions", 2, 0)
    listed = [each.session_id for chunk in await chunks(zep.memory, "list_all_sessions", 2) for each in chunk]
    told["sessions"] = [name for name in listed if name.startswith(mode)]
    told["of user"] = [each.session_id for each in await call(zep.user, "get_sessions", f"{mode}-ana")]

    messages = [
        Message(role="human", content="I would like green tea", metadata={"n": 1}),
        Message(role="ai", content="Coming up", metadata={"n": 2}),
    ]
    told["added"] = await call(zep.memory, "add_memory", session.session_id, Memory(messages=messages))
    memory = await call(zep.memory, "get_memory", session.session_id)
    told["memory"] = [[each.role, each.content, each.metadata] for each in memory.messages]
    told["summary"] = memory.summary.content
    memory = await call(zep.memory, "get_memory", session.session_id, 1)
    told["lastn"] = [each.content for each in memory.messages]
    where = {"where": {"jsonpath": "$.n ? (@ == 1)"}}
    for type_ in ("similarity", "mmr"):
        payload = MemorySearchPayload(text="green tea", metadata=where, search_type=type_)
        found = await call(zep.memory, "search_memory", session.session_id, payload, 5)
        told[type_] = [each.message["content"] for each in found]
    payload = MemorySearchPayload(text="tea", search_scope="summary")
    told["summaries"] = await call(zep.memory, "search_memory", session.session_id, payload)

    page = await call(zep.message, "get_session_messages", session.session_id)
    told["page"] = [each.content for each in page]
    page = await call(zep.message, "get_session_messages", session.session_id, limit=1, cursor=2)
    told["page 2"] = [each.content for each in page]
    first = memory.messages[0].uuid
    assert (await call(zep.message, "get_session_message", session.session_id, first)).uuid == first
    body = {"metadata": {"seen": True}}
    changed = await call(zep.message, "update_message_metadata", session.session_id, first, body)
    told["changed"] = changed.metadata

    told["deleted"] = await call(zep.memory, "delete_memory", session.session_id)
    told["errors"] = [
        await error_of(zep.memory, "get_session", session.session_id),
        await error_of(zep.memory, "add_session", session),
        await error_of(zep.memory, "delete_memory", session.session_id),
        await error_of(zep.message, "get_session_message", session.session_id, first),
        await error_of(zep.user, "get", "nobody"),
        await error_of(zep.memory, "search_memory", session.session_id, MemorySearchPayload(text="")),
        await error_of(ZepClient(address, wrong_key).memory, "get_session", "x"),
    ]
    assert (await call(zep.memory, "get_memory", session.session_id)).messages == []
    assert await call(zep.user, "delete", f"{mode}-ana") is None
    told["gone"] = [
        await error_of(zep.user, "get", f"{mode}-ana"),
        await error_of(zep.memory, "add_session", Session(session_id=session.session_id)),
    ]
    print(json.dumps(told))


asyncio.run(main())
