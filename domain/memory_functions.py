"""A memory function: what to remember about users or threads, and in which shape."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, Self, get_args
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict

from recountdb.domain import aggregate
from recountdb.domain.aggregate import Aggregate, Draft, Family, Started, revive_for_writing
from recountdb.domain.events import Event
from recountdb.domain.values import Metadata, Text, is_same

FunctionType = Literal["user_state", "user_append_state", "user_semantic_memory", "thread_summary"]
FUNCTION_TYPES: tuple[FunctionType, ...] = get_args(FunctionType)
"""Results of a function: a document, many entries or many facts per user; a document per thread."""

BUILT_IN = UUID("6d2bb3a3-7c0c-5f4e-9d43-0a6f1f0f3b5e")
"""The namespace of the names of built-in functions, one in each project."""

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Definition(BaseModel):
    """Definition of a memory function.

    ``parameters``: the JSON schema of what the function makes. ``instructions``: for the program that makes
    it; None means none. ``is_enabled``: a disabled function makes nothing more; what it made stays.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: FunctionType
    name: Text = ""
    description: Text = ""
    parameters: Metadata = {}
    instructions: Text | None = None
    is_enabled: bool = True


class FunctionDefined(Started):
    """A function was defined; its name is a UUID in lower-case canonical form."""

    TOPIC: ClassVar[str] = "function.defined"
    definition: Definition


class DefinitionReplaced(Event):
    """The definition as a whole is now ``definition``."""

    TOPIC: ClassVar[str] = "function.definition-replaced"
    definition: Definition


class MetadataMerged(aggregate.MetadataMerged):
    TOPIC: ClassVar[str] = "function.metadata-merged"


class MetadataReplaced(aggregate.MetadataReplaced):
    TOPIC: ClassVar[str] = "function.metadata-replaced"


class FunctionDeleted(aggregate.Deleted):
    TOPIC: ClassVar[str] = "function.deleted"


class FunctionUndeleted(aggregate.Undeleted):
    TOPIC: ClassVar[str] = "function.undeleted"


class HoldPlaced(aggregate.HoldPlaced):
    TOPIC: ClassVar[str] = "function.hold-placed"


class HoldReleased(aggregate.HoldReleased):
    TOPIC: ClassVar[str] = "function.hold-released"


class FunctionPurged(aggregate.Purged):
    TOPIC: ClassVar[str] = "function.purged"


UNKNOWN = Definition(type="user_state")
"""Definition in the tombstone of a function that was purged."""


@dataclass(frozen=True, kw_only=True)
class Function(Aggregate):
    KIND: ClassVar[str] = "function"
    EVENTS: ClassVar[Family] = Family(
        started=FunctionDefined,
        metadata_merged=MetadataMerged,
        metadata_replaced=MetadataReplaced,
        deleted=FunctionDeleted,
        undeleted=FunctionUndeleted,
        hold_placed=HoldPlaced,
        hold_released=HoldReleased,
        purged=FunctionPurged,
    )

    definition: Definition = UNKNOWN

    @classmethod
    def from_started(cls, event: Started, **more: Any) -> Self:
        assert isinstance(event, FunctionDefined)
        return super().from_started(event, definition=event.definition, **more)

    def evolve(self, event: Event) -> Self:
        match event:
            case DefinitionReplaced():
                return self.then(event, definition=event.definition)
            case _:
                return super().evolve(event)


def change_definition(draft: Draft[Function], changes: dict[str, Any]) -> None:
    """Give the named members new values; the others stay. Writing to a deleted function undeletes it."""
    before = draft.existing().definition.model_dump()
    revive_for_writing(draft)
    changed = Definition.model_validate({**before, **changes})
    if not is_same(changed.model_dump(), before):
        draft.record(DefinitionReplaced, definition=changed)


def built_in(project: str) -> Function:
    """Return the function that every project has until somebody changes it: it remembers facts."""
    name = uuid5(BUILT_IN, project)
    facts = Definition(
        type="user_semantic_memory",
        name="user_semantic_memory",
        description="Facts about the user, each a short text.",
        parameters={"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    )
    return Function(
        id=name,
        version=0,
        project=project,
        name=str(name),
        number=0,
        created_at=NEVER,
        updated_at=NEVER,
        definition=facts,
    )
