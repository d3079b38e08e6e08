"""What only threads decide: repeats by what was said when, and state documents."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import JsonValue

from recountdb.domain.commands.common import SetState
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.commands.users import MeetUser
from recountdb.domain.errors import MessageIdTaken
from recountdb.domain.messages import Message
from tests.support.decisions import (
    BEGINNING,
    Given,
    Told,
    added,
    deleted,
    edited,
    message_deleted,
    metadata_replaced,
    say,
    started,
    state_set,
    undeleted,
)


@pytest.fixture
def given() -> Given:
    return Given("thread")


def said(content: Any, at: datetime | str = BEGINNING, *, copy: int = 0, **members: Any) -> Message:
    """A message said at that instant; each ``copy`` of the same words has an id of its own."""
    return say(content, id=say([content, copy]).id, timestamp=at, **members)


class TestRepeats:
    def test_the_same_words_at_the_same_instant_are_the_same_message(self, given: Given) -> None:
        first, again = said("hello"), said("hello", copy=1)
        given(started(), added(first)).when(AddMessages, messages=[again]).then_nothing().about(first)

    @pytest.mark.parametrize(
        "spelling",
        [
            "2026-03-01T12:00:00Z",
            "2026-03-01T12:00:00.000000+00:00",
            "2026-03-01T14:00:00+02:00",
            "2026-03-01T12:00:00",
            "2026-02-28T23:30:00.0-12:30",
        ],
    )
    def test_an_instant_is_the_same_however_it_is_spelt(self, given: Given, spelling: str) -> None:
        first, again = said("hello"), said("hello", spelling, copy=1)
        given(started(), added(first)).when(AddMessages, messages=[again]).then_nothing().about(first)

    @pytest.mark.parametrize(
        "other",
        [
            said("hallo", copy=1),
            said("hello", copy=1, role="assistant"),
            said("hello", copy=1, user_id="ana"),
            said("hello", BEGINNING + timedelta(microseconds=1), copy=1),
            said("hello", BEGINNING.replace(tzinfo=timezone(timedelta(hours=1))), copy=1),
        ],
        ids=["content", "role", "user", "microsecond", "hour"],
    )
    def test_anything_else_is_another_message(self, given: Given, other: Message) -> None:
        recorded = given(started(), added(said("hello")))
        recorded.when(AddMessages, messages=[other]).then(added(other)).about(other)

    def test_name_and_metadata_do_not_make_it_another_message(self, given: Given) -> None:
        again = said("hello", copy=1, name="Ana", metadata={"try": 2})
        recorded = given(started(), added(said("hello")))
        recorded.when(AddMessages, messages=[again]).then_nothing().about(said("hello"))

    def test_repeats_within_one_batch_are_one_message(self, given: Given) -> None:
        batch = [said("hello"), said("hello", copy=1), said("Bye"), said("hello", copy=2)]
        decided = given(started()).when(AddMessages, messages=batch)
        decided.then(added(batch[0]), added(batch[2])).about(batch[0], batch[0], batch[2], batch[0])

    def test_a_batch_sent_again_adds_only_what_is_new(self, given: Given) -> None:
        recorded = given(started(), added(said("hello")), added(said("Bye")))
        batch = [said("hello", copy=1), said("Wait", copy=1), said("Bye", copy=1)]
        decided = recorded.when(AddMessages, messages=batch)
        decided.then(added(batch[1])).about(said("hello"), batch[1], said("Bye"))

    @pytest.mark.parametrize("at", [None])
    def test_without_timestamp_nothing_is_a_repeat(self, given: Given, at: Any) -> None:
        batch = [said("hello", at, copy=1), said("hello", at, copy=2)]
        recorded = given(started(), added(said("hello", at)))
        recorded.when(AddMessages, messages=batch).then(*map(added, batch)).about(*batch)

    @pytest.mark.parametrize(
        "told",
        [
            [started(), added(said("hello")), message_deleted(said("hello"))],
            [started(), added(said("hello")), deleted(), undeleted(restores_content=False)],
        ],
        ids=["deleted", "deleted with its thread"],
    )
    def test_what_is_hidden_may_be_said_anew(self, given: Given, told: list[Told]) -> None:
        anew = said("hello", copy=1)
        given(*told).when(AddMessages, messages=[anew]).then(added(anew)).about(anew)

    def test_what_was_deleted_with_its_thread_may_be_said_anew(self, given: Given) -> None:
        anew = said("hello", copy=1)
        decided = given(started(), added(said("hello")), deleted()).when(AddMessages, messages=[anew])
        decided.then(undeleted(restores_content=False), added(anew)).about(anew)

    def test_an_edited_message_is_known_by_its_new_words(self, given: Given) -> None:
        recorded = given(started(), added(said("hello")), edited(said("hello"), content="Hi"))
        recorded.when(AddMessages, messages=[said("Hi", copy=1)]).then_nothing().about(said("hello"))

    def test_an_id_counts_before_an_instant(self, given: Given) -> None:
        first = said("hello")
        second = said("hello", copy=1, role="assistant")
        recorded = given(started(), added(first), added(second))
        decided = recorded.when(AddMessages, messages=[second], given_ids=frozenset([second.id]))
        decided.then_nothing().about(second)

    def test_true_is_not_said_again_by_1(self, given: Given) -> None:
        yes, one = said([True]), said([1], copy=1)
        given(started(), added(yes)).when(AddMessages, messages=[one]).then(added(one)).about(one)


class TestKnownIds:
    def test_one_may_be_passed_over_whatever_it_says_now(self, given: Given) -> None:
        first = say("hello")
        other = first.model_copy(update={"content": "other", "role": "assistant"})
        again: dict[str, Any] = {"messages": [other], "given_ids": frozenset([first.id])}
        recorded = given(started(), added(first))
        recorded.when(AddMessages, known_ids="pass_over", **again).then_nothing().about(first)
        recorded.when(AddMessages, **again).then_refuses(MessageIdTaken)

    def test_also_within_one_batch(self, given: Given) -> None:
        first = say("hello")
        batch = [first, first.model_copy(update={"content": "other"})]
        asked = given(started()).when(AddMessages, messages=batch, known_ids="pass_over")
        asked.then(added(first)).about(first, first)


class TestMetadata:
    def test_they_are_replaced_where_that_is_asked_for(self, given: Given) -> None:
        before = started(metadata={"a": {"b": 1}})
        asked: dict[str, Any] = {"messages": [], "metadata": {"a": {"c": 2}}}
        given(before).when(AddMessages, **asked).then_nothing()
        replaced = metadata_replaced(metadata={"a": {"c": 2}})
        given(before).when(AddMessages, existing_metadata="replace", **asked).then(replaced)
        assert given(before, replaced).state.metadata == {"a": {"c": 2}}
        given(before, replaced).when(AddMessages, existing_metadata="replace", **asked).then_nothing()
        given(before).when(AddMessages, messages=[], existing_metadata="replace").then_nothing()

    def test_none_are_no_others_than_empty_ones(self, given: Given) -> None:
        asked: dict[str, Any] = {"messages": [], "metadata": {}, "existing_metadata": "replace"}
        given(started()).when(AddMessages, **asked).then_nothing()
        given(started(metadata={"a": 1})).when(AddMessages, **asked).then(metadata_replaced(metadata={}))


class TestWhoSpeaks:
    ana, bob = say("a", user_id="ana", name="Ana"), say("b", user_id="bob")
    again = say("c", user_id="bob", name="Bob")

    def command(self, **members: Any) -> AddMessages:
        said = [self.ana, self.bob, say("d"), self.again]
        return AddMessages(kind="thread", name="t", messages=said, **members)

    def test_each_is_met_once_by_the_first_name_they_say(self) -> None:
        met = self.command(meets_users=True).along()
        assert met == [MeetUser(name="ana", display_name="Ana"), MeetUser(name="bob", display_name="Bob")]
        assert self.command().along() == ()

    def test_only_those_are_met_who_said_something_new(self) -> None:
        event = added(self.bob).at("thread", 2)
        met = self.command(meets_users=True).along([event])
        assert met == [MeetUser(name="bob", display_name=None)]


class TestState:
    @pytest.mark.parametrize("state", [None, 0, "", [], {}, {"step": [1, None]}])
    def test_a_document_is_put_in_its_slot(self, given: Given, state: JsonValue) -> None:
        given(started()).when(SetState, state=state).then(state_set(key=None, state=state))
        given(started()).when(SetState, key="k", state=state).then(state_set(key="k", state=state))

    def test_it_starts_a_missing_thread(self, given: Given) -> None:
        given().when(SetState, state=1).then(started(), state_set(state=1))

    def test_it_revives_a_deleted_thread(self, given: Given) -> None:
        recorded = given(started(), added(say("hello")), deleted())
        recorded.when(SetState, state=1).then(undeleted(restores_content=False), state_set(state=1))


def test_a_user_that_comes_with_the_first_message_is_no_obstacle(given: Given) -> None:
    """Only sessions belong to somebody; a thread has the users of its messages."""
    given().when(AddMessages, messages=[say("hello")], user_id="ana").then(started(), added(say("hello")))
