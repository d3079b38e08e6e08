"""Every event there is, by the topic it is stored under. A topic listed here never goes away."""

from __future__ import annotations

from recountdb.domain import functions, sessions, threads, users
from recountdb.domain.aggregate import Family
from recountdb.domain.conversation import ConversationFamily
from recountdb.domain.events import Event


def concrete(family: Family | ConversationFamily) -> list[type[Event]]:
    return list(vars(family).values())


def events_by_topic() -> dict[str, type[Event]]:
    """Topic → event class, for all events of all aggregates."""
    classes: list[type[Event]] = [
        *concrete(sessions.Session.EVENTS),
        sessions.SessionRenamed,
        *concrete(threads.Thread.EVENTS),
        threads.StateSet,
        *concrete(users.User.EVENTS),
        users.ProfileReplaced,
        users.StateSet,
        *concrete(functions.Function.EVENTS),
        functions.DefinitionReplaced,
    ]
    return {event_class.TOPIC: event_class for event_class in classes}
