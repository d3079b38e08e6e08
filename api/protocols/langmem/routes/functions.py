"""/memory-functions: definitions of what to remember, and how."""

from __future__ import annotations

from uuid import UUID

from fastapi import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from recountdb.api.protocols.base import RequestContext, authenticate, read_body
from recountdb.api.protocols.langmem.routing import create_langmem_router
from recountdb.api.protocols.langmem.rules import build_function_change, select_types
from recountdb.api.protocols.langmem.shapes.requests import FunctionChanges, FunctionQuery, FunctionToUpsert
from recountdb.api.protocols.langmem.shapes.responses import to_langmem_function
from recountdb.api.schemas.responses import Json
from recountdb.domain.commands.common import Delete
from recountdb.domain.commands.memory_functions import ChangeFunction, DefineFunction
from recountdb.domain.memory_functions import Definition, Function
from recountdb.projections.lists.paging import Window
from recountdb.projections.views.memory_functions import get_function, list_functions

PAGE_SIZE = 100

router = create_langmem_router()


@router.post("/memory-functions")
async def create_memory_function(request: Request) -> Response:
    """Create a function, or redefine the one with the given id."""
    context = await authenticate(request)
    body = await read_body(request, FunctionToUpsert)
    definition = Definition(**body.changes())
    return await _execute(context, DefineFunction(name=str(body.id or uuid7()), definition=definition))


@router.get("/memory-functions/{function_id}")
async def read_memory_function(request: Request, function_id: UUID) -> Response:
    context = await authenticate(request)
    return Json(to_langmem_function(await context.find(get_function, str(function_id))))


@router.post("/memory-functions/query")
async def list_memory_functions(request: Request) -> Response:
    """List a page of functions, the built-in one first."""
    context = await authenticate(request, scope="read")
    body = await read_body(request, FunctionQuery)
    window = Window(PAGE_SIZE, "oldest", body.cursor)
    page = await context.find(list_functions, window, types=select_types(body.target_type))
    functions = [to_langmem_function(function) for function in page.items]
    return Json({"memory_functions": functions, "next_cursor": page.next_cursor})


@router.patch("/memory-functions/{function_id}")
async def update_memory_function(request: Request, function_id: UUID) -> Response:
    """Replace the members that are given."""
    context = await authenticate(request)
    body = await read_body(request, FunctionChanges)
    return await _execute(context, build_function_change(context.project, function_id, body))


@router.delete("/memory-functions/{function_id}")
async def delete_memory_function(request: Request, function_id: UUID) -> Response:
    """Delete a function: it is no longer listed, and what it made is no longer shown."""
    context = await authenticate(request)
    # The built-in function may have no stream yet.
    await context.execute(build_function_change(context.project, function_id, FunctionChanges()))
    await context.execute(Delete(kind=Function.KIND, name=str(function_id)))
    return Json({})


async def _execute(context: RequestContext, command: DefineFunction | ChangeFunction) -> Response:
    """Execute a command, and answer with the function as it is afterwards."""
    outcome = await context.execute(command)
    assert isinstance(outcome.state, Function)
    return Json(to_langmem_function(outcome.state))
