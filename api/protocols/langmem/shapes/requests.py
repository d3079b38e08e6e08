"""Models of LangMem's request bodies. Unknown members are ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from recountdb.api.protocols.langmem.shapes.messages import SentMessage
from recountdb.domain.memory_functions import FunctionType
from recountdb.domain.values import NonEmptyText, Text, check_document

K_DEFAULT = 200


def _check_object(value: Any) -> Any:
    """Return ``value``, a JSON object. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    return check_document(value)


def _read_id(value: Any) -> Any:
    """Return the id of an object that has one, as old examples pass objects; other values unchanged."""
    return value.get("id") if isinstance(value, dict) else value


def _rename_type(value: Any) -> Any:
    """Return the current name of a type, given its name in the first pre-releases; other values unchanged."""
    return "user_state" if value == "user" else value


# Typed Any, not dict, so that an error in a caller's document is reported without the path into it.
Object = Annotated[Any, AfterValidator(_check_object)]
AnyDocument = Annotated[Any, AfterValidator(check_document)]
Key = Annotated[NonEmptyText, Field(max_length=512)]
Type = Annotated[FunctionType, BeforeValidator(_rename_type)]
IdOf = Annotated[UUID, BeforeValidator(_read_id)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True)


class ThreadToUpsert(_Body):
    id: UUID | None = None
    messages: list[SentMessage] | None = None
    metadata: Object | None = None


class MessagesToAdd(_Body):
    messages: list[SentMessage]


class StateToSet(_Body):
    """A state document to store. ``key``: None is a slot of its own."""

    state: AnyDocument
    key: Key | None = None


class ThreadStateQuery(_Body):
    key: Key | None = None


class UserToUpsert(_Body):
    id: UUID | None = None
    name: Text | None = None
    tags: list[Text] | None = None
    metadata: Object | None = None

    def changes(self) -> dict[str, Any]:
        """Return the members that were given, as members of the profile."""
        given = {"display_name": self.name, "tags": self.tags}
        return {member: value for member, value in given.items() if value is not None}


class UserQuery(_Body):
    """A filter of users. A member that is None filters nothing."""

    name: list[Text] | None = None
    id: list[UUID] | None = None


class _Schema(BaseModel):
    """The schema of what a function makes. ``name``, ``description``: None if the schema has none."""

    name: Text | None = None
    description: Text | None = None
    parameters: Any


def _read_schema(value: Any) -> _Schema:
    """Return a schema of three keys as it is, or of a bare JSON schema, whose title becomes the name.

    Raises ValueError.
    """
    document = _check_object(value)
    parameters, name = document, document.get("title")
    if isinstance(document.get("parameters"), dict):
        parameters, name = document["parameters"], document.get("name")
    else:
        parameters = {key: part for key, part in document.items() if key not in ("title", "description")}
    description = document.get("description")
    if not isinstance(name, str | None) or not isinstance(description, str | None):
        raise ValueError("its name and description must be texts")
    return _Schema(name=name or None, description=description or None, parameters=parameters)


SentSchema = Annotated[Any, AfterValidator(_read_schema)]


class FunctionChanges(_Body):
    """Changes of a function. Members that are None stay as they are."""

    type: Type | None = None
    name: Text | None = None
    description: Text | None = None
    custom_instructions: Text | None = None
    status: Literal["active", "disabled"] | None = None
    # The synchronous client changes ``schema``, the asynchronous one ``function``.
    schema_: SentSchema | None = Field(
        None, validation_alias=AliasChoices("schema", "function", "function_schema")
    )

    def changes(self) -> dict[str, Any]:
        """Return the members that were given, as members of the definition."""
        schema = self.schema_ or _Schema(parameters=None)
        given = {
            "type": self.type,
            "name": schema.name if self.name is None else self.name,
            "description": schema.description if self.description is None else self.description,
            "parameters": schema.parameters,
            "instructions": self.custom_instructions,
            "is_enabled": None if self.status is None else self.status == "active",
        }
        return {member: value for member, value in given.items() if value is not None}


class FunctionToUpsert(FunctionChanges):
    id: UUID | None = None
    type: Type


class FunctionQuery(_Body):
    """A filter of functions. ``target_type``: kinds (user, thread) or exact types; None for all."""

    target_type: list[str] | None = None
    cursor: str | None = None


class UserStateToSet(_Body):
    state: AnyDocument


class MemoryQuery(_Body):
    """A query of memories. ``state``: the functions whose documents are wanted.

    The other members are about memories, which Recount does not make. ``thread_query``: of any type, because
    the client sends a list in place of a number.
    """

    text: str = ""
    k: int = K_DEFAULT
    memory_function_ids: list[IdOf] | None = None
    weights: dict[str, float] | None = None
    state: list[IdOf] | None = Field(
        None, validation_alias=AliasChoices("state", "query_state", "include_state")
    )
    thread_query: Any = None
