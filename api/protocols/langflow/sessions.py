"""Which session a run belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Level = Literal["request", "component", "flow"]
Order = Literal["documented", "langflow-1.13"]


class Resolved(NamedTuple):
    """A session id, and whose word it was: the ``request``'s, a ``component``'s, or nobody's (``flow``)."""

    session_id: str
    level: Level


def resolve_session(
    flow: str, *, requested: str | None, component: str | None, order: Order = "documented"
) -> Resolved:
    """The session id of a run; an empty one is as good as none.

    ``documented``: the id in the request, else that set in a component, else the id of the flow.
    ``langflow-1.13``: what that release does: a component's is overwritten by the flow's.
    """
    if requested:
        return Resolved(requested, "request")
    if component and order == "documented":
        return Resolved(component, "component")
    return Resolved(flow, "flow")


def component_session(tweaks: Mapping[str, Any]) -> str | None:
    """The session id that the tweaks of a run set in one of its components; the first that is not empty."""
    for tweak in tweaks.values():
        session_id = tweak.get("session_id") if isinstance(tweak, Mapping) else None
        if isinstance(session_id, str) and session_id:
            return session_id
    return None
