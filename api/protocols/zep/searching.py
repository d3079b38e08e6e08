"""Translation of the payload and filters of Zep's search of a session into Recount's search."""

from __future__ import annotations

from typing import Any

from recountdb.api.protocols.zep.answers import refuse
from recountdb.api.protocols.zep.models import SearchPayload
from recountdb.projections.queries.search import Condition, Group, Holds, Search

LIMIT_DEFAULT = 10
LIMIT_MAX = 2**31
SCOPES = {"messages", "summary"}
WEIGHT_DEFAULT = 0.5


def search_for(payload: SearchPayload, limit: int) -> Search:
    """Return the search that a payload asks for. ``limit``: 0 means the default, negative none, as in Zep.

    Raises an error that is answered with 400 if the payload is invalid.
    """
    wanted = payload.metadata or {}
    if (payload.search_scope or "messages") not in SCOPES:
        refuse("search_scope must be messages or summary")
    if not payload.text and not wanted:
        refuse("a search needs text or metadata")
    if is_diverse(payload) and not payload.text:
        refuse("mmr needs text")
    return Search(
        text=payload.text or "",
        where=_condition(wanted.get("where")),
        since=_time(wanted, "start_date"),
        until=_time(wanted, "end_date"),
        limit=None if limit < 0 else min(limit or LIMIT_DEFAULT, LIMIT_MAX),
    )


def is_diverse(payload: SearchPayload) -> bool:
    return payload.search_type == "mmr"


def weight(payload: SearchPayload) -> float:
    return payload.mmr_lambda or WEIGHT_DEFAULT


def candidates(limit: int | None) -> int | None:
    """Return how many of the most similar messages MMR chooses ``limit`` from; None means all."""
    return None if limit is None else max(2 * limit, 10)


def _time(wanted: dict[str, Any], member: str) -> str | None:
    found = wanted.get(member)
    if found is not None and (not isinstance(found, str) or "\x00" in found):
        refuse(f"metadata.{member} must be a time")
    return found


def _condition(node: Any, depth: int = 0) -> Condition:
    """Return the condition of a ``where`` node, which requires everything that its keys say."""
    if node is None:
        return Group("all", ())
    if not isinstance(node, dict) or depth > 100:
        refuse("metadata.where must be an object, not nested too deep")
    parts: list[Condition] = []
    path = node.get("jsonpath")
    if path is not None:
        if not isinstance(path, str):
            refuse("metadata.where: jsonpath must be a text")
        parts.append(Holds(path.replace("'", '"')))
    for key, which in (("and", "all"), ("or", "any")):
        nodes = node.get(key)
        if nodes is not None:
            if not isinstance(nodes, list):
                refuse(f"metadata.where: {key} must be a list")
            group = [_condition(each, depth + 1) for each in nodes]
            parts.append(Group("any" if which == "any" else "all", group))
    return Group("all", parts)
