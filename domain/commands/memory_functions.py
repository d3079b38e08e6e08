"""Commands that change memory functions alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from recountdb.domain import memory_functions
from recountdb.domain.aggregate import Draft
from recountdb.domain.commands.base import Command, Facts, start_stream
from recountdb.domain.memory_functions import Definition, Function


@dataclass(frozen=True, kw_only=True)
class DefineFunction(Command):
    """Define a memory function, whether or not there is one of this name."""

    kind: str = Function.KIND
    definition: Definition

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is None:
            start_stream(self, draft, facts, definition=self.definition)
        else:
            memory_functions.change_definition(draft, self.definition.model_dump())
        return []


@dataclass(frozen=True, kw_only=True)
class ChangeFunction(Command):
    """Give the named members of a function's definition new values (see domain.memory_functions.Definition).

    ``unless_defined``: the definition to start from when nobody has defined the function yet.
    """

    kind: str = Function.KIND
    changes: dict[str, Any] = field(default_factory=dict)
    unless_defined: Definition | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is None and self.unless_defined is not None:
            start_stream(self, draft, facts, definition=self.unless_defined)
        draft.live()
        memory_functions.change_definition(draft, self.changes)
        return []
