"""The difference of two moments: a patch from one to the other, and words that only tell where."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from recountdb.api.schemas.diff import changed_paths, difference_resource, document, patch_between
from recountdb.domain.conversation import Conversation
from recountdb.domain.values import is_same
from recountdb.projections.queries.diff import Point
from tests.support.decisions import (
    Given,
    Told,
    added,
    deleted,
    edited,
    message_deleted,
    message_merged,
    metadata_merged,
    renamed,
    say,
    started,
    undeleted,
)
from tests.support.documents import documents, objects

hello, bye = say("hello", metadata={"a": 1}), say("Bye")
SECRET = "sherry in the cellar"


def point(*told: Told) -> Point:
    """A session after ``told``, with all its messages that can be seen."""
    given = Given("session")(*told)
    state: Conversation = given.state
    return Point(state, [message for message in given.messages() if not state.hides(message)])


def difference(before: list[Told], after: list[Told]) -> dict[str, Any]:
    """What came of ``after`` happening to what ``before`` led to."""
    return difference_resource(point(*before), point(*before, *after), {})


def backwards(before: list[Told], after: list[Told]) -> dict[str, Any]:
    return difference_resource(point(*before, *after), point(*before), {})


@given(objects(), objects())
def test_a_patch_leads_from_one_document_to_the_other(old: Any, new: Any) -> None:
    patch = from_json(to_json(patch_between(old, new)))
    untouched = deepcopy(old)
    assert is_same(jsonpatch.apply_patch(old, patch), new)
    assert is_same(old, untouched)
    assert bool(patch) != is_same(old, new)


happenings = st.lists(
    st.one_of(
        st.builds(lambda content: added(say(content)), documents().map(lambda document: [document])),
        st.builds(lambda content: edited(hello, content=content), st.sampled_from(["Hi", None, [1], [True]])),
        st.builds(lambda metadata: message_merged(hello, metadata), objects()),
        st.builds(lambda metadata: metadata_merged(metadata=metadata), objects()),
        st.builds(lambda name: renamed(name=name), st.sampled_from(["trip", "talk"])),
        st.just(message_deleted(bye)),
        st.just(deleted()),
        st.builds(lambda all_of_it: undeleted(restores_content=all_of_it), st.booleans()),
    ),
    max_size=6,
)


@given(happenings, happenings)
def test_a_session_s_patch_leads_from_one_moment_to_the_other(first: list[Told], then: list[Told]) -> None:
    before = [started(metadata={"plan": {"tier": "free"}}), added(hello), added(bye), *first]
    old, new = point(*before), point(*before, *then)
    for one, other in ((old, new), (new, old)):
        found = difference_resource(one, other, {})
        patch = from_json(to_json(found["patch"]))
        assert is_same(jsonpatch.apply_patch(document(one, {}), patch), document(other, {}))
        assert (found["from"], found["to"]) == (one.conversation.version, other.conversation.version)


def test_the_document_is_what_the_routes_show() -> None:
    shown = document(point(started(), added(hello), added(bye)), {})
    assert list(shown) == ["session", "messages"]
    assert (shown["session"]["session_id"], shown["session"]["message_count"]) == ("talk", 2)
    assert list(shown["messages"]) == [str(hello.id), str(bye.id)]
    assert shown["messages"][str(bye.id)]["content"] == "Bye"


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ([], []),
        ([added(say("more"))], ["message 4 was added"]),
        ([edited(hello, content="Hi", role="system")], ["message 2 was edited: role, content"]),
        (
            [message_merged(hello, {"a": 2, "b": {"c": 1}})],
            ["message 2, metadata: a changed", "message 2, metadata: b added"],
        ),
        ([message_deleted(hello)], ["message 2 was deleted"]),
        (
            [metadata_merged(metadata={"plan": {"tier": "pro", "seats": 2}, "table": 7})],
            ["metadata: plan.tier changed", "metadata: plan.seats added", "metadata: table added"],
        ),
        ([renamed(name="trip")], ["the session was renamed"]),
        ([deleted()], ["the session was deleted", "message 2 was deleted", "message 3 was deleted"]),
        ([deleted(), undeleted(restores_content=True)], []),
        (
            [deleted(), undeleted(restores_content=False), added(say("anew"))],
            ["message 2 was deleted", "message 3 was deleted", "message 6 was added"],
        ),
    ],
    ids=lambda value: "-".join(told.role for told in value if isinstance(told, Told)) or None,
)
def test_words(after: list[Told], words: list[str]) -> None:
    before = [started(metadata={"plan": {"tier": "free"}}), added(hello), added(bye)]
    assert difference(before, after)["words"] == words


def test_words_backwards() -> None:
    before = [started(), added(hello), deleted()]
    words = backwards(before, [undeleted(restores_content=True), added(bye)])["words"]
    assert words == ["the session was deleted", "message 2 was deleted", "message 5 is not there yet"]
    words = difference(before, [undeleted(restores_content=True), added(bye)])["words"]
    assert words == ["the session was undeleted", "message 2 is back", "message 5 was added"]


def test_words_never_say_what_was_said() -> None:
    first = say("hello", metadata={"mood": SECRET})
    before = [started(metadata={"city": SECRET}), added(first)]
    after = [
        edited(first, content=SECRET, name=SECRET, user_id=SECRET),
        message_merged(first, {"mood": {"of": SECRET}}),
        metadata_merged(metadata={"city": [SECRET]}),
        added(say(SECRET)),
        renamed(name=SECRET),
    ]
    found = difference(before, after)
    assert SECRET in str(found["patch"])
    assert len(found["words"]) == 5
    assert SECRET not in str(found["words"])


def test_true_is_not_one_and_a_list_is_one_thing() -> None:
    assert list(changed_paths({"a": 1, "b": [1]}, {"a": True, "b": [1, 2]})) == ["a changed", "b changed"]
    assert list(changed_paths({"a": {"b": 1, "c": 1}}, {"a": {"b": 1}})) == ["a.c removed"]
    assert list(changed_paths(None, {"a": 1})) == ["a added"]
    assert list(changed_paths(None, {})) == []


def test_what_is_changed_moves_the_time_too() -> None:
    found = difference([started(), added(hello)], [edited(hello, content="Hi")])
    paths = {operation["path"] for operation in found["patch"]}
    assert paths == {
        "/session/version",
        "/session/updated_at",
        f"/messages/{hello.id}/content",
        f"/messages/{hello.id}/updated_at",
    }
