"""…/memory: the memories of threads and users, which applications store instead of functions making them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from recountdb.api.protocols.base import Visit, body_as, visit
from recountdb.api.protocols.langmem.bodies import MemoryQuery, NewUserState
from recountdb.api.schemas.responses import Json
from recountdb.domain.commands import SetState
from recountdb.domain.errors import NotFound
from recountdb.domain.functions import Function
from recountdb.domain.users import User
from recountdb.projections.views.memory_functions import functions_named, get_function
from recountdb.projections.views.states import get_state, list_states
from recountdb.projections.views.threads import get_thread


async def _list_thread_memory(request: Request, thread_id: UUID) -> Response:
    """List no memories: functions make none of threads."""
    await visit(request)
    return Json([])


async def _get_thread_memory(request: Request, thread_id: UUID, function_id: UUID) -> Response:
    """Raise NotFound, whether the thread exists or not, as functions make no memories of threads."""
    here = await visit(request)
    await here.find(get_thread, str(thread_id))
    await here.find(get_function, str(function_id))
    raise NotFound("memory")


async def _list_user_memory(request: Request, user_id: UUID) -> Response:
    here = await visit(request)
    states = await _states_of(here, user_id)
    return Json([{"memory_function_id": name, "type": kind, "state": state} for name, kind, state in states])


async def _get_user_memory(request: Request, user_id: UUID, function_id: UUID) -> Response:
    """Return the bare document; null if there is none, or if the user or function was deleted."""
    here = await visit(request)
    return Json(await _state_of(here, user_id, function_id))


async def _update_user_memory(request: Request, user_id: UUID, function_id: UUID) -> Response:
    """Store a document in place of the existing one, whatever the function's schema says."""
    here = await visit(request)
    body = await body_as(request, NewUserState)
    await here.find(get_function, str(function_id))
    await here.execute(SetState(kind=User.KIND, name=str(user_id), key=str(function_id), state=body.state))
    return Json({})


async def _delete_user_memory(request: Request, user_id: UUID, function_id: UUID) -> Response:
    here = await visit(request)
    if await _state_of(here, user_id, function_id) is not None:
        await here.execute(SetState(kind=User.KIND, name=str(user_id), key=str(function_id), state=None))
    return Json({})


async def _delete_individual_memories(request: Request, user_id: UUID) -> Response:
    """Delete nothing: there are no individual memories, and unknown ids are ignored."""
    await visit(request)
    return Json({})


async def _query_user_memory(request: Request, user_id: UUID) -> Response:
    """Return the documents asked for, in the order asked for; memories and summaries are always empty."""
    here = await visit(request, scope="read")
    body = await body_as(request, MemoryQuery)
    found = {name: state for name, _, state in await _states_of(here, user_id)} if body.state else {}
    states = [found.get(str(function_id)) for function_id in body.state or ()]
    return Json({"memories": [], "state": states, "thread_summaries": []})


async def _state_of(here: Visit, user_id: UUID, function_id: UUID) -> Any:
    """Return a user's document of a function; None if there is none, or the function is deleted.

    Raises NotFound when the function never existed.
    """
    function = await here.find(get_function, str(function_id), deleted=True)
    if function.is_deleted:
        return None
    return await here.find(get_state, "user", str(user_id), function.name)


async def _states_of(here: Visit, user_id: UUID) -> list[tuple[str, str, Any]]:
    """Return the id and type of each existing function, with the user's document of it."""
    states = await here.find(list_states, "user", str(user_id))
    functions: dict[str, Function] = {
        function.name: function
        for function in await here.find(functions_named, list(states))
        if not function.is_deleted
    }
    return [
        (name, functions[name].definition.type, state) for name, state in states.items() if name in functions
    ]


def add_routes(router: APIRouter) -> None:
    router.get("/threads/{thread_id}/memory")(_list_thread_memory)
    router.get("/threads/{thread_id}/memory/{function_id}/state")(_get_thread_memory)
    router.get("/users/{user_id}/memory")(_list_user_memory)
    router.post("/users/{user_id}/memory/query")(_query_user_memory)
    router.delete("/users/{user_id}/memory/individual")(_delete_individual_memories)
    router.get("/users/{user_id}/memory/{function_id}/state")(_get_user_memory)
    router.put("/users/{user_id}/memory/{function_id}/state")(_update_user_memory)
    router.delete("/users/{user_id}/memory/{function_id}/state")(_delete_user_memory)
