"""What users decide: their profile, and otherwise what everything with a name does."""

from __future__ import annotations

from typing import Any

import pytest

from domain.commands import ChangeUser, Delete, MergeMetadata, Start, Undelete
from domain.errors import AlreadyExists, NotFound
from domain.users import Profile
from tests.decisions import Given, deleted, metadata_merged, profile_replaced, started, undeleted

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
