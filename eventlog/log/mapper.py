"""Mapping between events and stored rows.

The library's mapper takes any payload and runs old code on newer data. This one decodes, upcasts
step by step, validates, refuses versions newer than the code, and says which stream and version it
could not read, never what was in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent
from pydantic import ValidationError
from pydantic_core import from_json

from recountdb.domain.errors import RecordUnreadable
from recountdb.domain.events import Erased, Event
from recountdb.eventlog.log.rows import StoredRow

ERASED = b'{"erased"'
"""Beginning of an erased payload (see eventlog/log/sql/erase.sql); no other payload begins so."""

Row = tuple[UUID, int, str, bytes]
"""A row of the log: originator_id, originator_version, topic and state."""

KEY_FIELDS = {"originator_id", "originator_version"}
"""Fields that are stored in columns of their own, so not in the payload."""


class EventMapper(Mapper[UUID]):
    """Mapper of the events of ``catalog`` (topic → class)."""

    def __init__(self, catalog: Mapping[str, type[Event]]) -> None:
        super().__init__(JSONTranscoder())
        self._catalog = catalog

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredRow:
        event = domain_event
        assert isinstance(event, Event)
        return StoredRow(
            originator_id=event.originator_id,
            originator_version=event.originator_version,
            topic=event.TOPIC,
            state=encode_event(event),
            project=event.project,
            recorded_at=event.recorded_at,
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Event:
        """Return the event of a stored row. Raises RecordUnreadable."""
        stored = stored_event
        assert isinstance(stored.originator_id, UUID)
        (event,) = self.to_domain_events(
            [(stored.originator_id, stored.originator_version, stored.topic, stored.state)]
        )
        return event

    def to_domain_events(self, rows: Sequence[Row]) -> list[Event]:
        """Return the events of one stream's ``rows``, which must not be empty. Raises RecordUnreadable."""
        # Join the values of the columns to the payload again; the part that names the stream is made once.
        key = b',"originator_id":"%032x","originator_version":' % rows[0][0].int
        events: list[Event] = []
        for row in rows:
            _, version, topic, state = row
            event_class = self._catalog.get(topic)
            if event_class is not None and event_class.class_version == 1 and not state.startswith(ERASED):
                # Most payloads have the only shape there ever was, and are read in one go unless something
                # is wrong. This does what model_validate_json does, without its preliminary checks.
                whole = b"%b%b%d}" % (state[:-1], key, version)
                try:
                    events.append(event_class.__pydantic_validator__.validate_json(whole))
                    continue
                except ValidationError:
                    pass
            events.append(self._read_step_by_step(StoredEvent(*row)))
        return events

    def _read_step_by_step(self, stored_event: StoredEvent) -> Event:
        if stored_event.state.startswith(ERASED):
            return _erased_from(stored_event)
        event_class = self._catalog.get(stored_event.topic)
        if event_class is None:
            raise make_unreadable(stored_event, "an unknown topic; is a newer Recount writing here?")
        try:
            payload = from_json(stored_event.state)
        except ValueError:
            raise make_unreadable(stored_event, "the payload is not JSON") from None
        if not isinstance(payload, dict):
            raise make_unreadable(stored_event, "the payload is not an object")
        payload = _upcast(stored_event, event_class, payload)
        payload["originator_id"] = stored_event.originator_id
        payload["originator_version"] = stored_event.originator_version
        try:
            return event_class.model_validate(payload)
        except ValidationError as error:
            raise make_unreadable(stored_event, where(error)) from None


def _erased_from(stored: StoredEvent) -> Erased:
    """Return the event that an erased row holds. Raises RecordUnreadable."""
    payload = from_json(stored.state)
    assert isinstance(stored.originator_id, UUID)
    try:
        return Erased(
            originator_id=stored.originator_id,
            originator_version=stored.originator_version,
            recorded_at=payload["recorded_at"],
            project=payload["project"],
            topic=stored.topic,
        )
    except (KeyError, ValidationError):
        raise make_unreadable(stored, "erased in a way that this program does not know") from None


def encode_event(event: Event) -> bytes:
    """Return the payload as JSON; members that are None are left out, a version above 1 comes first."""
    body: bytes = event.__pydantic_serializer__.to_json(event, exclude=KEY_FIELDS, exclude_none=True)
    if event.class_version == 1:
        return body
    return b'{"class_version":%d,' % event.class_version + body[1:]


def _upcast(stored: StoredEvent, event_class: type[Event], payload: dict[str, Any]) -> dict[str, Any]:
    """Return ``payload`` in the newest shape. Raises RecordUnreadable when it is newer than the code."""
    version = payload.pop("class_version", 1)
    if type(version) is not int:
        raise make_unreadable(stored, "the payload version is not a number")
    if not 1 <= version <= event_class.class_version:
        raise make_unreadable(
            stored, f"payload version {version} is not one this program knows: upgrade Recount"
        )
    for step in range(version, event_class.class_version):
        try:
            getattr(event_class, f"upcast_v{step}_v{step + 1}")(payload)
        except Exception:  # an upcaster may raise anything when the shape is not the expected one
            raise make_unreadable(stored, f"the payload is not of version {step}, as it says") from None
    return payload


def make_unreadable(stored: StoredEvent, reason: str) -> RecordUnreadable:
    return RecordUnreadable(
        reason,
        stream_id=stored.originator_id,
        version=stored.originator_version,
        topic=stored.topic,
    )


def where(error: ValidationError) -> str:
    """Return which members are wrong, without their values."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, p['loc'][:3]))}: {p['type']}" for p in problems[:3])
