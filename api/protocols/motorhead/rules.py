"""Motorhead's rules: what adding to and deleting a memory do to a session, and which sessions are listed."""

from __future__ import annotations

from pydantic import JsonValue

from recountdb.api.protocols.motorhead.shapes import KEY, UtterancesToAdd, find_namespaces
from recountdb.domain.commands.conversations import AddMessages, Clear
from recountdb.domain.sessions import Session
from recountdb.projections.lists.paging import Filter

PAGE_MAX = 100
SIZE_MAX = 2**53
HITS_MAX = 10


def build_addition(name: str, new: UtterancesToAdd, namespace: str) -> AddMessages:
    """Return the command that adds messages.

    If it brings a deleted session back, the session's former context, tokens and namespaces are dropped.
    """
    facts: dict[str, JsonValue] = {"namespaces": {namespace: True}}
    if new.context is not None:
        facts["context"] = new.context
    return AddMessages(
        kind=Session.KIND,
        name=name,
        messages=[utterance.to_message() for utterance in new.messages],
        metadata={KEY: facts},
        existing_metadata="merge",
        renewal={KEY: None},
    )


def build_removal(name: str, namespace: str) -> Clear:
    """Return the command that deletes a session, or empties it and keeps it for other namespaces."""
    nothing: JsonValue = {"context": None, "tokens": 0, "namespaces": {namespace: False}}

    def is_over(session: Session) -> bool:
        return find_namespaces(session) <= {namespace}

    return Clear(kind=Session.KIND, name=name, metadata={KEY: nothing}, is_over=is_over)


def build_namespace_filter(namespace: str) -> Filter:
    """Return the filter for the sessions in a namespace."""
    return Filter(scope="", metadata={KEY: {"namespaces": {namespace: True}}})
