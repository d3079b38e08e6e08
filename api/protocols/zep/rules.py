"""Zep's rules: what a search asks for, and which messages a memory shows beside its summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ValidationError

from recountdb.api.protocols.metadata import find_own_members
from recountdb.api.protocols.zep.errors import refuse_request
from recountdb.api.protocols.zep.shapes import KEY, SearchRequest, Summary
from recountdb.domain.messages import MessageState
from recountdb.domain.sessions import Session
from recountdb.projections.queries.search import Condition, Group, Holds, Search

LIMIT_DEFAULT = 10
LIMIT_MAX = 2**31
NESTING_MAX = 100
DELETED_THROUGH_ZEP = "deleted through Zep's API"
SCOPES = {"messages", "summary"}
WEIGHT_DEFAULT = 0.5
GROUPS: dict[str, Literal["all", "any"]] = {"and": "all", "or": "any"}


# ---- search ---------------------------------------------------------------------------------------


def build_search(request: SearchRequest, limit: int) -> Search:
    """Return the search that a request asks for. ``limit``: 0 means the default, negative none, as in Zep.

    Raises an error that is answered with 400 if the request is invalid.
    """
    criteria = request.metadata or {}
    if (request.search_scope or "messages") not in SCOPES:
        refuse_request("search_scope must be messages or summary")
    if not request.text and not criteria:
        refuse_request("a search needs text or metadata")
    if is_diverse(request) and not request.text:
        refuse_request("mmr needs text")
    return Search(
        text=request.text or "",
        where=_build_condition(criteria.get("where")),
        since=_read_time(criteria, "start_date"),
        until=_read_time(criteria, "end_date"),
        limit=None if limit < 0 else min(limit or LIMIT_DEFAULT, LIMIT_MAX),
    )


def is_diverse(request: SearchRequest) -> bool:
    """Return whether the result is chosen by MMR, which prefers messages that differ from each other."""
    return request.search_type == "mmr"


def choose_weight(request: SearchRequest) -> float:
    """Return the weight of similarity to the question against difference from each other."""
    return request.mmr_lambda or WEIGHT_DEFAULT


def count_candidates(limit: int | None) -> int | None:
    """Return how many of the most similar messages MMR chooses ``limit`` from; None means all."""
    return None if limit is None else max(2 * limit, 10)


def _read_time(criteria: dict[str, Any], member: str) -> str | None:
    time = criteria.get(member)
    if time is not None and (not isinstance(time, str) or "\x00" in time):
        refuse_request(f"metadata.{member} must be a time")
    return time


def _build_condition(node: Any, depth: int = 0) -> Condition:
    """Return the condition of a ``where`` node, which requires everything that its keys say."""
    if node is None:
        return Group("all", ())
    if not isinstance(node, dict) or depth > NESTING_MAX:
        refuse_request("metadata.where must be an object, not nested too deep")
    parts: list[Condition] = []
    path = node.get("jsonpath")
    if path is not None:
        if not isinstance(path, str):
            refuse_request("metadata.where: jsonpath must be a text")
        parts.append(Holds(path.replace("'", '"')))
    for key, kind in GROUPS.items():
        nodes = node.get(key)
        if nodes is not None:
            if not isinstance(nodes, list):
                refuse_request(f"metadata.where: {key} must be a list")
            parts.append(Group(kind, [_build_condition(each, depth + 1) for each in nodes]))
    return Group("all", parts)


# ---- memory ---------------------------------------------------------------------------------------


def read_summary(session: Session) -> Summary | None:
    """Return the summary in a session's metadata; None if it has no valid one.

    Anybody may write metadata, so it is validated.
    """
    try:
        return Summary.model_validate(find_own_members(session.metadata, KEY).get("summary"))
    except ValidationError:
        return None


def drop_summarized(messages: Sequence[MessageState], end: MessageState) -> list[MessageState]:
    """Return the messages after ``end``, the last one that the summary covers."""
    return [message for message in messages if message.version > end.version]
