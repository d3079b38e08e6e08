"""What a change does to the tables: each core view as a mapping, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest

from recountdb.domain.catalog import KINDS
from recountdb.domain.conversation import Conversation
from recountdb.domain.events import Event, Idempotency
from recountdb.domain.messages import fold_messages
from recountdb.domain.users import Profile
from recountdb.eventlog.write.ports import StreamChange
from recountdb.projections.views import idempotency as requests
from recountdb.projections.views import messages, names, sessions, states, threads, users
from recountdb.projections.views.registry import VIEWS
from tests.support.decisions import (
    NAME,
    NEXT_NUMBER,
    STREAM,
    Given,
    Told,
    added,
    deleted,
    edited,
    message_deleted,
    message_merged,
    metadata_merged,
    profile_replaced,
    renamed,
    say,
    started,
    state_set,
    undeleted,
)

hello = say("hello")
bye = say("Bye", metadata={"a": 1})

CONVERSATIONS = {"session": sessions, "thread": threads}


def change(kind: str, *told: Told, before: Sequence[Told] = ()) -> StreamChange:
    """What one transaction did: ``told`` happened to a stream of ``kind`` after ``before``."""
    after = Given(kind)(*before, *told)
    events = after.events[len(before) :]
    touched = fold_messages({}, after.events) if issubclass(KINDS[kind], Conversation) else {}
    return StreamChange(
        after.state,
        events,
        {id: message for id, message in touched.items() if message.changed_version > len(before)},
    )


def writes(view: ModuleType, *changes: StreamChange) -> dict[str, Sequence[dict[str, Any]]]:
    """The rows by the name of the statement that takes them; statements without rows are left out."""
    names_of = {sql: name for name, sql in view.SQL.items()}
    return {names_of[write.sql]: write.rows for write in view.writes_for(changes) if write.rows}


class TestNames:
    def test_a_start_inserts_the_name_and_advances_the_counter(self) -> None:
        row = {"project": "default", "kind": "session", "scope": "flow", "name": NAME, "stream_id": STREAM}
        assert writes(names, change("session", started(scope="flow"))) == {
            "insert_names": [row],
            "advance_counters": [{"project": "default", "kind": "session", "last": NEXT_NUMBER}],
        }

    def test_each_counter_moves_once_to_the_highest_number(self) -> None:
        changes = [change("session", started(number=number)) for number in (3, 5, 4)]
        changes.append(change("user", started(number=2)))
        assert writes(names, *changes)["advance_counters"] == [
            {"project": "default", "kind": "session", "last": 5},
            {"project": "default", "kind": "user", "last": 2},
        ]

    def test_a_rename_moves_the_name(self) -> None:
        renaming = change("session", renamed(name="trip"), before=[started()])
        assert writes(names, renaming) == {"rename_streams": [{"stream_id": STREAM, "name": "trip"}]}

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_rest_leaves_names_alone(self, kind: str) -> None:
        back = change(kind, deleted(), undeleted(restores_content=True), before=[started()])
        assert writes(names, back) == {}


@pytest.mark.parametrize("kind", CONVERSATIONS)
class TestConversations:
    def test_a_start_puts_the_whole_state(self, kind: str) -> None:
        starting = change(kind, started(metadata={"a": 1}), added(hello))
        ((statement, (row,)),) = writes(CONVERSATIONS[kind], starting).items()
        assert statement == f"upsert_{kind}s"
        state = vars(starting.state)
        assert row == {"stream_id": STREAM, **{name: state[name] for name in state if name != "id"}}
        assert (row["version"], row["message_count"], row["metadata"]) == (2, 1, {"a": 1})

    @pytest.mark.parametrize(
        ("told", "count"),
        [
            (added(bye), 2),
            (edited(hello, content="Hi"), 1),
            (message_merged(hello, {"a": 1}), 1),
            (message_deleted(hello), 0),
        ],
        ids=lambda value: getattr(value, "role", None),
    )
    def test_messages_touch_the_counts_alone(self, kind: str, told: Told, count: int) -> None:
        touching = change(kind, told, before=[started(), added(hello)])
        assert writes(CONVERSATIONS[kind], touching) == {
            f"update_counts_of_{kind}s": [
                {
                    "stream_id": STREAM,
                    "message_count": count,
                    "version": 3,
                    "updated_at": touching.state.updated_at,
                }
            ]
        }

    @pytest.mark.parametrize(
        "told",
        [
            [metadata_merged(metadata={"a": 1})],
            [deleted()],
            [deleted(), undeleted(restores_content=False), added(bye)],
            [added(bye), metadata_merged(metadata={"a": 1})],
        ],
        ids=lambda told: told[-1].role,
    )
    def test_anything_else_puts_the_whole_state(self, kind: str, told: list[Told]) -> None:
        putting = change(kind, *told, before=[started(), added(hello)])
        ((statement, (row,)),) = writes(CONVERSATIONS[kind], putting).items()
        assert statement == f"upsert_{kind}s"
        assert row["version"] == 2 + len(told)
        assert row["deleted_at"] == putting.state.deleted_at
        assert row["hidden_through"] == vars(putting.state)["hidden_through"]

    def test_other_kinds_are_left_out(self, kind: str) -> None:
        others = [change(other, started()) for other in KINDS if other != kind]
        assert writes(CONVERSATIONS[kind], *others) == {}


def test_a_rename_puts_the_session() -> None:
    renaming = change("session", renamed(name="trip"), before=[started()])
    ((row,),) = writes(sessions, renaming).values()
    assert row["name"] == "trip"


@pytest.mark.parametrize("kind", ["thread", "user"])
class TestStates:
    def test_the_last_document_of_each_slot_is_put(self, kind: str) -> None:
        told = [state_set(state=1), state_set(key="k", state={"a": 1}), state_set(state=None)]
        setting = change(kind, *told, before=[started()])
        rows = writes(states, setting)["upsert_states"]
        assert [(row["key"], row["state"], row["version"]) for row in rows] == [
            (None, None, 4),
            ("k", {"a": 1}, 3),
        ]
        assert {row["stream_id"] for row in rows} == {STREAM}
        assert rows[0]["updated_at"] == setting.events[-1].recorded_at


class TestMessages:
    def test_what_joined_is_inserted_and_what_changed_is_updated(self) -> None:
        both = change("session", added(bye), edited(hello, content="Hi"), before=[started(), added(hello)])
        rows = writes(messages, both)
        assert {name: [row["message_id"] for row in found] for name, found in rows.items()} == {
            "insert_messages": [bye.id],
            "change_messages": [hello.id],
        }

    def test_what_joined_and_changed_at_once_is_inserted_as_it_is_then(self) -> None:
        told = [added(bye), edited(bye, content=None), message_merged(bye, {"b": 2}), message_deleted(bye)]
        ((statement, (row,)),) = writes(messages, change("thread", *told, before=[started()])).items()
        assert statement == "insert_messages"
        assert (row["content"], row["metadata"]) == (None, {"a": 1, "b": 2})
        assert (row["version"], row["changed_version"], row["deleted_version"]) == (2, 5, 5)

    def test_deleting_the_conversation_touches_no_message(self) -> None:
        told = [deleted(), undeleted(restores_content=False)]
        assert writes(messages, change("session", *told, before=[started(), added(hello)])) == {}


class TestUsers:
    @pytest.mark.parametrize(
        "told",
        [
            profile_replaced(profile=Profile(display_name="Ana")),
            metadata_merged(metadata={"a": 1}),
            deleted(),
        ],
        ids=lambda told: told.role,
    )
    def test_every_change_puts_the_whole_state(self, told: Told) -> None:
        putting = change("user", told, before=[started()])
        ((statement, (row,)),) = writes(users, putting).items()
        assert statement == "upsert_users"
        assert (row["stream_id"], row["name"], row["version"]) == (STREAM, NAME, 2)
        assert (row["profile"], row["metadata"]) == (vars(putting.state)["profile"], putting.state.metadata)
        assert row["deleted_version"] == putting.state.deleted_version


def with_key(event: Event, key: str) -> Event:
    return event.model_copy(update={"idempotency": Idempotency(key=key, fingerprint="f")})


class TestRequests:
    def test_a_key_covers_the_versions_that_came_of_it(self) -> None:
        asked = change("session", added(hello), added(bye), before=[started()])
        keyed = [with_key(event, "k") for event in asked.events]
        row = {
            "project": "default",
            "key": "k",
            "fingerprint": "f",
            "kind": "session",
            "stream_id": STREAM,
            "first_version": 2,
            "last_version": 3,
        }
        assert writes(requests, StreamChange(asked.state, keyed)) == {"insert_requests": [row]}

    def test_two_requests_on_one_stream_have_a_row_each(self) -> None:
        asked = change("session", added(hello), added(bye), before=[started()])
        keyed = [with_key(event, key) for key, event in zip("kl", asked.events, strict=True)]
        rows = writes(requests, StreamChange(asked.state, keyed))["insert_requests"]
        assert [(row["key"], row["first_version"], row["last_version"]) for row in rows] == [
            ("k", 2, 2),
            ("l", 3, 3),
        ]

    def test_a_request_without_key_leaves_nothing(self) -> None:
        assert writes(requests, change("session", started(), added(hello))) == {}


def test_no_view_writes_one_row_twice_in_a_statement() -> None:
    """All parts of the appending statement see the tables as they were before it."""
    told = [started(), state_set(state=1), added(hello), edited(hello, content="Hi"), state_set(state=2)]
    everything = [change("thread", *told), change("user", started())]
    for view in VIEWS:
        for write in view.writes_for(everything):
            keys = [
                tuple(row.get(key) for key in ("stream_id", "project", "kind", "name", "key", "message_id"))
                for row in write.rows
            ]
            assert len(keys) == len(set(keys))
