"""Resolution of the session that a run belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Level = Literal["request", "component", "flow"]
Order = Literal["documented", "langflow-1.13"]


class Resolved(NamedTuple):
    """A session id, and where it comes from: the ``request``, a ``component``, or neither (``flow``)."""

    session_id: str
    level: Level


def resolve_session(
    flow: str, *, requested: str | None, component: str | None, order: Order = "documented"
) -> Resolved:
    """Return the session id of a run; an empty id counts as none.

    ``documented``: the id in the request, else that set in a component, else the id of the flow.
    ``langflow-1.13``: as in that release, where the flow's id overwrites a component's.
    """
    if requested:
        return Resolved(requested, "request")
    if component and order == "documented":
        return Resolved(component, "component")
    return Resolved(flow, "flow")


def component_session(tweaks: Mapping[str, Any]) -> str | None:
    """Return the first non-empty session id that the tweaks of a run set in a component; None if none."""
    for tweak in tweaks.values():
        session_id = tweak.get("session_id") if isinstance(tweak, Mapping) else None
        if isinstance(session_id, str) and session_id:
            return session_id
    return None
