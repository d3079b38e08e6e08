"""What only sessions decide: whose they are, their name, and repeats by id alone."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from recountdb.domain.commands.base import Refuse
from recountdb.domain.commands.common import Start
from recountdb.domain.commands.conversations import (
    AddMessages,
    DeleteMessages,
    Fork,
    MergeSessions,
    MoveMessages,
    RenameSession,
)
from recountdb.domain.errors import AlreadyExists, ExpectationFailed, NotFound
from recountdb.domain.sessions import MessageAdded, MessageDeleted, Origin, SessionDeleted
from tests.support.decisions import (
    BEGINNING,
    NAME,
    STREAM,
    Given,
    Source,
    Told,
    added,
    deleted,
    message_deleted,
    metadata_merged,
    renamed,
    say,
    source,
    started,
    undeleted,
)


@pytest.fixture
def given() -> Given:
    return Given("session")


def test_a_session_may_be_somebodys(given: Given) -> None:
    given().when(Start, user_id="ana").then(started(user_id="ana"))
    assert given(started(user_id="ana")).state.user_id == "ana"


def test_the_message_that_starts_a_session_may_say_whose_it_is(given: Given) -> None:
    decided = given().when(AddMessages, messages=[say("hello")], user_id="ana")
    decided.then(started(user_id="ana"), added(say("hello")))


def test_a_session_stays_whose_it_is(given: Given) -> None:
    recorded = given(started(user_id="ana"))
    recorded.when(AddMessages, messages=[say("hello")], user_id="bob").then(added(say("hello")))


def test_the_same_words_at_the_same_instant_are_two_messages(given: Given) -> None:
    first, second = (say("hello", id=say(copy).id, timestamp=BEGINNING) for copy in ("first", "second"))
    given(started(), added(first)).when(AddMessages, messages=[second]).then(added(second)).about(second)


def test_renaming(given: Given) -> None:
    given(started()).when(RenameSession, new_name="trip").then(renamed(name="trip"))
    assert given(started(), renamed(name="trip")).state.name == "trip"


def test_renaming_to_its_own_name_decides_nothing(given: Given) -> None:
    given(started(), taken=[NAME]).when(RenameSession, new_name=NAME).then_nothing()


def test_renaming_to_a_taken_name_is_refused(given: Given) -> None:
    given(started(), taken=["trip"]).when(RenameSession, new_name="trip").then_refuses(AlreadyExists)


def test_a_missing_or_deleted_session_is_not_renamed(given: Given) -> None:
    given().when(RenameSession, new_name="trip").then_refuses(NotFound)
    given(started(), deleted()).when(RenameSession, new_name="trip").then_refuses(NotFound)


def test_a_fork_begins_with_what_its_source_held(given: Given) -> None:
    source = given(
        started(user_id="ana", metadata={"plan": {"tier": "pro"}}), metadata_merged(metadata={"a": 1})
    )
    origin = Origin(stream_id=STREAM, version=2)
    messages = [say("hello", timestamp=BEGINNING), say("Bye")]
    decided = given().when(Fork, source=source.state, messages=messages)
    begun = started(user_id="ana", metadata={"plan": {"tier": "pro"}, "a": 1}, origin=origin)
    decided.then(begun, *map(added, messages)).about(*messages)
    assert given(begun).state.origin == origin


def test_a_fork_may_say_more_of_itself(given: Given) -> None:
    source = given(started(metadata={"plan": {"tier": "pro"}})).state
    decided = given().when(Fork, source=source, messages=[], metadata={"plan": {"seats": 2}})
    origin = Origin(stream_id=STREAM, version=1)
    decided.then(started(metadata={"plan": {"tier": "pro", "seats": 2}}, origin=origin))


def test_a_fork_needs_a_name_of_its_own(given: Given) -> None:
    source = given(started()).state
    for there in (given(started()), given(started(), deleted())):
        there.when(Fork, source=source, messages=[]).then_refuses(AlreadyExists)


def test_what_could_not_be_made_is_refused_when_it_is_its_turn(given: Given) -> None:
    given().when(Refuse, error=NotFound("session")).then_refuses(NotFound)


def test_a_session_that_is_no_fork_has_no_origin(given: Given) -> None:
    assert given(started()).state.origin is None


TRIP = (started(name="trip"), added(say("hello")), added(say("bye")))


class TestMerging:
    """``given`` is the session that the messages of another one, ``trip``, are to join."""

    @pytest.fixture
    def trip(self) -> Source:
        return source(*TRIP)

    def test_its_messages_join_and_it_is_deleted(self, given: Given, trip: Source) -> None:
        decided = given(started(), others=[trip]).when(
            MergeSessions, source=trip.state, messages=[say("hello"), say("bye")], reason="merged"
        )
        decided.then(added(say("hello")), added(say("bye"))).about(say("hello"), say("bye"))
        (deletion,) = trip.draft.events
        assert isinstance(deletion, SessionDeleted)
        assert (deletion.originator_id, deletion.originator_version) == (trip.state.id, 4)
        assert (deletion.reason, deletion.causation_id) == ("merged", f"{STREAM}/3")

    def test_it_revives_a_deleted_session_whose_messages_stay_deleted(
        self, given: Given, trip: Source
    ) -> None:
        there = given(started(), added(say("old")), deleted(), others=[trip])
        decided = there.when(MergeSessions, source=trip.state, messages=[say("hello")])
        decided.then(undeleted(restores_content=False), added(say("hello")))

    def test_a_message_that_is_there_joins_once(self, given: Given, trip: Source) -> None:
        there = given(started(), added(say("hello")), others=[trip])
        there.when(MergeSessions, source=trip.state, messages=[say("hello")]).then_nothing()
        assert [event.TOPIC for event in trip.draft.events] == ["session.deleted"]

    @pytest.mark.parametrize("more", [[message_deleted(say("hello"))], [deleted()], []])
    def test_an_id_that_is_taken_otherwise_is_not_taken_twice(
        self, given: Given, trip: Source, more: list[Told]
    ) -> None:
        """By a deleted message it would hide the one that joins; by other words it would be refused."""
        told = say("hello") if more else say("others", id=say("hello").id)
        there = given(started(), added(told), *more, others=[trip])
        decided = there.when(MergeSessions, source=trip.state, messages=[say("hello")])
        assert decided.error is None
        (joined,) = (event for event in decided.events if isinstance(event, MessageAdded))
        assert joined.message.content == "hello"
        assert joined.message.id != say("hello").id
        afresh = given(started(), added(told), *more, others=[replace(trip, draft=source(*TRIP).draft)])
        again = afresh.when(MergeSessions, source=trip.state, messages=[say("hello")])
        assert list(again.message_ids) == [joined.message.id]

    def test_it_must_not_have_gone_on(self, given: Given, trip: Source) -> None:
        before = replace(trip.state, version=2)
        there = given(started(), others=[trip])
        there.when(MergeSessions, source=before, messages=[say("hello")]).then_refuses(ExpectationFailed)
        other = replace(trip.state, id=uuid4())
        there.when(MergeSessions, source=other, messages=[say("hello")]).then_refuses(ExpectationFailed)
        assert trip.draft.events == []

    def test_one_that_is_deleted_or_gone_is_not_merged(self, given: Given) -> None:
        gone = source(started(name="trip"), deleted())
        there = given(started(), others=[gone])
        there.when(MergeSessions, source=gone.state, messages=[]).then_refuses(NotFound)

    def test_nothing_joins_what_is_not_there(self, given: Given, trip: Source) -> None:
        missing = given(others=[trip]).when(MergeSessions, source=trip.state, messages=[])
        missing.then_refuses(NotFound)

    def test_a_session_does_not_join_itself(self, given: Given) -> None:
        itself = given(started(), added(say("hello")))
        itself.when(MergeSessions, source=itself.state, messages=[say("hello")]).then_nothing()


class TestMoving:
    def test_a_message_joins_another_session_and_leaves_its_own(self, given: Given) -> None:
        trip = source(*TRIP)
        decided = given(others=[trip]).when(MoveMessages, source=trip.state, messages=[say("bye")])
        decided.then(started(), added(say("bye"))).about(say("bye"))
        (deletion,) = trip.draft.events
        assert isinstance(deletion, MessageDeleted)
        assert (deletion.message_id, deletion.causation_id) == (say("bye").id, f"{STREAM}/2")

    def test_one_that_is_gone_stays_where_it_is(self, given: Given) -> None:
        trip = source(*TRIP, message_deleted(say("bye")))
        moved = given(started(), others=[trip]).when(MoveMessages, source=trip.state, messages=[say("bye")])
        moved.then_refuses(NotFound)


class TestDeletingMessages:
    def test_those_that_are_there_are_deleted_in_order(self, given: Given) -> None:
        one, two, three = map(say, ("one", "two", "three"))
        there = given(started(), added(one), added(two), added(three), message_deleted(two))
        ids = [three.id, two.id, one.id, uuid4()]
        there.when(DeleteMessages, message_ids=ids).then(message_deleted(one), message_deleted(three))

    def test_none_is_no_error_but_a_missing_session_is(self, given: Given) -> None:
        given(started()).when(DeleteMessages, message_ids=[uuid4()]).then_nothing()
        given(started(), deleted()).when(DeleteMessages, message_ids=[]).then_refuses(NotFound)
