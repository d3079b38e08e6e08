"""The catalog of all kinds of streams, and of all events, by the topic each is stored under.

A topic listed here never goes away.
"""

from __future__ import annotations

from recountdb.domain import memory_functions, sessions, threads, users
from recountdb.domain.aggregate import Aggregate, Family
from recountdb.domain.conversation import ConversationFamily
from recountdb.domain.events import Event

KINDS: dict[str, type[Aggregate]] = {
    kind.KIND: kind for kind in (sessions.Session, threads.Thread, users.User, memory_functions.Function)
}


def _concrete(family: Family | ConversationFamily) -> list[type[Event]]:
    return list(vars(family).values())


def events_by_topic() -> dict[str, type[Event]]:
    """Return the event class of each topic, for all events of all aggregates."""
    classes: list[type[Event]] = [
        *_concrete(sessions.Session.EVENTS),
        sessions.SessionRenamed,
        *_concrete(threads.Thread.EVENTS),
        threads.StateSet,
        *_concrete(users.User.EVENTS),
        users.ProfileReplaced,
        users.StateSet,
        *_concrete(memory_functions.Function.EVENTS),
        memory_functions.DefinitionReplaced,
    ]
    return {event_class.TOPIC: event_class for event_class in classes}
