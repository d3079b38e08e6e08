"""Applying events never refuses, whatever they are and whatever the state: they already happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from recountdb.domain.aggregate import Aggregate, Snapshot, Started
from recountdb.domain.catalog import KINDS, events_by_topic
from recountdb.domain.events import Event
from recountdb.domain.messages import MessageAdded, fold_messages, message_from
from recountdb.domain.users import Profile
from tests.support.decisions import (
    BEGINNING,
    FACTS,
    NEXT_NUMBER,
    STREAM,
    Given,
    Told,
    added,
    context,
    deleted,
    edited,
    message_deleted,
    renamed,
    say,
    started,
    state_set,
    undeleted,
)

hello = say("hello")

STORIES: dict[str, list[Told]] = {
    "live": [started()],
    "deleted": [started(), deleted()],
    "revived": [started(), deleted(), undeleted(restores_content=False)],
}

PAYLOADS: dict[str, dict[str, Any]] = {
    "message-added": {"message": hello},
    "message-edited": {"message_id": hello.id, "changes": {"content": "Hi"}},
    "message-metadata-merged": {"message_id": hello.id, "metadata": {"a": 1}},
    "message-deleted": {"message_id": hello.id},
    "metadata-merged": {"metadata": {"a": 1}},
    "metadata-replaced": {"metadata": {"b": 2}},
    "definition-replaced": {"definition": FACTS},
    "undeleted": {"restores_content": False},
    "renamed": {"name": "trip"},
    "profile-replaced": {"profile": Profile()},
    "hold-placed": {"reason": "case 7"},
    "purged": {"number": NEXT_NUMBER, "events": 3, "messages": 2},
    "messages-erased": {"versions": [2], "messages": 1, "message_count": 1},
}


def events_at(version: int) -> Iterator[Event]:
    """One event of every class but those that begin a stream."""
    envelope = context(BEGINNING + timedelta(days=1)).envelope(STREAM, version, not_before=None)
    for topic, event_class in events_by_topic().items():
        if not issubclass(event_class, Started):
            yield event_class(**envelope, **PAYLOADS.get(topic.partition(".")[2], {}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("story", STORIES)
def test_every_event_applies_to_every_state(kind: str, story: str) -> None:
    before: Aggregate = Given(kind)(*STORIES[story]).state
    for event in events_at(before.version + 1):
        after = before.evolve(event)
        assert (after.version, after.updated_at) == (before.version + 1, event.recorded_at), event.TOPIC
        assert (after.id, after.project, after.number) == (before.id, before.project, before.number)
        assert after.is_purged or after.created_at == before.created_at


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_of_another_kind_only_moves_the_version(kind: str) -> None:
    before: Aggregate = Given(kind)(started()).state
    told = state_set(state=1) if kind != "thread" else renamed(name="trip")
    event = told.at(kind, 2)
    assert before.evolve(event) == replace(before, version=2, updated_at=event.recorded_at)


@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_stands_for_the_events_before_it(kind: str) -> None:
    given = Given(kind)(started(), deleted(), undeleted(restores_content=False), deleted())
    events = given.events
    for cut in range(1, len(events) + 1):
        state = KINDS[kind].project_all(None, events[:cut])
        assert state is not None
        snapshot = Snapshot(state.id, state.version, state)
        assert KINDS[kind].project_all(None, [snapshot, *events[cut:]]) == given.state


def test_states_are_left_as_they_were() -> None:
    given = Given("session")(started(metadata={"a": {"b": 1}}))
    before = given.state
    Given("session")(*given.told).state.evolve(
        Told("metadata_merged", {"metadata": {"a": {"c": 2}}}).at("session", 2)
    )
    assert before.metadata == {"a": {"b": 1}}


class TestMessages:
    def test_a_message_has_the_members_it_was_said_with(self) -> None:
        joined = added(hello).at("session", 2)
        assert isinstance(joined, MessageAdded)
        state = message_from(joined)
        for member in type(hello).model_fields:
            assert getattr(state, member) == getattr(hello, member)
        assert (state.version, state.changed_version) == (2, 2)
        assert (state.stream_id, state.project) == (STREAM, "default")
        assert state.recorded_at == state.updated_at == joined.recorded_at

    def test_a_change_moves_its_changed_version_and_keeps_its_place(self) -> None:
        (state,) = Given("session")(started(), added(hello), edited(hello, content="Hi")).messages()
        assert (state.version, state.changed_version, state.content) == (2, 3, "Hi")
        assert state.recorded_at < state.updated_at

    def test_deletion_is_marked_with_time_and_version(self) -> None:
        (state,) = Given("session")(started(), added(hello), message_deleted(hello)).messages()
        assert state.deleted_version == 3
        assert state.deleted_at == state.updated_at

    def test_what_is_not_about_it_changes_nothing(self) -> None:
        given = Given("session")(started(), added(hello))
        (state,) = given.messages()
        assert state.evolve(deleted().at("session", 3)) is state

    def test_events_about_unknown_messages_are_passed_over(self) -> None:
        assert fold_messages({}, [message_deleted(hello).at("session", 3)]) == {}
