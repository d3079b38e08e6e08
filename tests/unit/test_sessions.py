"""What only sessions decide: whose they are, their name, and repeats by id alone."""

from __future__ import annotations

import pytest

from domain.commands import AddMessages, RenameSession, Start
from domain.errors import AlreadyExists, NotFound
from tests.decisions import BEGINNING, NAME, Given, added, deleted, renamed, say, started


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
