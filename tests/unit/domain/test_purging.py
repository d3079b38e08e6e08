"""What decides that something goes for good, what keeps it, and what is left of it in a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from recountdb.domain.aggregate import Aggregate
from recountdb.domain.catalog import KINDS
from recountdb.domain.commands.common import Delete, MergeMetadata, Undelete
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.commands.retention import EraseMessages, PlaceHold, Purge, ReleaseHold
from recountdb.domain.errors import NotFound, OnHold
from recountdb.domain.events import Erased, Event
from recountdb.domain.messages import fold_messages
from tests.support.decisions import (
    NAME,
    NEXT_NUMBER,
    STREAM,
    Given,
    added,
    deleted,
    edited,
    hold_placed,
    hold_released,
    message_deleted,
    messages_erased,
    purged,
    say,
    started,
    undeleted,
)

hello, weather, bye = say("hello", user_id="ana"), say("weather"), say("bye", user_id="ana")
gone = purged(number=NEXT_NUMBER, events=1, messages=0)


@pytest.fixture(params=list(KINDS))
def given(request: pytest.FixtureRequest) -> Callable[..., Given]:
    """Events of each kind of aggregate, one after the other."""
    return Given(request.param)


def erased(events: list[Event], versions: range | list[int]) -> list[Event]:
    """``events`` as they are read once those at ``versions`` are erased."""
    return [
        Erased(
            originator_id=event.originator_id,
            originator_version=event.originator_version,
            recorded_at=event.recorded_at,
            project=event.project,
            topic=event.TOPIC,
        )
        if event.originator_version in versions
        else event
        for event in events
    ]


class TestHolds:
    def test_a_hold_says_why_and_a_release_ends_it(self, given: Any) -> None:
        given(started()).when(PlaceHold, reason="case 7").then(hold_placed(reason="case 7"))
        held = given(started(), hold_placed(reason="case 7"))
        assert held.state.hold == "case 7"
        held.when(PlaceHold, reason="case 7").then_nothing()
        held.when(PlaceHold, reason="case 8").then(hold_placed(reason="case 8"))
        held.when(ReleaseHold).then(hold_released())
        assert given(started(), hold_placed(reason="case 7"), hold_released()).state.hold is None
        given(started()).when(ReleaseHold).then_nothing()

    def test_it_may_be_placed_on_a_deleted_one_which_stays_deleted(self, given: Any) -> None:
        given(started(), deleted()).when(PlaceHold, reason="case 7").then(hold_placed(reason="case 7"))
        assert given(started(), deleted(), hold_placed(reason="case 7")).state.is_deleted

    def test_what_is_not_there_cannot_be_held(self, given: Any) -> None:
        given().when(PlaceHold, reason="case 7").then_refuses(NotFound)

    def test_a_user_of_whom_there_is_something_gets_a_profile_to_be_held_by(self) -> None:
        begun = Given("user")().when(PlaceHold, known=[NAME], reason="case 7")
        begun.then(started(), hold_placed(reason="case 7"))
        Given("session")().when(PlaceHold, known=[NAME], reason="case 7").then_refuses(NotFound)


class TestPurging:
    @pytest.mark.parametrize("told", [[started()], [started(), deleted()]], ids=["live", "deleted"])
    def test_it_ends_the_stream_and_keeps_the_number(self, given: Any, told: Any) -> None:
        ended = purged(number=NEXT_NUMBER, events=len(told), messages=3, reason="asked for")
        given(*told).when(Purge, messages=3, reason="asked for").then(ended)

    def test_a_hold_keeps_it(self, given: Any) -> None:
        given(started(), hold_placed(reason="case 7")).when(Purge).then_refuses(OnHold)
        given(started(), hold_placed(reason="case 7"), hold_released()).when(Purge).then(
            purged(number=NEXT_NUMBER, events=3, messages=0)
        )

    def test_a_hold_on_its_user_keeps_it(self) -> None:
        holds = {"ana": "case 7", NAME: "case 8"}
        Given("session")(started(user_id="ana")).when(Purge, user_holds=holds).then_refuses(OnHold)
        Given("session")(started(user_id="bob")).when(Purge, user_holds=holds).then(gone)
        Given("user")(started()).when(Purge, user_holds=holds).then_refuses(OnHold)

    @pytest.mark.parametrize(
        ("command", "members"),
        [
            (Delete, {}),
            (Undelete, {}),
            (Purge, {}),
            (MergeMetadata, {"metadata": {"a": 1}}),
            (PlaceHold, {"reason": "case 7"}),
        ],
    )
    def test_nothing_happens_to_it_any_more(self, given: Any, command: Any, members: Any) -> None:
        given(started(), gone).when(command, **members).then_refuses(NotFound)

    def test_what_is_left_is_a_tombstone_whether_its_payloads_are_erased_or_not(self, given: Any) -> None:
        ended = given(started(name="secret"), deleted(), purged(number=NEXT_NUMBER, events=2, messages=0))
        kind: type[Aggregate] = KINDS[ended.kind]
        state = kind.project_all(None, erased(ended.events, range(1, 3)))
        assert state == ended.state
        assert state is not None
        assert (state.is_purged, state.id, state.version, state.number) == (True, STREAM, 3, NEXT_NUMBER)
        assert state.name == ""


class TestErasing:
    @pytest.fixture(params=["session", "thread"])
    def given(self, request: pytest.FixtureRequest) -> Callable[..., Given]:
        return Given(request.param)

    def test_messages_go_and_the_count_with_them(self, given: Any) -> None:
        talk = given(started(), added(hello), added(weather), edited(hello, content="Hi"))
        decided = talk.when(EraseMessages, message_ids=[hello.id], versions=[4, 2], reason="asked for")
        event = messages_erased(versions=[2, 4], messages=1, message_count=1, reason="asked for")
        decided.then(event)
        after = given(*talk.told, event)
        assert [message.content for message in after.messages()] == ["weather"]
        assert after.state.message_count == 1

    def test_deleted_and_hidden_messages_do_not_count(self, given: Any) -> None:
        told = [
            started(),
            added(hello),
            deleted(),
            undeleted(restores_content=False),
            added(weather),
            added(bye),
            message_deleted(bye),
        ]
        decided = given(*told).when(EraseMessages, message_ids=[hello.id, bye.id], versions=[2, 6, 7])
        event = messages_erased(versions=[2, 6, 7], messages=2, message_count=0)
        decided.then(event)
        assert given(*told, event).state.message_count == 1

    def test_the_fold_is_the_same_before_and_after_the_payloads_go(self, given: Any) -> None:
        told = [
            started(),
            added(hello),
            added(bye),
            added(weather),
            edited(bye, content="Bye"),
            message_deleted(hello),
            messages_erased(versions=[2, 3, 5, 6], messages=2, message_count=1),
        ]
        talk = given(*told)
        kind: type[Aggregate] = KINDS[talk.kind]
        left = erased(talk.events, [2, 3, 5, 6])
        assert kind.project_all(None, left) == talk.state
        assert list(fold_messages({}, left).values()) == talk.messages()
        assert talk.state.message_count == 1

    def test_a_hold_keeps_them(self, given: Any) -> None:
        held = given(started(), added(hello), hold_placed(reason="case 7"))
        held.when(EraseMessages, message_ids=[hello.id], versions=[2]).then_refuses(OnHold)
        talk = given(started(), added(hello))
        theirs = {"message_ids": [hello.id], "versions": [2]}
        talk.when(EraseMessages, user_holds={"ana": "case 7"}, **theirs).then_refuses(OnHold)

    def test_messages_that_are_not_there_change_nothing(self, given: Any) -> None:
        given(started()).when(EraseMessages, message_ids=[hello.id], versions=[]).then_nothing()

    def test_an_erased_message_may_be_said_anew_under_its_id(self, given: Any) -> None:
        erasure = messages_erased(versions=[2], messages=1, message_count=1)
        talk = given(started(), added(hello), erasure)
        other = say("other words", id=hello.id)
        talk.when(AddMessages, messages=[other], given_ids=frozenset([hello.id])).then(added(other))
