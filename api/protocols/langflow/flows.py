"""Which flows a request is about: one, or all but what people said to flows that others shared with them.

In a shared flow everybody who calls has conversations of their own. Langflow keeps them under the id of a
flow that does not exist, made of the two; being of version 5, where flows have random ids, it is known for
what it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

from recountdb.projections.queries.recent_messages import Said

SHARED = "^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""What the scope of a session in a shared flow looks like, to Python and PostgreSQL alike."""


@dataclass(frozen=True)
class Flows:
    """Flows by the scopes of their sessions: that one (None: all), unless it looks like ``unless``.

    ``source``: the flow that is shared, where it is what somebody says to one.
    """

    scope: str | None = None
    unless: str | None = None
    source: str | None = None

    def have(self, scope: str) -> bool:
        """Whether a session of this scope is of these flows."""
        is_asked = self.scope is None or scope == self.scope
        return is_asked and (self.unless is None or re.search(self.unless, scope) is None)

    def said(self, **which: Any) -> Said:
        """What was said in these flows; ``which``: members of Said."""
        return Said(scope=self.scope, unless_scope=self.unless, **which)


ALL = Flows()


def unshared(flow_id: UUID | None = None) -> Flows:
    """This flow or all of them, without anybody's conversations in shared ones."""
    return Flows(None if flow_id is None else str(flow_id), SHARED)


def shared(actor: str, flow_id: UUID) -> Flows:
    """What ``actor`` has said in a shared flow, and nobody else."""
    return Flows(str(shared_flow_id(actor, flow_id)), source=str(flow_id))


def shared_flow_id(actor: str, flow_id: UUID) -> UUID:
    """The flow id of what ``actor`` says in a shared flow, for ever the same."""
    return uuid5(NAMESPACE_DNS, f"{actor}_{flow_id}")
