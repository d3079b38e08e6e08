"""LangMem's response objects, made of Recount's states."""

from __future__ import annotations

from typing import Any

from recountdb.domain.memory_functions import Function
from recountdb.domain.threads import Thread
from recountdb.domain.users import User


def to_langmem_thread(thread: Thread) -> dict[str, Any]:
    return {
        "id": thread.name,
        "metadata": thread.metadata or {},
        "created_at": thread.created_at,
        "updated_at": thread.updated_at,
    }


def to_langmem_user(user: User) -> dict[str, Any]:
    return {
        "id": user.name,
        "name": user.profile.display_name,
        "tags": user.profile.tags,
        "metadata": user.metadata or {},
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    }


def to_langmem_function(function: Function) -> dict[str, Any]:
    definition = function.definition
    named = {"name": definition.name, "description": definition.description}
    return {
        "id": function.name,
        "type": definition.type,
        **named,
        "custom_instructions": definition.instructions,
        "schema": {**named, "parameters": definition.parameters},
        "status": "active" if definition.is_enabled else "disabled",
        "created_at": function.created_at,
        "updated_at": function.updated_at,
    }


def to_langmem_memory(function: Function, state: Any) -> dict[str, Any]:
    """Return a user's document of a function."""
    return {"memory_function_id": function.name, "type": function.definition.type, "state": state}
