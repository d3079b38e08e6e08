"""What users decide: their profile, and otherwise what everything with a name does."""

from __future__ import annotations

from typing import Any

import pytest

from recountdb.domain.commands.common import Delete, MergeMetadata, SetState, Start, Undelete
from recountdb.domain.commands.users import ChangeUser, MeetUser, UpsertUser
from recountdb.domain.errors import AlreadyExists, NotFound
from recountdb.domain.users import Profile
from tests.support.decisions import (
    Given,
    deleted,
    metadata_merged,
    metadata_replaced,
    profile_replaced,
    started,
    state_set,
    undeleted,
)

ANA = Profile(display_name="Ana", email="ana@example.org", tags=["vip", "beta"])


@pytest.fixture
def given() -> Given:
    return Given("user")


def test_a_user_is_created_with_a_profile(given: Given) -> None:
    given().when(Start, profile=ANA, metadata={"a": 1}).then(started(profile=ANA, metadata={"a": 1}))


def test_a_user_needs_no_profile(given: Given) -> None:
    given().when(Start).then(started())
    assert given(started()).state.profile == Profile()


def test_creating_a_user_twice_is_refused(given: Given) -> None:
    given(started()).when(Start).then_refuses(AlreadyExists)
    given(started(), deleted()).when(Start).then_refuses(AlreadyExists)


def test_members_that_are_named_change_and_the_others_stay(given: Given) -> None:
    decided = given(started(profile=ANA)).when(ChangeUser, changes={"email": None, "first_name": "Ana"})
    decided.then(profile_replaced(profile=ANA.model_copy(update={"email": None, "first_name": "Ana"})))


def test_tags_are_replaced_as_a_whole(given: Given) -> None:
    decided = given(started(profile=ANA)).when(ChangeUser, changes={"tags": ["beta"]})
    decided.then(profile_replaced(profile=ANA.model_copy(update={"tags": ["beta"]})))


def test_a_change_to_the_same_is_nothing(given: Given) -> None:
    recorded = given(started(profile=ANA, metadata={"a": 1}))
    recorded.when(ChangeUser, changes={"display_name": "Ana", "tags": ["vip", "beta"]}).then_nothing()
    recorded.when(ChangeUser, changes={}, metadata={"a": 1}).then_nothing()


def test_profile_and_metadata_change_in_one_go(given: Given) -> None:
    decided = given(started()).when(ChangeUser, changes=ANA.model_dump(), metadata={"a": 1})
    decided.then(profile_replaced(profile=ANA), metadata_merged(metadata={"a": 1}))


def test_a_change_revives_a_deleted_user(given: Given) -> None:
    decided = given(started(), deleted()).when(ChangeUser, changes={"display_name": "Ana"})
    decided.then(undeleted(restores_content=False), profile_replaced(profile=Profile(display_name="Ana")))


def test_deleting_and_undeleting(given: Given) -> None:
    given(started()).when(Delete, reason="left").then(deleted(reason="left"))
    given(started(), deleted()).when(Delete).then_nothing()
    given(started(), deleted()).when(Undelete).then(undeleted(restores_content=True))
    given(started()).when(Undelete).then_nothing()


@pytest.mark.parametrize(
    ("command", "members"),
    [(ChangeUser, {}), (MergeMetadata, {"metadata": {}}), (Delete, {}), (Undelete, {})],
)
def test_a_user_nobody_created_cannot_be_changed(given: Given, command: Any, members: Any) -> None:
    given().when(command, **members).then_refuses(NotFound)


def test_an_upsert_creates_the_user_or_changes_it(given: Given) -> None:
    asked: dict[str, Any] = {"changes": {"display_name": "Ana"}, "metadata": {"a": 1}}
    given().when(ChangeUser, **asked).then_refuses(NotFound)
    created = started(profile=Profile(display_name="Ana"), metadata={"a": 1})
    given().when(UpsertUser, **asked).then(created)
    given(created).when(UpsertUser, **asked).then_nothing()


def test_a_change_may_replace_the_metadata_as_a_whole(given: Given) -> None:
    before = given(started(metadata={"a": {"b": 1}}))
    before.when(ChangeUser, metadata={"a": {"c": 2}}, replaces_metadata=True).then(
        metadata_replaced(metadata={"a": {"c": 2}})
    )


class TestMeeting:
    def test_a_stranger_becomes_a_user(self, given: Given) -> None:
        given().when(MeetUser, display_name="Ana").then(started(profile=Profile(display_name="Ana")))
        given().when(MeetUser).then(started(profile=Profile()))

    def test_a_name_is_taken_where_there_is_none(self, given: Given) -> None:
        named = profile_replaced(profile=Profile(display_name="Ana"))
        given(started()).when(MeetUser, display_name="Ana").then(named)
        given(started(), named).when(MeetUser, display_name="Eve").then_nothing()
        given(started()).when(MeetUser).then_nothing()

    def test_a_deleted_one_is_live_again(self, given: Given) -> None:
        given(started(), deleted()).when(MeetUser).then(undeleted(restores_content=False))


class TestState:
    def test_a_document_is_put_in_its_slot(self, given: Given) -> None:
        given(started()).when(SetState, key="k", state={"a": 1}).then(state_set(key="k", state={"a": 1}))
        given().when(SetState, state=None).then(started(), state_set(key=None, state=None))

    def test_what_was_deleted_with_the_user_stays_hidden(self, given: Given) -> None:
        back = given(started(), state_set(state=1), deleted(), undeleted(restores_content=False))
        assert (back.state.hidden_through, back.state.is_deleted) == (3, False)
        undone = given(started(), state_set(state=1), deleted(), undeleted(restores_content=True))
        assert undone.state.hidden_through == 0
