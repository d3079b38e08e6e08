"""Motorhead's memory, windows of sessions and namespaces, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from recountdb.api.protocols.base import BodyInvalid, validate_body
from recountdb.api.protocols.motorhead.rules import RemoveMemory, build_addition, build_namespace_filter
from recountdb.api.protocols.motorhead.shapes import (
    EMPTY_MEMORY,
    Retrieval,
    UtterancesToAdd,
    find_namespaces,
    to_motorhead_hit,
    to_motorhead_memory,
)
from recountdb.domain.errors import NotFound
from recountdb.projections.queries.search import Ranked
from tests.support.decisions import Given, added, deleted, metadata_merged, say, started, undeleted
from tests.unit.api.protocols.samples import message_state, session_state

SECRET = "sherry in the cellar"


@pytest.mark.parametrize(
    "own", ["text", {"context": 1, "tokens": "many", "namespaces": ["a"]}, {"tokens": True}, None]
)
def test_metadata_of_another_shape_are_no_memory(own: Any) -> None:
    session = session_state(metadata={"motorhead": own})
    assert to_motorhead_memory(session, ()) == EMPTY_MEMORY
    assert find_namespaces(session) == set()


def test_a_memory_shows_context_tokens_and_messages_in_their_order() -> None:
    session = session_state(metadata={"motorhead": {"context": "Ana flies.", "tokens": 7}, "k": 1})
    parts = [{"type": "text", "text": "Hello"}, {"type": "image", "url": "u"}, {"text": "there"}]
    newest, oldest = message_state(role="tool", content=None), message_state(content=parts)
    assert to_motorhead_memory(session, [newest, oldest]) == {
        "messages": [{"role": "tool", "content": ""}, {"role": "user", "content": "Hello\nthere"}],
        "context": "Ana flies.",
        "tokens": 7,
    }


@pytest.mark.parametrize(("score", "distance"), [(1, 0), (0.25, 0.75), (0, 1), (-0.1, 1), (1.0000001, 0)])
def test_a_distance_is_from_0_to_1(score: float, distance: float) -> None:
    hit = to_motorhead_hit(Ranked(message_state(content="tea"), score, frozenset()))
    assert hit == {"role": "user", "content": "tea", "dist": distance}


def test_an_addition_keeps_the_context_unless_it_brings_one() -> None:
    body = validate_body({"messages": [{"role": "AI", "content": "a", "id": "1"}], "b": 1}, UtterancesToAdd)
    command = build_addition("s", body, "")
    assert [(message.role, message.content) for message in command.messages] == [("AI", "a")]
    assert command.metadata == {"motorhead": {"namespaces": {"": True}}}
    body = validate_body({"messages": [], "context": ""}, UtterancesToAdd)
    command = build_addition("s", body, "n")
    assert command.metadata == {"motorhead": {"namespaces": {"n": True}, "context": ""}}


def test_a_removal_ends_a_session_that_no_other_namespace_lists() -> None:
    for listed in ({"a": True}, {"a": True, "b": False}, {}):
        recorded = Given("session")(started(metadata={"motorhead": {"namespaces": listed}}), added(say("hi")))
        recorded.when(RemoveMemory, namespace="a").then(deleted(reason=None))
        Given("session")(*recorded.told, deleted()).when(RemoveMemory, namespace="a").then_refuses(NotFound)


def test_a_removal_empties_a_session_that_another_namespace_lists() -> None:
    listed = {"motorhead": {"namespaces": {"a": True, "b": True}}}
    nothing = {"motorhead": {"context": None, "tokens": 0, "namespaces": {"a": False}}}
    recorded = Given("session")(started(metadata=listed), added(say("hi")))
    recorded.when(RemoveMemory, namespace="a").then(
        deleted(reason=None), undeleted(restores_content=False), metadata_merged(metadata=nothing)
    )


def test_a_listing_is_of_the_sessions_in_a_namespace() -> None:
    criteria = build_namespace_filter("")
    assert (criteria.scope, criteria.metadata) == ("", {"motorhead": {"namespaces": {"": True}}})


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"messages": None},
        {"messages": {"role": SECRET}},
        {"messages": [SECRET]},
        {"messages": [{"content": SECRET}]},
        {"messages": [{"role": SECRET}]},
        {"messages": [{"role": 1, "content": SECRET}]},
        {"messages": [{"role": SECRET, "content": None}]},
        {"messages": [{"role": "a", "content": SECRET}, {}]},
        {"messages": [], "context": 1},
        {"messages": [{"role": "a", "content": f"{SECRET}\x00"}]},
        {"messages": [{"role": "a", "content": f"{SECRET}\ud800"}]},
    ],
    ids=str,
)
def test_a_memory_that_cannot_be_taken(document: Any) -> None:
    with pytest.raises(BodyInvalid) as raised:
        validate_body(document, UtterancesToAdd)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("document", [None, {}, {"text": None}, {"text": 1}, ["text"]], ids=str)
def test_a_question_that_cannot_be_taken(document: Any) -> None:
    with pytest.raises(BodyInvalid):
        validate_body(document, Retrieval)
