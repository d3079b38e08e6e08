"""The flows that a request is about: one flow, or all but what people said to flows others shared with them.

In a shared flow each caller has conversations of their own. Langflow keeps them under the id of a virtual
flow, derived from caller and flow. Its version 5 gives it away, because real flows have random ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

from recountdb.projections.queries.recent_messages import Said

SHARED = "^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""The pattern of the scope of a session in a shared flow, for Python and PostgreSQL alike."""


@dataclass(frozen=True)
class Flows:
    """A set of flows, as scopes of sessions: ``scope`` (None: all), without those that match ``unless``.

    ``source``: the shared flow's id, if these are what one caller says to it.
    """

    scope: str | None = None
    unless: str | None = None
    source: str | None = None

    def have(self, scope: str) -> bool:
        """Return whether a session of this scope belongs to these flows."""
        is_asked = self.scope is None or scope == self.scope
        return is_asked and (self.unless is None or re.search(self.unless, scope) is None)

    def said(self, **which: Any) -> Said:
        """Return a filter for what was said in these flows; ``which``: further members of Said."""
        return Said(scope=self.scope, unless_scope=self.unless, **which)


ALL = Flows()


def unshared(flow_id: UUID | None = None) -> Flows:
    """Return this flow, or all flows if None, without anybody's conversations in shared flows."""
    return Flows(None if flow_id is None else str(flow_id), SHARED)


def shared(actor: str, flow_id: UUID) -> Flows:
    """Return the virtual flow with what ``actor``, and nobody else, says in a shared flow."""
    return Flows(str(shared_flow_id(actor, flow_id)), source=str(flow_id))


def shared_flow_id(actor: str, flow_id: UUID) -> UUID:
    """Return the id of the virtual flow for ``actor`` in a shared flow; it never changes."""
    return uuid5(NAMESPACE_DNS, f"{actor}_{flow_id}")
