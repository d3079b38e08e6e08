"""…/memory: the memories of threads and users, which applications store instead of functions making them."""

from __future__ import annotations

from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from recountdb.api.protocols.base import authenticate, read_body
from recountdb.api.protocols.langmem.queries import find_memories, find_state
from recountdb.api.protocols.langmem.routing import create_langmem_router
from recountdb.api.protocols.langmem.shapes.requests import MemoryQuery, UserStateToSet
from recountdb.api.protocols.langmem.shapes.responses import to_langmem_memory
from recountdb.api.schemas.responses import Json
from recountdb.domain.commands.common import SetState
from recountdb.domain.errors import NotFound
from recountdb.domain.users import User
from recountdb.projections.views.memory_functions import get_function
from recountdb.projections.views.threads import get_thread

router = create_langmem_router()


@router.get("/threads/{thread_id}/memory")
async def list_thread_memory(request: Request, thread_id: UUID) -> Response:
    """List no memories: functions make none of threads."""
    await authenticate(request)
    return Json([])


@router.get("/threads/{thread_id}/memory/{function_id}/state")
async def read_thread_memory(request: Request, thread_id: UUID, function_id: UUID) -> Response:
    """Raise NotFound, whether the thread exists or not, as functions make no memories of threads."""
    context = await authenticate(request)
    await context.find(get_thread, str(thread_id))
    await context.find(get_function, str(function_id))
    raise NotFound("memory")


@router.get("/users/{user_id}/memory")
async def list_user_memory(request: Request, user_id: UUID) -> Response:
    context = await authenticate(request)
    return Json([to_langmem_memory(*memory) for memory in await find_memories(context, user_id)])


@router.get("/users/{user_id}/memory/{function_id}/state")
async def read_user_memory(request: Request, user_id: UUID, function_id: UUID) -> Response:
    """Return the bare document; null if there is none, or if the user or function was deleted."""
    context = await authenticate(request)
    return Json(await find_state(context, user_id, function_id))


@router.put("/users/{user_id}/memory/{function_id}/state")
async def update_user_memory(request: Request, user_id: UUID, function_id: UUID) -> Response:
    """Store a document in place of the existing one, whatever the function's schema says."""
    context = await authenticate(request)
    body = await read_body(request, UserStateToSet)
    await context.find(get_function, str(function_id))
    await context.execute(SetState(kind=User.KIND, name=str(user_id), key=str(function_id), state=body.state))
    return Json({})


@router.delete("/users/{user_id}/memory/{function_id}/state")
async def delete_user_memory(request: Request, user_id: UUID, function_id: UUID) -> Response:
    context = await authenticate(request)
    if await find_state(context, user_id, function_id) is not None:
        await context.execute(SetState(kind=User.KIND, name=str(user_id), key=str(function_id), state=None))
    return Json({})


@router.delete("/users/{user_id}/memory/individual")
async def delete_individual_memories(request: Request, user_id: UUID) -> Response:
    """Delete nothing: there are no individual memories, and unknown ids are ignored."""
    await authenticate(request)
    return Json({})


@router.post("/users/{user_id}/memory/query")
async def query_user_memory(request: Request, user_id: UUID) -> Response:
    """Return the documents asked for, in the order asked for; memories and summaries are always empty."""
    context = await authenticate(request, scope="read")
    body = await read_body(request, MemoryQuery)
    memories = await find_memories(context, user_id) if body.state else ()
    by_function = {memory.function.name: memory.state for memory in memories}
    states = [by_function.get(str(function_id)) for function_id in body.state or ()]
    return Json({"memories": [], "state": states, "thread_summaries": []})
