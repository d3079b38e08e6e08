"""LangMem's rules on memory functions: which types a filter names, and what the built-in function is."""

from __future__ import annotations

from uuid import UUID

from recountdb.api.protocols.langmem.shapes.requests import FunctionChanges
from recountdb.domain.commands.memory_functions import ChangeFunction
from recountdb.domain.memory_functions import FUNCTION_TYPES, FunctionType, built_in


def select_types(target_types: list[str] | None) -> list[FunctionType] | None:
    """Return the types that are named exactly or by their kind; None for all."""
    if target_types is None:
        return None
    return [one for one in FUNCTION_TYPES if {one, one.partition("_")[0]}.intersection(target_types)]


def build_function_change(project: str, function_id: UUID, changes: FunctionChanges) -> ChangeFunction:
    """Return the command that changes a function; the built-in one may have no stream yet."""
    always = built_in(project)
    unless_defined = always.definition if always.name == str(function_id) else None
    return ChangeFunction(name=str(function_id), changes=changes.changes(), unless_defined=unless_defined)
