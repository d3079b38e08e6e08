"""Memory functions: defined, changed, and the one that every project has from the start."""

from __future__ import annotations

from typing import Any

import pytest

from recountdb.domain.commands.common import Start
from recountdb.domain.commands.memory_functions import ChangeFunction, DefineFunction
from recountdb.domain.errors import AlreadyExists, NotFound
from recountdb.domain.memory_functions import Definition, built_in
from tests.support.decisions import (
    FACTS,
    NEXT_NUMBER,
    Given,
    definition_replaced,
    deleted,
    purged,
    started,
    undeleted,
)

PROFILE = Definition(
    type="user_state", name="profile", parameters={"default": None}, instructions="Be brief."
)


@pytest.fixture
def given() -> Given:
    return Given("function")


def test_one_is_defined(given: Given) -> None:
    given().when(DefineFunction, definition=PROFILE).then(started(definition=PROFILE))
    given().when(Start, definition=PROFILE).then(started(definition=PROFILE))
    given(started()).when(Start, definition=PROFILE).then_refuses(AlreadyExists)


def test_one_that_is_there_is_defined_anew_as_a_whole(given: Given) -> None:
    replaced = definition_replaced(definition=PROFILE)
    given(started()).when(DefineFunction, definition=PROFILE).then(replaced)
    given(started(), replaced).when(DefineFunction, definition=PROFILE).then_nothing()
    assert given(started(), replaced).state.definition == PROFILE


def test_a_deleted_one_is_live_again_when_it_is_defined(given: Given) -> None:
    gone = given(started(), deleted())
    gone.when(DefineFunction, definition=FACTS).then(undeleted(restores_content=False))


def test_a_change_leaves_what_it_does_not_name(given: Given) -> None:
    told = given(started(definition=PROFILE))
    changed = PROFILE.model_copy(update={"is_enabled": False})
    told.when(ChangeFunction, changes={"is_enabled": False}).then(definition_replaced(definition=changed))
    told.when(ChangeFunction, changes={"is_enabled": True}).then_nothing()
    told.when(ChangeFunction, changes={}).then_nothing()


@pytest.mark.parametrize("told", [[], [started(), deleted()]], ids=["none", "deleted"])
def test_what_is_not_there_cannot_be_changed(given: Given, told: list[Any]) -> None:
    given(*told).when(ChangeFunction, changes={"is_enabled": False}).then_refuses(NotFound)


def test_a_purged_one_cannot_be_changed(given: Given) -> None:
    gone = given(started(), purged(number=NEXT_NUMBER, events=1, messages=0))
    gone.when(ChangeFunction, changes={}, unless_defined=FACTS).then_refuses(NotFound)


def test_one_that_is_always_there_begins_with_its_first_change(given: Given) -> None:
    off = FACTS.model_copy(update={"is_enabled": False})
    first = given().when(ChangeFunction, changes={"is_enabled": False}, unless_defined=FACTS)
    first.then(started(definition=FACTS), definition_replaced(definition=off))
    given().when(ChangeFunction, changes={}, unless_defined=FACTS).then(started(definition=FACTS))
    later = given(started(definition=off)).when(ChangeFunction, changes={}, unless_defined=FACTS)
    later.then_nothing()


def test_the_built_in_one_is_the_same_each_time_and_another_in_each_project() -> None:
    assert built_in("one") == built_in("one")
    assert built_in("one").name != built_in("two").name
    assert built_in("default").name == "35a72f6d-7d65-5ec5-b6ab-6a19988f9606"
