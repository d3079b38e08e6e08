"""Langflow's rules: the flows that a request is about, and the session that a run belongs to.

In a shared flow each caller has conversations of their own. Langflow keeps them under the id of a virtual
flow, derived from caller and flow. Its version 5 gives it away, because real flows have random ids.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from uuid import NAMESPACE_DNS, UUID, uuid5

from recountdb.projections.queries.recent_messages import RecentFilter

SHARED_SCOPE = "^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""The pattern of the scope of a session in a shared flow, for Python and PostgreSQL alike."""

Level = Literal["request", "component", "flow"]
Order = Literal["documented", "langflow-1.13"]


# ---- flows ----------------------------------------------------------------------------------------


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
        is_in_scope = self.scope is None or scope == self.scope
        return is_in_scope and (self.unless is None or re.search(self.unless, scope) is None)

    def said(self, **which: Any) -> RecentFilter:
        """Return a filter for what was said in these flows; ``which``: further members of Said."""
        return RecentFilter(scope=self.scope, unless_scope=self.unless, **which)


ALL_FLOWS = Flows()


def select_unshared(flow_id: UUID | None = None) -> Flows:
    """Return this flow, or all flows if None, without anybody's conversations in shared flows."""
    return Flows(None if flow_id is None else str(flow_id), SHARED_SCOPE)


def select_shared(actor: str, flow_id: UUID) -> Flows:
    """Return the virtual flow with what ``actor``, and nobody else, says in a shared flow."""
    return Flows(str(derive_shared_flow_id(actor, flow_id)), source=str(flow_id))


def derive_shared_flow_id(actor: str, flow_id: UUID) -> UUID:
    """Return the id of the virtual flow for ``actor`` in a shared flow; it never changes."""
    return uuid5(NAMESPACE_DNS, f"{actor}_{flow_id}")


def choose_scope(flow: str) -> str:
    """Return the scope of a flow's sessions: the flow's id, or the name of its endpoint unchanged."""
    try:
        return str(UUID(flow))
    except ValueError:
        return flow


# ---- the session of a run -------------------------------------------------------------------------


class RunSession(NamedTuple):
    """A session id, and where it comes from: the ``request``, a ``component``, or neither (``flow``)."""

    session_id: str
    level: Level


def resolve_session(
    flow: str, *, requested: str | None, component: str | None, order: Order = "documented"
) -> RunSession:
    """Return the session id of a run; an empty id counts as none.

    ``documented``: the id in the request, else that set in a component, else the id of the flow.
    ``langflow-1.13``: as in that release, where the flow's id overwrites a component's.
    """
    if requested:
        return RunSession(requested, "request")
    if component and order == "documented":
        return RunSession(component, "component")
    return RunSession(flow, "flow")


def find_component_session(tweaks: Mapping[str, Any]) -> str | None:
    """Return the first non-empty session id that the tweaks of a run set in a component; None if none."""
    for tweak in tweaks.values():
        session_id = tweak.get("session_id") if isinstance(tweak, Mapping) else None
        if isinstance(session_id, str) and session_id:
            return session_id
    return None
