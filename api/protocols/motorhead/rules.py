"""Motorhead's rules: what adding to and deleting a memory do to a session, and which sessions are listed."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from pydantic import JsonValue

from recountdb.api.protocols.motorhead.shapes import KEY, UtterancesToAdd, find_namespaces
from recountdb.domain.aggregate import Draft, delete, merge_metadata
from recountdb.domain.commands.base import Command, Facts
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.conversation import clear
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


@dataclass(frozen=True, kw_only=True)
class RemoveMemory(Command):
    """Delete a session that only this namespace lists; empty it and keep it when others list it too."""

    kind: str = Session.KIND
    namespace: str

    def decide(self, draft: Draft[Session], facts: Facts) -> list[UUID]:
        if find_namespaces(draft.live()) <= {self.namespace}:
            delete(draft)
        else:
            nothing: JsonValue = {"context": None, "tokens": 0, "namespaces": {self.namespace: False}}
            clear(draft)
            merge_metadata(draft, {KEY: nothing})
        return []


def build_namespace_filter(namespace: str) -> Filter:
    """Return the filter for the sessions in a namespace."""
    return Filter(scope="", metadata={KEY: {"namespaces": {namespace: True}}})
