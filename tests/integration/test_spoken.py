"""The newest messages of a scope: in order whatever was said when, and found by an index."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from recountdb.api.services.merge import prepare_rename
from recountdb.domain.commands.base import Name
from recountdb.domain.commands.common import Delete
from recountdb.domain.commands.conversations import AddMessages, DeleteMessage, MergeSessions
from recountdb.domain.errors import ExpectationFailed
from recountdb.domain.events import Context
from recountdb.domain.messages import Message
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.queries.recent_messages import (
    SQL,
    Label,
    RecentFilter,
    Speaker,
    find_newest_messages,
    find_recent_sessions,
    find_spoken_scopes,
)

pytestmark = pytest.mark.sql

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Say = Callable[..., Message]


@pytest.fixture
def say(application: Recount, context: Callable[..., Context]) -> Say:
    def say(
        session: str, content: str, *, scope: str = "f", project: str = "default", **members: Any
    ) -> Message:
        message = Message(id=uuid4(), content=content, **{"role": "user", **members})
        command = AddMessages(kind="session", name=session, scope=scope, messages=[message])
        application.execute(command, context(project=project))
        return message

    return say


def contents(database: Database, limit: int | None = None, offset: int = 0, **said: Any) -> list[Any]:
    found = find_newest_messages(database, "default", RecentFilter(**said), limit=limit, offset=offset)
    return [one.message.content for one in found]


def test_they_come_by_the_time_said_or_recorded(database: Database, say: Say) -> None:
    say("one", "a")
    say("two", "b")
    say("one", "long ago", timestamp=NOON - timedelta(days=400))
    say("two", "to come", timestamp=datetime.now(UTC) + timedelta(days=1))
    say("one", "elsewhere", scope="g")
    say("one", "others'", project="other")
    assert contents(database, scope="f") == ["to come", "b", "a", "long ago"]
    assert contents(database, scope="f", session="one") == ["a", "long ago"]
    assert contents(database, limit=2) == ["to come", "elsewhere"]
    assert contents(database, limit=2, offset=1, scope="f") == ["b", "a"]
    assert contents(database, limit=2, offset=9, scope="f") == []


def test_windows_are_parts_of_the_whole(database: Database, say: Say) -> None:
    for number in range(40):
        say(f"session {number % 7}", str(number), timestamp=NOON + timedelta(minutes=number * 17 % 40))
    whole = contents(database)
    assert len(whole) == 40
    for limit, offset in ((1, 0), (5, 3), (10, 35), (40, 0), (7, 39)):
        assert contents(database, limit=limit, offset=offset) == whole[offset : offset + limit]


def test_what_is_deleted_is_not_seen(
    database: Database, application: Recount, context: Callable[..., Context], say: Say
) -> None:
    gone = say("one", "gone")
    say("two", "with its session")
    application.execute(DeleteMessage(kind="session", name="one", scope="f", message_id=gone.id), context())
    application.execute(Delete(kind="session", name="two", scope="f"), context())
    assert contents(database) == []
    assert find_recent_sessions(database, "default", RecentFilter(), limit=None) == []
    assert (
        find_spoken_scopes(database, "default", "one") == find_spoken_scopes(database, "default", "two") == []
    )
    say("two", "again")
    assert contents(database) == ["again"]


def test_filters(database: Database, say: Say) -> None:
    say("one", "a", role="user", name="Ana", metadata={"p": {"by": "x"}}, user_id="u", timestamp=NOON)
    say("one", "b", role="assistant", metadata={"p": {"by": "x", "bad": True}})
    say("one", "c", role="user")
    assert contents(database, label=Label(("p", "by"), ["x", "y"])) == ["b", "a"]
    assert contents(database, label=Label(("p", "by"), ["y"], ["user"])) == ["c"]
    assert contents(database, label=Label(("p", "by"), ["y"], None)) == ["c"]
    assert contents(database, speaker=Speaker("Ana")) == ["a"]
    assert contents(database, speaker=Speaker("Bob", ["user"])) == ["c"]
    assert contents(database, without={"p": {"bad": True}}) == ["c", "a"]
    assert contents(database, metadata={"p": {"by": "x"}}) == ["b", "a"]
    assert contents(database, user_id="u") == ["a"]
    assert contents(database, owner="v") == ["c", "b"]
    assert contents(database, role="assistant") == ["b"]
    assert contents(database, until=NOON + timedelta(seconds=1)) == ["a"]
    assert contents(database, since=NOON + timedelta(seconds=1)) == ["c", "b"]
    (found,) = find_newest_messages(database, "default", RecentFilter(role="assistant"), limit=1)
    assert contents(database, message_id=found.message.id) == ["b"]


def test_sessions_by_what_was_said_last(database: Database, say: Say) -> None:
    say("one", "a")
    say("two", "b", scope="g")
    say("two", "c")
    say("one", "d")
    say("agentic_x", "e")
    named = find_recent_sessions(database, "default", RecentFilter(), limit=None, unless_begins="agentic_")
    assert [(one.scope, one.name) for one in named] == [("f", "one"), ("f", "two")]
    assert find_recent_sessions(database, "default", RecentFilter(), limit=1, offset=2) == [named[1]]
    assert find_spoken_scopes(database, "default", "two") == ["f", "g"]


def test_scopes_that_are_left_out(database: Database, say: Say) -> None:
    for number, scope in enumerate(("f-1", "g-1", "f-2", "")):
        say("one", f"in {scope}", scope=scope, timestamp=NOON + timedelta(minutes=number))
    assert contents(database, unless_scope="^f-") == ["in ", "in g-1"]
    assert contents(database, unless_scope="^f-", limit=1, offset=1) == ["in g-1"]
    assert contents(database, unless_scope="^f-", scope="f-1") == []
    (last,) = find_recent_sessions(database, "default", RecentFilter(unless_scope="^(f-.*)?$"), limit=None)
    assert last.scope == "g-1"


class TestMerging:
    def test_a_source_that_went_on_is_read_again(
        self, application: Recount, context: Callable[..., Context], say: Say
    ) -> None:
        say("one", "a")
        say("two", "b")
        name = Name("default", "session", "f", "one")
        command = prepare_rename(application, name, "two", reason="merged")
        say("one", "c")
        with pytest.raises(ExpectationFailed):
            application.execute(command, context())
        assert contents(application.database) == ["c", "b", "a"]
        command = prepare_rename(application, name, "two", reason="merged")
        assert isinstance(command, MergeSessions)
        application.execute(command, context())
        assert contents(application.database, session="two") == ["c", "b", "a"]

    def test_what_nobody_is_asked_for_keeps_whose_it_is(
        self, application: Recount, context: Callable[..., Context], say: Say
    ) -> None:
        said = [Message(id=uuid4(), role=role, content=role) for role in ("user", "assistant")]
        command = AddMessages(kind="session", name="ana's", scope="f", messages=said, user_id="ana")
        application.execute(command, context())
        say("two", "b")
        name = Name("default", "session", "f", "ana's")
        application.execute(prepare_rename(application, name, "two", reason="merged"), context())
        assert contents(application.database, user_id="ana") == ["user"]

    def test_the_views_are_what_the_log_says(
        self, application: Recount, context: Callable[..., Context], say: Say
    ) -> None:
        for session in ("one", "two"):
            say(session, session)
        name = Name("default", "session", "f", "one")
        application.execute(prepare_rename(application, name, "two", reason="merged"), context())
        counts = application.database.fetch("SELECT name, message_count, deleted_at IS NULL FROM sessions")
        assert sorted(counts) == [("one", 1, False), ("two", 2, True)]
        # Going on with both, from what this process now holds.
        say("one", "new")
        say("two", "new")
        assert len(contents(application.database, session="two")) == 3
        assert contents(application.database, session="one") == ["new"]


class TestPlans:
    @pytest.fixture
    def many(self, database: Database) -> Database:
        """20,000 messages of 2,000 sessions in 20 flows of two projects."""
        with database.connection() as connection:
            connection.execute(
                "INSERT INTO sessions (stream_id, project, scope, name, number, message_count,"
                " hidden_through, version, created_at, updated_at)"
                " SELECT lpad(to_hex(n), 32, '0')::uuid,"
                " CASE WHEN n % 2 = 0 THEN 'default' ELSE 'other' END,"
                " 'flow ' || n % 20, 'session ' || n, n, 10, 0, 11, now(), now()"
                " FROM generate_series(0, 1999) n"
            )
            connection.execute(
                "INSERT INTO names (project, kind, scope, name, stream_id)"
                " SELECT project, 'session', scope, name, stream_id FROM sessions"
            )
            connection.execute(
                "INSERT INTO messages (stream_id, version, project, message_id, role, content, recorded_at,"
                " updated_at, changed_version)"
                " SELECT stream_id, n, project, gen_random_uuid(), 'user', '\"x\"',"
                " now() - random() * interval '1 day', now(), n FROM sessions, generate_series(2, 11) n"
            )
            connection.execute("ANALYZE sessions, names, messages")
        return database

    @pytest.mark.parametrize("name", ["newest_messages", "latest_sessions"])
    @pytest.mark.parametrize(
        ("said", "indexes"),
        [
            (RecentFilter(scope="flow 2", session="session 2"), ["names_", "messages_spoken"]),
            (RecentFilter(scope="flow 2"), ["names_pkey", "messages_spoken"]),
            (RecentFilter(session="session 2"), ["names_named", "messages_spoken"]),
            (RecentFilter(), ["messages_spoken"]),
        ],
        ids=["one session", "a flow", "a name", "a project"],
    )
    def test_they_are_found_by_an_index(
        self, many: Database, name: str, said: RecentFilter, indexes: list[str]
    ) -> None:
        bound = said.parameters() | {"project": "default", "limit": 100, "offset": 0, "unless_begins": None}
        bound |= {"weight_max": None, "is_exact": False}
        sql = SQL[name]
        plan = "\n".join(line for (line,) in many.fetch(f"EXPLAIN {sql}", bound, prepare=False))
        for index in indexes:
            assert index in plan, plan
        assert "Seq Scan on messages" not in plan, plan
