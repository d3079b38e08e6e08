"""What sessions and threads decide alike: messages, metadata, deletion and coming back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid5

import pytest

from recountdb.domain.commands.common import Delete, MergeMetadata, Start, TouchMetadata, Undelete
from recountdb.domain.commands.conversations import AddMessages, ChangeMessage, Clear, DeleteMessage
from recountdb.domain.errors import AlreadyExists, MessageIdTaken, MessageIsDeleted, NotFound
from recountdb.domain.messages import Message, MessageAdded
from tests.support.decisions import (
    BEGINNING,
    Decided,
    Given,
    Told,
    added,
    deleted,
    edited,
    message_deleted,
    message_merged,
    metadata_merged,
    say,
    started,
    undeleted,
)

hello = say("hello")
weather = say("How is the weather?")
revived = undeleted(restores_content=False)
restored = undeleted(restores_content=True)

HIDDEN = {
    "deleted itself": [started(), added(hello), message_deleted(hello)],
    "deleted with its conversation": [started(), added(hello), deleted()],
    "deleted, and the conversation went on": [started(), added(hello), deleted(), revived],
}


@pytest.fixture(params=["session", "thread"])
def given(request: pytest.FixtureRequest) -> Given:
    return Given(request.param)


def given_ids(*messages: Message) -> dict[str, Any]:
    """Members of AddMessages for messages whose ids their caller chose."""
    return {"messages": messages, "given_ids": frozenset(message.id for message in messages)}


class TestStarting:
    def test_starts_with_a_number_and_metadata(self, given: Given) -> None:
        given().when(Start, metadata={"a": 1}).then(started(metadata={"a": 1}))

    def test_the_first_message_starts_it(self, given: Given) -> None:
        given().when(AddMessages, messages=[hello]).then(started(), added(hello)).about(hello)

    def test_the_first_message_may_bring_metadata_for_what_it_starts(self, given: Given) -> None:
        decided = given().when(AddMessages, messages=[hello], metadata={"a": 1})
        decided.then(started(metadata={"a": 1}), added(hello))
        given(started()).when(AddMessages, messages=[hello], metadata={"a": 1}).then(added(hello))

    def test_starting_twice_is_refused(self, given: Given) -> None:
        given(started()).when(Start).then_refuses(AlreadyExists)

    def test_starting_a_deleted_one_is_refused_and_says_so(self, given: Given) -> None:
        decided = given(started(), deleted()).when(Start)
        decided.then_refuses(AlreadyExists)
        assert isinstance(decided.error, AlreadyExists)
        assert decided.error.is_deleted

    @pytest.mark.parametrize(
        "command", [MergeMetadata, Delete, Clear, Undelete, ChangeMessage, DeleteMessage]
    )
    def test_nothing_else_starts_it(self, given: Given, command: Any) -> None:
        members: dict[Any, dict[str, Any]] = {
            MergeMetadata: {"metadata": {}},
            ChangeMessage: {"message_id": hello.id},
            DeleteMessage: {"message_id": hello.id},
        }
        given().when(command, **members.get(command, {})).then_refuses(NotFound)


class TestAdding:
    def test_messages_join_in_the_callers_order(self, given: Given) -> None:
        decided = given(started(), added(hello)).when(AddMessages, messages=[weather, say("Bye")])
        decided.then(added(weather), added(say("Bye"))).about(weather, say("Bye"))

    def test_no_messages_are_no_event(self, given: Given) -> None:
        given(started()).when(AddMessages, messages=[]).then_nothing()

    def test_the_same_id_with_the_same_words_is_the_same_message(self, given: Given) -> None:
        decided = given(started(), added(hello)).when(AddMessages, **given_ids(hello, weather))
        decided.then(added(weather)).about(hello, weather)

    def test_the_same_id_with_other_metadata_is_the_same_message(self, given: Given) -> None:
        again = say("hello", metadata={"try": 2}, token_count=3)
        given(started(), added(hello)).when(AddMessages, **given_ids(again)).then_nothing().about(hello)

    @pytest.mark.parametrize(
        "other",
        [
            {"content": "hallo"},
            {"content": None},
            {"role": "assistant"},
            {"name": "Ana"},
            {"user_id": "ana"},
            {"timestamp": BEGINNING},
            {"tool_calls": []},
            {"tool_call_id": "1"},
        ],
        ids=lambda other: next(iter(other)),
    )
    def test_the_same_id_with_other_words_is_refused(self, given: Given, other: dict[str, Any]) -> None:
        words = hello.model_copy(update=other)
        given(started(), added(hello)).when(AddMessages, **given_ids(weather, words)).then_refuses(
            MessageIdTaken
        )

    def test_true_is_not_said_again_by_1(self, given: Given) -> None:
        yes, one = say([{"sure": True}]), say([{"sure": 1}], id=say([{"sure": True}]).id)
        given(started(), added(yes)).when(AddMessages, **given_ids(one)).then_refuses(MessageIdTaken)

    def test_the_same_id_of_an_edited_message_is_the_same_message(self, given: Given) -> None:
        """Who repeats a write after somebody edited what it wrote gets it answered as before."""
        recorded = given(started(), added(hello), edited(hello, content="Hello!"))
        recorded.when(AddMessages, **given_ids(hello)).then_nothing().about(hello)

    def test_the_same_id_twice_in_one_batch_is_one_message(self, given: Given) -> None:
        given(started()).when(AddMessages, **given_ids(hello, hello)).then(added(hello)).about(hello, hello)

    def test_the_same_id_with_other_words_in_one_batch_is_refused(self, given: Given) -> None:
        other = say("hallo", id=hello.id)
        given(started()).when(AddMessages, **given_ids(hello, other)).then_refuses(MessageIdTaken)

    def test_ids_that_must_be_new(self, given: Given) -> None:
        """Then even the same words under the same id are refused, and so is an id that comes twice."""
        new: dict[str, Any] = {"known_ids": "refuse"}
        given(started()).when(AddMessages, **given_ids(hello, weather), **new).then(
            added(hello), added(weather)
        )
        for recorded in (
            given(started(), added(hello)),
            given(started(), added(hello), message_deleted(hello)),
            given(started(), added(hello), deleted()),
        ):
            recorded.when(AddMessages, **given_ids(weather, hello), **new).then_refuses(MessageIdTaken)
        given().when(AddMessages, **given_ids(hello, hello), **new).then_refuses(MessageIdTaken)

    def test_a_role_may_be_empty(self, given: Given) -> None:
        given(started()).when(AddMessages, messages=[say("hi", role="")]).then(added(say("hi", role="")))

    @pytest.mark.parametrize("words", ["hello", "hallo"])
    @pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
    def test_the_id_of_a_hidden_message_is_refused(
        self, given: Given, hidden: list[Told], words: str
    ) -> None:
        again = given_ids(weather, say(words, id=hello.id))
        given(*hidden).when(AddMessages, **again).then_refuses(MessageIsDeleted)

    @pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
    def test_a_hidden_message_may_be_passed_over(self, given: Given, hidden: list[Told]) -> None:
        decided = given(*hidden).when(AddMessages, hidden_ids="pass_over", **given_ids(hello, weather))
        assert [event.message for event in decided.events if isinstance(event, MessageAdded)] == [weather]

    @pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
    def test_a_hidden_message_may_be_said_anew(self, given: Given, hidden: list[Told]) -> None:
        """Under the same id each time it comes, until that message is hidden too."""
        renew: dict[str, Any] = {"hidden_ids": "renew", **given_ids(hello)}
        anew = hello.model_copy(update={"id": uuid5(hello.id, "2")})
        once = given(*hidden, *([revived] if hidden[-1] == deleted() else []), added(anew))
        given(*hidden).when(AddMessages, **renew).about(anew)
        once.when(AddMessages, **renew).then_nothing().about(anew)
        place = str(once.state.version)
        third = hello.model_copy(update={"id": uuid5(anew.id, place)})
        told = [*once.told, message_deleted(anew)]
        given(*told).when(AddMessages, **renew).then(added(third)).about(third)

    def test_messages_without_timestamp_are_never_the_same(self, given: Given) -> None:
        again = say("hello", id=weather.id)
        given(started(), added(hello)).when(AddMessages, messages=[again]).then(added(again)).about(again)

    def test_messages_may_bring_metadata_to_merge(self, given: Given) -> None:
        plan = given(started(metadata={"plan": {"tier": "pro"}}), added(hello))

        def add(*messages: Message, metadata: dict[str, Any]) -> Decided:
            merging: dict[str, Any] = {"metadata": metadata, "existing_metadata": "merge"}
            return plan.when(AddMessages, messages=messages, **merging)

        decided = add(weather, metadata={"plan": {"seats": 2}})
        decided.then(metadata_merged(metadata={"plan": {"seats": 2}}), added(weather)).about(weather)
        add(weather, metadata={"plan": {"tier": "pro"}}).then(added(weather))
        add(metadata={"a": 1}).then(metadata_merged(metadata={"a": 1}))

    def test_what_starts_with_messages_has_just_the_metadata_they_bring(self, given: Given) -> None:
        plan = {"plan": {"tier": "pro"}}
        for existing in ("keep", "merge", "replace"):
            brought: dict[str, Any] = {"metadata": plan, "existing_metadata": existing, "renewal": {"a": 1}}
            given().when(AddMessages, messages=[hello], **brought).then(started(metadata=plan), added(hello))

    def test_what_is_merged_at_a_renewal_comes_before_all_else(self, given: Given) -> None:
        """So null takes a document away, and what follows is merged into nothing."""
        told = [started(metadata={"notes": {"old": 1}, "a": 1}), added(hello), deleted()]
        new: dict[str, Any] = {"renewal": {"notes": None}, "metadata": {"notes": {"new": 2}}}
        decided = given(*told).when(AddMessages, messages=[weather], existing_metadata="merge", **new)
        forgotten = metadata_merged(metadata={"notes": None})
        decided.then(revived, forgotten, metadata_merged(metadata={"notes": {"new": 2}}), added(weather))
        events = [*told, revived, forgotten, metadata_merged(metadata={"notes": {"new": 2}})]
        assert given(*events).state.metadata == {"notes": {"new": 2}, "a": 1}

    def test_a_live_one_is_not_renewed(self, given: Given) -> None:
        recorded = given(started(metadata={"notes": {"old": 1}}), deleted(), restored)
        recorded.when(AddMessages, messages=[hello], renewal={"notes": None}).then(added(hello))


class TestMetadata:
    def test_is_merged_deeply(self, given: Given) -> None:
        recorded = given(started(metadata={"plan": {"tier": "pro", "seats": 1}}))
        patch = {"plan": {"seats": 2}}
        recorded.when(MergeMetadata, metadata=patch).then(metadata_merged(metadata=patch))
        after = given(*recorded.told, metadata_merged(metadata=patch))
        assert after.state.metadata == {"plan": {"tier": "pro", "seats": 2}}

    def test_a_touch_leaves_a_trace_even_if_it_changes_nothing(self, given: Given) -> None:
        for metadata in (None, {}, {"a": 1}):
            recorded = given(started(metadata=metadata))
            decided = recorded.when(TouchMetadata, metadata={})
            decided.then(metadata_merged(metadata={}))
            after = given(started(metadata=metadata), metadata_merged(metadata={})).state
            assert after.metadata == metadata
            assert after.updated_at > recorded.state.updated_at
        recorded.when(TouchMetadata, metadata={"a": 1}).then(metadata_merged(metadata={"a": 1}))
        given(started(), deleted()).when(TouchMetadata, metadata={}).then(revived)

    def test_a_patch_that_changes_nothing_is_nothing(self, given: Given) -> None:
        recorded = given(started(metadata={"plan": {"tier": "pro"}, "off": None}))
        recorded.when(MergeMetadata, metadata={"plan": {}, "off": None}).then_nothing()
        recorded.when(MergeMetadata, metadata={}).then_nothing()

    def test_null_is_stored(self, given: Given) -> None:
        recorded = given(started(metadata={"a": 1}))
        recorded.when(MergeMetadata, metadata={"a": None}).then(metadata_merged(metadata={"a": None}))
        given(started()).when(MergeMetadata, metadata={"b": None}).then(metadata_merged(metadata={"b": None}))

    @pytest.mark.parametrize(("old", "new"), [(1, True), (False, 0), ([1], [True]), ({"a": 0}, {"a": False})])
    def test_a_number_is_not_a_truth_value(self, given: Given, old: Any, new: Any) -> None:
        """Python holds 1 and True for equal; in JSON they are two different values."""
        recorded = given(started(metadata={"flag": old}))
        recorded.when(MergeMetadata, metadata={"flag": new}).then(metadata_merged(metadata={"flag": new}))

    def test_a_merge_revives_a_deleted_one(self, given: Given) -> None:
        recorded = given(started(), added(hello), deleted())
        recorded.when(MergeMetadata, metadata={"a": 1}).then(revived, metadata_merged(metadata={"a": 1}))


class TestDeleting:
    def test_one_event_deletes_all_it_holds(self, given: Given) -> None:
        recorded = given(started(), added(hello), added(weather))
        recorded.when(Delete, reason="asked to").then(deleted(reason="asked to"))

    def test_deleting_twice_decides_nothing(self, given: Given) -> None:
        given(started(), deleted()).when(Delete, reason="again").then_nothing()

    def test_undeleting_restores_exactly_what_was_deleted_with_it(self, given: Given) -> None:
        told = [started(), added(hello), added(weather), message_deleted(hello), deleted()]
        given(*told).when(Undelete).then(restored)
        after = given(*told, restored)
        assert not after.state.is_deleted
        assert after.state.message_count == 1
        assert [after.state.hides(message) for message in after.messages()] == [True, False]

    def test_undeleting_a_live_one_decides_nothing(self, given: Given) -> None:
        given(started(), added(hello)).when(Undelete).then_nothing()

    def test_a_write_revives_it_and_what_was_deleted_stays_deleted(self, given: Given) -> None:
        told = [started(), added(hello), deleted()]
        given(*told).when(AddMessages, messages=[weather]).then(revived, added(weather))
        after = given(*told, revived, added(weather))
        assert after.state.message_count == 1
        assert [after.state.hides(message) for message in after.messages()] == [True, False]

    def test_undeleting_later_brings_back_the_last_deletion_only(self, given: Given) -> None:
        told = [started(), added(hello), deleted(), revived, added(weather), deleted()]
        given(*told).when(Undelete).then(restored)
        after = given(*told, restored)
        assert after.state.message_count == 1
        assert [after.state.hides(message) for message in after.messages()] == [True, False]

    def test_a_deleted_one_hides_every_message(self, given: Given) -> None:
        after = given(started(), added(hello), deleted())
        assert all(after.state.hides(message) for message in after.messages())


class TestClearing:
    def test_what_was_said_is_hidden_for_good(self, given: Given) -> None:
        told = [started(), added(hello), added(weather)]
        given(*told).when(Clear).then(deleted(reason=None), revived)
        after = given(*told, deleted(), revived)
        assert not after.state.is_deleted
        assert after.state.message_count == 0
        assert all(after.state.hides(message) for message in after.messages())

    def test_metadata_are_merged(self, given: Given) -> None:
        recorded = given(started(metadata={"a": {"b": 1}}), added(hello))
        patch = {"a": {"c": 2}}
        recorded.when(Clear, metadata=patch).then(
            deleted(reason=None), revived, metadata_merged(metadata=patch)
        )

    def test_where_nothing_was_said_there_is_nothing_to_hide(self, given: Given) -> None:
        given(started(), added(hello), message_deleted(hello)).when(Clear).then_nothing()
        given(started()).when(Clear, metadata={"a": 1}).then(metadata_merged(metadata={"a": 1}))

    def test_a_deleted_one_is_not_there_to_clear(self, given: Given) -> None:
        gone = given(started(), added(hello), deleted())
        gone.when(Clear, metadata={"a": 1}).then_refuses(NotFound)


HIDDEN = {
    "unknown": [started()],
    "deleted": [started(), added(hello), message_deleted(hello)],
    "deleted with its conversation": [started(), added(hello), deleted()],
    "deleted for good": [started(), added(hello), deleted(), revived],
}


class TestOneMessage:
    def test_edit_names_just_what_is_new(self, given: Given) -> None:
        recorded = given(started(), added(hello))
        decided = recorded.when(
            ChangeMessage, message_id=hello.id, changes={"content": "Hi", "role": "system"}
        )
        decided.then(edited(hello, content="Hi", role="system")).about(hello)

    def test_edit_to_what_it_is_already_decides_nothing(self, given: Given) -> None:
        recorded = given(started(), added(hello), edited(hello, content="Hi"))
        decided = recorded.when(ChangeMessage, message_id=hello.id, changes={"content": "Hi"})
        decided.then_nothing().about(hello)

    def test_an_edit_from_1_to_true_is_an_edit(self, given: Given) -> None:
        parts = say([{"n": 1}])
        change: dict[str, Any] = {"content": [{"n": True}]}
        decided = given(started(), added(parts)).when(ChangeMessage, message_id=parts.id, changes=change)
        decided.then(edited(parts, **change))

    def test_a_member_can_be_edited_to_null(self, given: Given) -> None:
        decided = given(started(), added(hello)).when(
            ChangeMessage, message_id=hello.id, changes={"content": None}
        )
        decided.then(edited(hello, content=None))

    def test_its_metadata_is_merged(self, given: Given) -> None:
        tagged = say("hello", metadata={"a": {"b": 1}})
        patch = {"a": {"c": None}}
        decided = given(started(), added(tagged)).when(ChangeMessage, message_id=tagged.id, metadata=patch)
        decided.then(message_merged(tagged, patch))
        after = given(started(), added(tagged), message_merged(tagged, patch))
        assert after.messages()[0].metadata == {"a": {"b": 1, "c": None}}

    def test_its_metadata_that_stay_the_same_are_nothing(self, given: Given) -> None:
        tagged = say("hello", metadata={"a": 1})
        recorded = given(started(), added(tagged))
        recorded.when(ChangeMessage, message_id=tagged.id, metadata={"a": 1}).then_nothing()

    def test_edit_and_merge_in_one_go(self, given: Given) -> None:
        decided = given(started(), added(hello)).when(
            ChangeMessage, message_id=hello.id, changes={"content": "Hi"}, metadata={"a": 1}
        )
        decided.then(edited(hello, content="Hi"), message_merged(hello, {"a": 1}))

    def test_delete(self, given: Given) -> None:
        recorded = given(started(), added(hello), added(weather))
        recorded.when(DeleteMessage, message_id=hello.id).then(message_deleted(hello)).about(hello)
        assert given(*recorded.told, message_deleted(hello)).state.message_count == 1

    @pytest.mark.parametrize("told", HIDDEN.values(), ids=HIDDEN.keys())
    @pytest.mark.parametrize(
        ("command", "members"),
        [
            (ChangeMessage, {"changes": {"content": "Hi"}}),
            (ChangeMessage, {"metadata": {"a": 1}}),
            (DeleteMessage, {}),
        ],
        ids=["edit", "merge", "delete"],
    )
    def test_out_of_sight_is_out_of_reach(
        self, given: Given, told: Any, command: Any, members: dict[str, Any]
    ) -> None:
        given(*told).when(command, message_id=hello.id, **members).then_refuses(NotFound)


def test_time_never_runs_backwards_in_a_stream(given: Given) -> None:
    early = BEGINNING - timedelta(days=1)
    decided = given(started(), at=early).when(AddMessages, messages=[hello, weather])
    assert [event.recorded_at for event in decided.events] == [BEGINNING + timedelta(minutes=1)] * 2
