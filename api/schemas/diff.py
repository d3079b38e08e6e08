"""The difference of two moments of a conversation: as JSON Patch (RFC 6902), and in words.

The words name each change by its place, such as the member of a message or the path of metadata, and
never quote what was said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import jsonpatch
from pydantic_core import from_json, to_json

from recountdb.api.schemas.responses import aggregate_resource, message_resource
from recountdb.domain.messages import EDITABLE
from recountdb.domain.values import is_same
from recountdb.projections.queries.diff import Point


def difference_resource(old: Point, new: Point, origins: Mapping[UUID, str]) -> dict[str, Any]:
    """Return the answer of /diff, with ``origins`` as aggregate_resource takes them."""
    before, after = document(old, origins), document(new, origins)
    return {
        "from": old.conversation.version,
        "to": new.conversation.version,
        "patch": patch_between(before, after),
        "words": list(_words_between(old.conversation.KIND, before, after)),
    }


def document(point: Point, origins: Mapping[UUID, str]) -> dict[str, Any]:
    """Return the conversation and its messages by id, as the routes show them, in JSON's own types."""
    messages = {str(message.id): message_resource(message) for message in point.messages}
    conversation = aggregate_resource(point.conversation, origins)
    shown: dict[str, Any] = from_json(to_json({point.conversation.KIND: conversation, "messages": messages}))
    return shown


def patch_between(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the operations that turn ``before`` into ``after``; none if they are the same."""
    operations: list[dict[str, Any]] = jsonpatch.make_patch(before, after).patch
    return operations


def _words_between(kind: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence for each change, first of the conversation, then of its messages in their order."""
    yield from _conversation_words(kind, before[kind], after[kind])
    old, new = before["messages"], after["messages"]
    versions = {id: message["version"] for id, message in (old | new).items()}
    for id in sorted(versions, key=versions.__getitem__):
        yield from _message_words(
            old.get(id), new.get(id), old_end=before[kind]["version"], new_end=after[kind]["version"]
        )


def _conversation_words(kind: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    if old[f"{kind}_id"] != new[f"{kind}_id"]:
        yield f"the {kind} was renamed"
    if old["deleted_at"] != new["deleted_at"]:
        yield f"the {kind} was {'undeleted' if new['deleted_at'] is None else 'deleted'}"
    if old["hold"] != new["hold"]:
        yield f"a legal hold was {'released' if new['hold'] is None else 'placed'}"
    for change in changed_paths(old["metadata"], new["metadata"]):
        yield f"metadata: {change}"


def _message_words(
    old: dict[str, Any] | None, new: dict[str, Any] | None, *, old_end: int, new_end: int
) -> Iterator[str]:
    """Yield a sentence for each change of a message.

    ``old`` or ``new`` is None when the message could not be seen; ``*_end`` are the compared versions.
    """
    if old is None:
        assert new is not None
        yield f"message {new['version']} {'is back' if new['version'] <= old_end else 'was added'}"
        return
    name = f"message {old['version']}"
    if new is None:
        yield f"{name} {'was deleted' if old['version'] <= new_end else 'is not there yet'}"
        return
    edited = [member for member in new if member in EDITABLE and not is_same(old[member], new[member])]
    if edited:
        yield f"{name} was edited: {', '.join(edited)}"
    for change in changed_paths(old["metadata"], new["metadata"]):
        yield f"{name}, metadata: {change}"


def changed_paths(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield ``plan.tier changed``, ``plan.seats added`` and so on, looking into objects only."""
    old, new = ({} if value is None and not path else value for value in (old, new))
    if not isinstance(old, dict) or not isinstance(new, dict):
        if not is_same(old, new):
            yield f"{path} changed"
        return
    for key in old | new:
        inner = f"{path}.{key}" if path else key
        if key not in new:
            yield f"{inner} removed"
        elif key not in old:
            yield f"{inner} added"
        else:
            yield from changed_paths(old[key], new[key], inner)
