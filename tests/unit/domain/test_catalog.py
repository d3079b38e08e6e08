"""The stored names and shapes of events are a promise: topics.json says what was promised.

A topic stays for ever. A changed shape needs a higher ``class_version`` with an upcaster from each
version before; only a new member that has a default may join without. Once that is done, write the
line anew: ``python -m tests.unit.domain.test_catalog`` prints today's file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from recountdb.domain.catalog import events_by_topic
from recountdb.domain.events import Event, Idempotency
from recountdb.domain.memory_functions import Definition
from recountdb.domain.messages import Message
from recountdb.domain.sessions import Origin
from recountdb.domain.users import Profile

MODULES = {
    "session": "sessions",
    "thread": "threads",
    "user": "users",
    "function": "memory_functions",
}
PROMISED = Path(__file__).with_name("topics.json")


def shape(model: type[BaseModel], *, besides: Collection[str] = ()) -> str:
    """The members of a payload; those that may be left out end in a question mark."""
    fields = {name: field for name, field in model.model_fields.items() if name not in besides}
    return " ".join(name if field.is_required() else f"{name}?" for name, field in fields.items())


def catalog() -> dict[str, Any]:
    topics = {
        topic: f"version {payload.class_version}: {shape(payload, besides=Event.model_fields)}"
        for topic, payload in sorted(events_by_topic().items())
    }
    parts = {
        part.__name__: shape(part) for part in (Event, Idempotency, Message, Origin, Profile, Definition)
    }
    return {"topics": topics, "parts": parts}


def promised() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(PROMISED.read_text(encoding="utf-8"))
    return content


def test_no_topic_vanishes_or_changes_shape_unnoticed() -> None:
    assert catalog() == promised(), __doc__


def test_every_topic_names_its_kind_and_what_happened() -> None:
    for topic, event_class in events_by_topic().items():
        assert re.fullmatch(r"[a-z]+\.[a-z]+(-[a-z]+)*", topic)
        assert event_class.__module__ == f"recountdb.domain.{MODULES[topic.partition('.')[0]]}"


def every_subclass(parent: type[Event]) -> set[type[Event]]:
    return {parent}.union(*(every_subclass(child) for child in parent.__subclasses__()))


def test_every_event_with_a_topic_is_in_the_catalog() -> None:
    declared = {child for child in every_subclass(Event) if "TOPIC" in vars(child)}
    ours = {child for child in declared if child.__module__.startswith("recountdb.domain.")}
    assert ours == set(events_by_topic().values())


@pytest.mark.parametrize("topic", events_by_topic())
def test_every_older_version_has_an_upcaster(topic: str) -> None:
    event_class = events_by_topic()[topic]
    for version in range(1, event_class.class_version):
        assert callable(getattr(event_class, f"upcast_v{version}_v{version + 1}"))


if __name__ == "__main__":
    print(json.dumps(catalog(), indent=2))  # noqa: T201
