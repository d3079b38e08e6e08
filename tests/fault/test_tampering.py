"""Somebody changes the stored rows behind Recount's back: it shows, and where it was is named."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from recountdb.api.services.purge import find_targets, purge_targets
from recountdb.domain.commands.base import Name
from recountdb.eventlog.application import Recount
from recountdb.eventlog.integrity.chain import GENESIS, commitment_to, link_after
from recountdb.eventlog.integrity.checkpoints import take_checkpoints
from recountdb.eventlog.integrity.verify import Flaw, StoredLink, chain_flaws, checkpoint_flaws, log_flaws
from recountdb.eventlog.log.erase import erase_payloads
from recountdb.eventlog.postgres.database import Connection, Database, connect
from tests.support.processes import context
from tests.support.stories import tell_stories

pytestmark = pytest.mark.sql

Event = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One change of the log, and the streams it touched: one of them, or a span around it, must be named."""

    what: str
    touched: list[Event]


def events_in(connection: Connection) -> list[Event]:
    columns = (
        "notification_id originator_id originator_version project topic recorded_at state::text salt link"
    )
    names = columns.replace("::text", "").split()
    rows = connection.execute(
        f"SELECT {', '.join(columns.split())} FROM stored_events ORDER BY notification_id"
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def put(connection: Connection, event: Event) -> None:
    connection.execute(
        f"INSERT INTO stored_events ({', '.join(event)}) OVERRIDING SYSTEM VALUE"
        f" VALUES ({', '.join('%s' for _ in event)})",
        list(event.values()),
    )


def delete(connection: Connection, event: Event) -> None:
    connection.execute("DELETE FROM stored_events WHERE notification_id = %s", [event["notification_id"]])


def edit(connection: Connection, events: list[Event], chance: random.Random) -> Change:
    """Another value in one column of one event."""
    event = chance.choice(events)
    column = chance.choice([name for name in event if name != "originator_version"])
    others: dict[str, Callable[[], object]] = {
        "notification_id": lambda: 10**6 + chance.randrange(10**6),
        "originator_id": lambda: UUID(int=chance.getrandbits(128)),
        "project": lambda: event["project"] + "x",
        "topic": lambda: event["topic"] + "x",
        "recorded_at": lambda: event["recorded_at"].replace(
            microsecond=(event["recorded_at"].microsecond + 1) % 10**6
        ),
        "state": lambda: flipped(event["state"], chance),
        "salt": lambda: chance.choice([chance.randbytes(16), *([None] if event["salt"] else [])]),
        "link": lambda: chance.randbytes(32),
    }
    delete(connection, event)
    put(connection, event | {column: others[column]()})
    return Change(f"edit {column}", [event])


def flipped(text: str, chance: random.Random) -> str:
    """Still JSON, one character more somewhere: even a space that changes no value."""
    return chance.choice([text[:-1] + " }", text[:-1] + ',"x":1}', "{ " + text[1:]])


def remove(connection: Connection, events: list[Event], chance: random.Random) -> Change:
    event = chance.choice(events)
    delete(connection, event)
    return Change("delete", [event])


def insert(connection: Connection, events: list[Event], chance: random.Random) -> Change:
    """A copy of an event further on in its stream, or as a stream of its own, at an unused position."""
    event = chance.choice(events)
    last = max(e["originator_version"] for e in events if e["originator_id"] == event["originator_id"])
    place = chance.choice(
        [
            {"originator_version": last + 1},
            {"originator_id": UUID(int=chance.getrandbits(128)), "originator_version": 1},
        ]
    )
    copy = event | place | {"notification_id": -chance.randrange(1, 10**6)}
    put(connection, copy)
    return Change("insert", [copy])


def reorder(connection: Connection, events: list[Event], chance: random.Random) -> Change:
    """Two events change places: in the whole log, or within their stream."""
    one = chance.choice(events)
    column = chance.choice(["notification_id", "originator_version"])
    rivals = [
        e
        for e in events
        if e is not one and (column == "notification_id" or e["originator_id"] == one["originator_id"])
    ]
    other = chance.choice(rivals)
    delete(connection, one)
    delete(connection, other)
    put(connection, one | {column: other[column]})
    put(connection, other | {column: one[column]})
    return Change(f"reorder {column}", [one, other])


def cut_tail(connection: Connection, events: list[Event], chance: random.Random) -> Change:
    cut = events[-chance.randrange(1, 10) :]
    for event in cut:
        delete(connection, event)
    return Change("cut tail", cut)


def drop_stream(connection: Connection, events: list[Event], chance: random.Random) -> Change:
    stream_id = chance.choice(events)["originator_id"]
    dropped = [event for event in events if event["originator_id"] == stream_id]
    for event in dropped:
        delete(connection, event)
    return Change("drop stream", dropped)


def forge(connection: Connection, events: list[Event], chance: random.Random) -> Change:
    """Other words, and all links from there on worked out anew, so that the stream's chain holds."""
    event = chance.choice(events)
    stream = [
        e
        for e in events
        if e["originator_id"] == event["originator_id"]
        and e["originator_version"] >= event["originator_version"]
    ]
    before = [
        e["link"]
        for e in events
        if e["originator_id"] == event["originator_id"]
        and e["originator_version"] == event["originator_version"] - 1
    ]
    link = before[0] if before else GENESIS
    for later in sorted(stream, key=lambda e: e["originator_version"]):
        state = flipped(later["state"], chance) if later is event else later["state"]
        forged = StoredLink(**later | {"state": state})
        link = link_after(link, forged, commitment_to(forged.salt or b"", state.encode()))
        delete(connection, later)
        put(connection, later | {"state": state, "link": link})
    return Change("forge", [event])


def slip_in(connection: Connection, events: list[Event], chance: random.Random) -> Change:
    """A stream of its own with a chain that holds, at a position before all others."""
    event = chance.choice(events) | {
        "originator_id": UUID(int=chance.getrandbits(128)),
        "originator_version": 1,
        "notification_id": -chance.randrange(1, 10**6),
    }
    forged = StoredLink(**event)
    link = link_after(GENESIS, forged, commitment_to(forged.salt or b"", forged.state.encode()))
    put(connection, event | {"link": link})
    return Change("slip in", [event])


def erase_unasked(connection: Connection, events: list[Event], chance: random.Random) -> Change:
    """What an erasure leaves, exactly, of an event that nobody asked to be erased."""
    asked = versions_to_be_erased(events)
    event = chance.choice([e for e in events if place_of(e) not in asked])
    erase_payloads(connection, event["originator_id"], [event["originator_version"]])
    return Change("erase unasked", [event])


def bring_back(connection: Connection, events: list[Event], chance: random.Random) -> Change:
    """An erased event says something again, under a new salt; its link stays as it was."""
    event = chance.choice([e for e in events if e["salt"] is None])
    alike = [e for e in events if e["topic"] == event["topic"] and e["salt"] is not None]
    state = flipped(chance.choice(alike or events)["state"], chance)
    delete(connection, event)
    put(connection, event | {"state": state, "salt": chance.randbytes(16)})
    return Change("bring back", [event])


def versions_to_be_erased(events: list[Event]) -> set[tuple[UUID, int]]:
    """What the log itself says is to be erased, as stream and version."""
    asked: set[tuple[UUID, int]] = set()
    for event in events:
        stream_id, what = event["originator_id"], event["topic"].partition(".")[2]
        if what == "purged":
            asked |= {(stream_id, version) for version in range(1, event["originator_version"])}
        elif what == "messages-erased":
            asked |= {(stream_id, version) for version in json.loads(event["state"])["versions"]}
    return asked


def place_of(event: Event) -> tuple[UUID, int]:
    return event["originator_id"], event["originator_version"]


CHANGES: list[Callable[[Connection, list[Event], random.Random], Change]] = [
    edit,
    remove,
    insert,
    reorder,
    cut_tail,
    drop_stream,
    forge,
    slip_in,
    erase_unasked,
    bring_back,
]


class Undone(Exception):
    """Ends a transaction without a trace."""


def found_after(connection: Connection, events: list[Event], seed: int) -> tuple[Change, list[Flaw]]:
    chance = random.Random(seed)
    try:
        with connection.transaction():
            change = chance.choice(CHANGES)(connection, events, chance)
            found = flaws_within(connection)
            raise Undone
    except Undone:
        return change, found


def flaws_within(connection: Connection) -> list[Flaw]:
    return [*chain_flaws(connection, lambda count: None), *checkpoint_flaws(connection)]


@pytest.fixture
def events(application: Recount, database: Database, conninfo: str) -> list[Event]:
    """A log under several checkpoints, in which a session ended and a thread lost some messages."""
    for number in range(3):
        tell_stories(application, 3, first=3 * number)
        ended = Name("default", "session", "", f"gone {3 * number}")
        person = Name("default", "user", "", f"ana {3 * number + 1}")
        for name in (ended, person):
            targets = find_targets(database, name)
            purge_targets(application, targets, lambda project: context(), reason=None, insist=True)
        take_checkpoints(database)
    with connect(conninfo) as connection:
        assert list(log_flaws(connection)) == []
        found = events_in(connection)
    assert {place_of(event) for event in found if event["salt"] is None} == versions_to_be_erased(found)
    return found


def check(conninfo: str, events: list[Event], seeds: range) -> None:
    with connect(conninfo) as connection:
        for seed in seeds:
            change, flaws = found_after(connection, events, seed)
            assert flaws, f"seed {seed}: {change.what} was not found"
            streams = {event["originator_id"] for event in change.touched}
            is_placed = flaws[0].stream_id is None or flaws[0].stream_id in streams
            assert is_placed or change.what == "edit originator_id", f"seed {seed}: {change.what}"
        assert list(log_flaws(connection)) == []


def test_every_change_is_found_and_placed(conninfo: str, events: list[Event]) -> None:
    check(conninfo, events, range(300))


@pytest.mark.timeout(1200)
@pytest.mark.slow
def test_ten_thousand_changes_are_found_and_placed(conninfo: str, events: list[Event]) -> None:
    check(conninfo, events, range(10_000))
