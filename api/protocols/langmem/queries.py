"""LangMem's listings without pages, and the documents of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from recountdb.api.protocols.base import RequestContext
from recountdb.domain.memory_functions import Function
from recountdb.projections.lists.paging import LIMIT_MAX, PAGE_BYTES_MAX, Page, Window
from recountdb.projections.views.memory_functions import find_functions, get_function
from recountdb.projections.views.states import get_state, list_states

T = TypeVar("T")


class Memory(NamedTuple):
    """A user's document of a function."""

    function: Function
    state: Any


async def find_all_pages(context: RequestContext, query: Callable[..., Page[T]], window: Window) -> list[T]:
    """Return the items of all pages, for a listing without pages in LangMem. ``window``: gives the order."""
    items: list[T] = []
    cursor = None
    while True:
        page = await context.find(query, Window(LIMIT_MAX, window.order, cursor))
        items += page.items
        cursor = page.next_cursor
        if cursor is None:
            return items
        if len(page.items) < LIMIT_MAX:  # it came to so many bytes
            await context.answer.hold(PAGE_BYTES_MAX)


async def find_state(context: RequestContext, user_id: UUID, function_id: UUID) -> Any:
    """Return a user's document of a function; None if there is none, or the function is deleted.

    Raises NotFound when the function never existed.
    """
    function = await context.find(get_function, str(function_id), deleted=True)
    if function.is_deleted:
        return None
    return await context.find(get_state, "user", str(user_id), function.name)


async def find_memories(context: RequestContext, user_id: UUID) -> list[Memory]:
    """Return a user's documents of all functions that are not deleted."""
    states = await context.find(list_states, "user", str(user_id))
    functions: dict[str, Function] = {
        function.name: function
        for function in await context.find(find_functions, list(states))
        if not function.is_deleted
    }
    return [Memory(functions[name], state) for name, state in states.items() if name in functions]
