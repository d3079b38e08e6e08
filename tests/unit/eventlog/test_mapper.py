"""Between events and stored rows: what goes in comes out, and what cannot be read is named, not shown."""

from __future__ import annotations

import traceback
from typing import Any, ClassVar

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from recountdb.domain.aggregate import HoldPlaced, Snapshot
from recountdb.domain.catalog import KINDS, events_by_topic
from recountdb.domain.errors import RecordUnreadable
from recountdb.domain.events import Event, Idempotency
from recountdb.domain.memory_functions import Definition
from recountdb.domain.sessions import Origin, SessionStarted
from recountdb.domain.threads import StateSet
from recountdb.domain.users import Profile
from recountdb.domain.values import is_same
from recountdb.eventlog.log.mapper import EventMapper
from recountdb.eventlog.log.rows import StoredRow
from recountdb.eventlog.log.snapshots import SnapshotMapper
from tests.support.decisions import BEGINNING, STREAM, Given, added, deleted, say, started
from tests.support.documents import documents, messages, moments, names, objects, texts

SECRET = "Zanzibar"
ENVELOPE = {"recorded_at": "2026-03-01T12:00:00Z", "project": "default", "actor": "test"}

MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "originator_id": st.uuids(),
    "originator_version": st.integers(1, 2**63 - 1),
    "recorded_at": moments,
    "project": names,
    "actor": texts,
    "request_id": st.none() | texts,
    "causation_id": st.none() | texts,
    "idempotency": st.none() | st.builds(Idempotency, key=texts, fingerprint=texts),
    "name": names,
    "scope": texts,
    "number": st.integers(1, 2**63 - 1),
    "user_id": st.none() | texts,
    "origin": st.none() | st.builds(Origin, stream_id=st.uuids(), version=st.integers(1, 2**63 - 1)),
    "metadata": objects(),
    "reason": st.none() | texts,
    "events": st.integers(0, 2**63 - 1),
    "messages": st.integers(0, 2**63 - 1),
    "versions": st.lists(st.integers(1, 2**63 - 1), max_size=3),
    "message_count": st.integers(0, 2**63 - 1),
    "restores_content": st.booleans(),
    "message": messages(),
    "message_id": st.uuids(),
    "changes": st.dictionaries(st.sampled_from(["role", "content", "tool_calls"]), documents()),
    "definition": st.builds(Definition, name=texts, parameters=objects(), instructions=st.none() | texts),
    "key": st.none() | texts,
    "state": documents(),
    "profile": st.builds(
        Profile, display_name=st.none() | texts, email=st.none() | texts, tags=st.lists(texts, max_size=3)
    ),
}


def events(event_class: type[Event]) -> st.SearchStrategy[Event]:
    optional = {"metadata": st.none() | MEMBERS["metadata"]} if "number" in event_class.model_fields else {}
    required = {"reason": texts} if issubclass(event_class, HoldPlaced) else {}
    members = {**MEMBERS, **optional, **required}
    return st.builds(event_class, **{name: members[name] for name in event_class.model_fields})


class Greeted(Event):
    """Only of these tests. Version 1 called the words ``text``, version 2 had no language."""

    TOPIC: ClassVar[str] = "test.greeted"
    class_version: ClassVar[int] = 3
    words: str
    language: str | None

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        state["words"] = state.pop("text")

    @staticmethod
    def upcast_v2_v3(state: dict[str, Any]) -> None:
        state["language"] = None


@pytest.fixture
def mapper() -> EventMapper:
    return EventMapper({**events_by_topic(), Greeted.TOPIC: Greeted})


def stored(topic: str, payload: Any, *, version: int = 3) -> StoredEvent:
    state = payload if isinstance(payload, bytes) else to_json(payload)
    return StoredEvent(STREAM, version, topic, state)


def there_and_back(event: Event) -> tuple[StoredRow, Event]:
    mapper = EventMapper(events_by_topic())
    row = mapper.to_stored_event(event)
    return row, mapper.to_domain_event(row)


class TestRoundTrip:
    @pytest.mark.parametrize("topic", events_by_topic())
    @given(data=st.data())
    def test_every_event_comes_back_equal(self, topic: str, data: st.DataObject) -> None:
        event = data.draw(events(events_by_topic()[topic]))
        row, read = there_and_back(event)
        assert type(read) is type(event)
        assert is_same(read.model_dump(), event.model_dump())
        assert (row.topic, row.project, row.recorded_at) == (topic, event.project, event.recorded_at)

    @pytest.mark.parametrize("number", [2**53 + 1, 10**400, 1e308, 1e23, 5e-324, 0.1, -1, True], ids=repr)
    def test_numbers_keep_value_and_type(self, number: Any) -> None:
        event = StateSet(**envelope(), state={"n": number})
        _, read = there_and_back(event)
        assert isinstance(read, StateSet)
        assert isinstance(read.state, dict)
        assert type(read.state["n"]) is type(number)
        assert read.state["n"] == number

    def test_null_within_a_document_stays(self) -> None:
        event = SessionStarted(**envelope(), name="talk", number=1, metadata={"a": None, "b": {"c": [None]}})
        row, read = there_and_back(event)
        assert read == event
        assert from_json(row.state)["metadata"] == {"a": None, "b": {"c": [None]}}


class TestPayload:
    def test_what_columns_hold_and_what_is_none_is_left_out(self) -> None:
        row, _ = there_and_back(SessionStarted(**envelope(), name="talk", number=1))
        assert from_json(row.state) == {**ENVELOPE, "name": "talk", "scope": "", "number": 1}
        assert (row.originator_id, row.originator_version) == (STREAM, 3)

    def test_members_left_out_are_read_as_none(self, mapper: EventMapper) -> None:
        read = mapper.to_domain_event(stored("thread.state-set", ENVELOPE))
        assert isinstance(read, StateSet)
        assert (read.key, read.state, read.request_id, read.idempotency) == (None, None, None, None)

    def test_the_version_of_the_payload_is_stored_from_2_on(self, mapper: EventMapper) -> None:
        row = mapper.to_stored_event(Greeted(**envelope(), words="Good day", language="en"))
        assert from_json(row.state)["class_version"] == 3
        assert "class_version" not in from_json(there_and_back(StateSet(**envelope()))[0].state)


class TestUpcasting:
    @pytest.mark.parametrize(
        "payload",
        [
            {"text": "Good day"},
            {"class_version": 1, "text": "Good day"},
            {"class_version": 2, "words": "Good day"},
            {"class_version": 3, "words": "Good day", "language": None},
        ],
    )
    def test_every_version_is_read_in_the_newest_shape(self, mapper: EventMapper, payload: Any) -> None:
        read = mapper.to_domain_event(stored("test.greeted", {**ENVELOPE, **payload}))
        assert read == Greeted(**envelope(), words="Good day", language=None)

    def test_an_old_payload_that_a_step_cannot_take_is_unreadable(self, mapper: EventMapper) -> None:
        refuses(mapper, "test.greeted", {**ENVELOPE, SECRET: SECRET})


UNREADABLE: dict[str, tuple[str, Any]] = {
    "unknown topic": ("session.sang", {**ENVELOPE, "song": SECRET}),
    "newer version": ("session.deleted", {**ENVELOPE, "class_version": 2, "reason": SECRET}),
    "version 0": ("session.deleted", {**ENVELOPE, "class_version": 0, "reason": SECRET}),
    "version of no number": ("session.deleted", {**ENVELOPE, "class_version": [SECRET]}),
    "version that speaks": ("session.deleted", {**ENVELOPE, "class_version": SECRET}),
    "cut off": ("session.deleted", to_json({**ENVELOPE, "reason": SECRET})[:-1]),
    "no JSON": ("session.deleted", SECRET.encode()),
    "no object": ("session.deleted", [SECRET]),
    "empty": ("session.deleted", b""),
    "wrong type": ("session.renamed", {**ENVELOPE, "name": [SECRET]}),
    "missing member": ("session.renamed", {**ENVELOPE}),
    "wrong time": ("session.deleted", {**ENVELOPE, "recorded_at": SECRET}),
    "unknown member": ("session.deleted", {**ENVELOPE, "motive": SECRET}),
    "deep inside": ("session.message-added", {**ENVELOPE, "message": {"id": SECRET, "content": SECRET}}),
    "text that cannot be": (
        "session.message-added",
        {**ENVELOPE, "message": {"id": str(STREAM), "role": "user", "content": f"{SECRET}\0"}},
    ),
}


def refuses(mapper: EventMapper, topic: str, payload: Any) -> None:
    with pytest.raises(RecordUnreadable) as caught:
        mapper.to_domain_event(stored(topic, payload))
    error = caught.value
    assert (error.stream_id, error.version, error.topic) == (STREAM, 3, topic)
    assert all(part in str(error) for part in (str(STREAM), "version 3", topic))
    shown = "".join(traceback.format_exception(error))
    assert SECRET not in shown


@pytest.mark.parametrize(("topic", "payload"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read_is_named_but_not_shown(mapper: EventMapper, topic: str, payload: Any) -> None:
    refuses(mapper, topic, payload)


class TestSnapshots:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_state_comes_back_equal(self, kind: str) -> None:
        metadata = {"big": 10**40, "float": 1e23, "null": None, "text": "Grüße"}
        state = Given(kind)(started(metadata=metadata), deleted()).state
        mapper = SnapshotMapper(KINDS)
        snapshot = Snapshot(state.id, state.version, state)
        assert mapper.to_domain_event(mapper.to_stored_event(snapshot)) == snapshot

    def test_a_snapshot_holds_nothing_that_was_said(self) -> None:
        state = Given("session")(started(), added(say(SECRET))).state
        row = SnapshotMapper(KINDS).to_stored_event(Snapshot(state.id, state.version, state))
        assert SECRET.encode() not in row.state

    def test_each_kind_and_shape_has_a_topic_of_its_own(self) -> None:
        topics = SnapshotMapper(KINDS).topics
        assert len(set(topics)) == len(KINDS)
        assert [topic.partition(".")[0] for topic in topics] == list(KINDS)


def envelope() -> dict[str, Any]:
    return {
        "originator_id": STREAM,
        "originator_version": 3,
        "recorded_at": BEGINNING,
        "project": "default",
        "actor": "test",
    }
