"""What only sessions decide: whose they are, their name, and repeats by id alone."""

from __future__ import annotations

import pytest

from domain.commands import AddMessages, Fork, Refuse, RenameSession, Start
from domain.errors import AlreadyExists, NotFound
from domain.sessions import Origin
from tests.decisions import (
    BEGINNING,
    NAME,
    STREAM,
    Given,
    added,
    deleted,
    metadata_merged,
    renamed,
    say,
    started,
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
