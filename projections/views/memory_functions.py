"""The functions view: each memory function as it is now, and the built-in one of every project."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from recountdb.domain.errors import NotFound
from recountdb.domain.memory_functions import Definition, Function, FunctionType, built_in
from recountdb.eventlog.log.recorder import Write
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.eventlog.write.ports import StreamChange
from recountdb.projections.lists.paging import Page, Window, make_page
from recountdb.projections.views.rows import purged_streams, to_row

SQL = Statements(__name__, "memory_functions")
VERSION = 1
TABLES = {"functions": ("stream_id",)}


def writes_for(changes: Sequence[StreamChange]) -> list[Write]:
    functions = [change.state for change in changes if isinstance(change.state, Function)]
    put = [to_row(function) for function in functions if not function.is_purged]
    return [
        Write("functions", SQL["upsert_functions"], put),
        Write("functions", SQL["delete_functions"], purged_streams(changes, Function)),
    ]


def _function_from(definition: dict[str, Any], **columns: Any) -> Function:
    return Function(definition=Definition.model_validate(definition), **columns)


def get_function(database: Database, project: str, name: str, *, deleted: bool = False) -> Function:
    """Return the function if it is live, or with ``deleted`` in either state. Raises NotFound."""
    for function in find_functions(database, project, [name]):
        if deleted or not function.is_deleted:
            return function
    raise NotFound(Function.KIND)


def find_functions(database: Database, project: str, names: Collection[str]) -> list[Function]:
    """Return the existing functions among ``names``, live or deleted, in no particular order."""
    bound = {"project": project, "names": list(names)}
    found = database.fetch_as(_function_from, SQL["functions_named"], bound)
    always = built_in(project)
    if always.name in names and all(function.name != always.name for function in found):
        found.append(always)
    return found


def list_functions(
    database: Database, project: str, window: Window, *, types: Collection[FunctionType] | None = None
) -> Page[Function]:
    """Return a page of live functions of ``types`` (None: any), in the order in which they were defined.

    The built-in function comes first.
    """
    always = built_in(project)
    bound = {
        "project": project,
        "after": window.after(),
        "limit": window.limit + 1,
        "types": None if types is None else list(types),
        "but": always.name,
    }
    found = database.fetch_as(_function_from, SQL["list_functions"], bound, prepare=False)
    if window.cursor is None:
        (always,) = find_functions(database, project, [always.name])
        if not always.is_deleted and (types is None or always.definition.type in types):
            found.insert(0, always)
    return make_page(found, window, lambda function: 0 if function.name == always.name else function.number)
