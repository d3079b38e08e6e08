"""The catalog of all kinds of streams, and of all events, by the topic each is stored under.

A topic listed here never goes away.
"""

from __future__ import annotations

from recountdb.domain import memory_functions, sessions, threads, users
from recountdb.domain.aggregate import Aggregate
from recountdb.domain.events import Event

KINDS: dict[str, type[Aggregate]] = {
    kind.KIND: kind for kind in (sessions.Session, threads.Thread, users.User, memory_functions.Function)
}


def events_by_topic() -> dict[str, type[Event]]:
    """Return the event class of each topic: every class with a topic in the modules of the aggregates."""
    classes = [
        member
        for module in (sessions, threads, users, memory_functions)
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, Event) and "TOPIC" in vars(member)
    ]
    return {event_class.TOPIC: event_class for event_class in classes}
