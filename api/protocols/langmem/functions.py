"""/memory-functions: definitions of what to remember, and how."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from recountdb.api.protocols.base import Visit, body_as, visit
from recountdb.api.protocols.langmem.answers import function_object
from recountdb.api.protocols.langmem.bodies import FunctionChanges, FunctionQuery, NewFunction
from recountdb.api.schemas.responses import Json
from recountdb.domain.commands import ChangeFunction, DefineFunction, Delete
from recountdb.domain.functions import FUNCTION_TYPES, Definition, Function, FunctionType, built_in
from recountdb.projections.queries.paging import Window
from recountdb.projections.views.memory_functions import get_function, list_functions

PAGE_SIZE = 100


async def _create_memory_function(request: Request) -> Response:
    """Create a function, or redefine the one with the given id."""
    here = await visit(request)
    body = await body_as(request, NewFunction)
    definition = Definition(**body.changes())
    return await _carried_out(here, DefineFunction(name=str(body.id or uuid7()), definition=definition))


async def _get_memory_function(request: Request, function_id: UUID) -> Response:
    here = await visit(request)
    return Json(function_object(await here.find(get_function, str(function_id))))


async def _list_memory_functions(request: Request) -> Response:
    """List a page of functions, the built-in one first."""
    here = await visit(request, scope="read")
    body = await body_as(request, FunctionQuery)
    window = Window(PAGE_SIZE, "oldest", body.cursor)
    page = await here.find(list_functions, window, types=_types_in(body.target_type))
    functions = [function_object(function) for function in page.items]
    return Json({"memory_functions": functions, "next_cursor": page.next_cursor})


def _types_in(target_types: list[str] | None) -> list[FunctionType] | None:
    """Return the types that are named exactly or by their kind; None for all."""
    if target_types is None:
        return None
    return [one for one in FUNCTION_TYPES if {one, one.partition("_")[0]}.intersection(target_types)]


async def _update_memory_function(request: Request, function_id: UUID) -> Response:
    """Replace the members that are given."""
    here = await visit(request)
    body = await body_as(request, FunctionChanges)
    return await _carried_out(here, _changing(here, function_id, body))


async def _delete_memory_function(request: Request, function_id: UUID) -> Response:
    """Delete a function: it is no longer listed, and what it made is no longer shown."""
    here = await visit(request)
    # The built-in function may have no stream yet.
    await here.execute(_changing(here, function_id, FunctionChanges()))
    await here.execute(Delete(kind=Function.KIND, name=str(function_id)))
    return Json({})


async def _carried_out(here: Visit, command: DefineFunction | ChangeFunction) -> Response:
    """Execute a command, and answer with the function as it is afterwards."""
    outcome = await here.execute(command)
    assert isinstance(outcome.state, Function)
    return Json(function_object(outcome.state))


def _changing(here: Visit, function_id: UUID, body: FunctionChanges) -> ChangeFunction:
    always = built_in(here.project)
    unless_defined = always.definition if always.name == str(function_id) else None
    return ChangeFunction(name=str(function_id), changes=body.changes(), unless_defined=unless_defined)


def add_routes(router: APIRouter) -> None:
    router.post("/memory-functions")(_create_memory_function)
    router.post("/memory-functions/query")(_list_memory_functions)
    router.get("/memory-functions/{function_id}")(_get_memory_function)
    router.patch("/memory-functions/{function_id}")(_update_memory_function)
    router.delete("/memory-functions/{function_id}")(_delete_memory_function)
