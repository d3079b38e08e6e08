"""The audit query over the log of a project, in pages and as JSON lines; and recorded reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from starlette.testclient import TestClient

from recountdb.api.services import keys
from recountdb.api.services.read_audit import ReadRecorder, page_reads
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.messages import Message
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database, connect
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.lists.paging import Window
from recountdb.projections.queries.audit import AuditFilter, page_audit, parameters
from tests.support.http_client import open_client
from tests.support.outage import database_gone
from tests.support.processes import context, recount_on, wait_until

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LINES = "application/x-ndjson"


def say(application: Recount, session: str, *, user_id: str | None = None, **members: Any) -> UUID:
    """Something said in a session, in a context with these ``members``; returns the stream."""
    message = Message(id=uuid4(), role="user", content="x")
    command = AddMessages(kind="session", name=session, messages=[message], user_id=user_id)
    return application.execute(command, replace(context(), **members)).state.id


@pytest.fixture(scope="module")
def stories(shared: TestClient, shared_conninfo: str) -> dict[str, UUID]:
    """What the tests of this file ask about; session → stream. Each session has two events or more."""
    with recount_on(shared_conninfo) as application:
        streams = {"a": say(application, "a", at=NOON, actor="key:one", request_id="r1", user_id="ana")}
        first = f"{streams['a']}/2"
        streams["b"] = say(application, "b", at=NOON, actor="key:two", request_id="r2", causation_id=first)
        second = f"{streams['b']}/2"
        streams["c"] = say(application, "c", at=NOON, actor="key:two", causation_id=second)
        say(application, "a", at=NOON + timedelta(hours=1), actor="key:two", request_id="r3")
        say(application, "a", project="other", actor="key:one", request_id="r1", causation_id=first)
    shared.post("/v1/users", json={"user_id": "ana"})
    return streams


def found(client: TestClient, **query: Any) -> list[str]:
    """What is there, as session/version; the oldest first."""
    answer = client.get("/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    return labels(answer.json()["items"])


def labels(items: list[dict[str, Any]]) -> list[str]:
    return [f"{item['stream_id']}/{item['version']}" for item in items]


def expected(stories: dict[str, UUID], *events: str) -> list[str]:
    """``a2`` → version 2 of session a's stream."""
    return [f"{stories[event[0]]}/{event[1:]}" for event in events]


class TestFilters:
    @pytest.mark.parametrize(
        ("query", "events"),
        [
            ({"actor": "key:one"}, ["a1", "a2"]),
            ({"actor": "key:two"}, ["b1", "b2", "c1", "c2", "a3"]),
            ({"actor": "nobody"}, []),
            ({"request_id": "r1"}, ["a1", "a2"]),
            ({"session_id": "a"}, ["a1", "a2", "a3"]),
            ({"session_id": "a", "actor": "key:two"}, ["a3"]),
            ({"type": "session.started", "until": "2026-11-20T12:00:01Z"}, ["a1", "b1", "c1"]),
            ({"type": ["session.started", "session.message-added"], "session_id": "b"}, ["b1", "b2"]),
            ({"since": "2026-11-20T12:00:01Z", "until": "2026-11-20T13:00:01Z"}, ["a3"]),
            ({"until": "2026-11-20T12:00:00Z"}, []),
            ({"actor": "key:two", "order": "newest"}, ["a3", "c2", "c1", "b2", "b1"]),
        ],
        ids=str,
    )
    def test_each_by_itself_and_together(
        self, shared: TestClient, stories: dict[str, UUID], query: dict[str, Any], events: list[str]
    ) -> None:
        assert found(shared, **query) == expected(stories, *events)

    def test_a_user_is_the_profile_and_the_sessions(
        self, shared: TestClient, stories: dict[str, UUID]
    ) -> None:
        *conversation, profile = shared.get("/v1/audit", params={"user_id": "ana"}).json()["items"]
        assert labels(conversation) == expected(stories, "a1", "a2", "a3")
        assert profile["type"] == "user.created"

    def test_what_an_event_led_to(self, shared: TestClient, stories: dict[str, UUID]) -> None:
        (first,) = expected(stories, "a2")
        assert found(shared, causation_id=first) == expected(stories, "b1", "b2")

    def test_the_whole_chain_from_an_event_down(self, shared: TestClient, stories: dict[str, UUID]) -> None:
        (first,) = expected(stories, "a2")
        chain = expected(stories, "a2", "b1", "b2", "c1", "c2")
        assert found(shared, causation_id=first, chain="true") == chain
        assert found(shared, causation_id=first, chain="true", type="session.started") == [chain[1], chain[3]]

    def test_a_circle_comes_to_an_end(self, database: Database, application: Recount) -> None:
        """Nobody should record one; whoever did must not stop the audit."""
        stream = say(application, "a")
        say(application, "a", causation_id=f"{stream}/4")
        say(application, "a", causation_id=f"{stream}/3")
        criteria = AuditFilter(causation_id=f"{stream}/3", chain=True)
        page = page_audit(application, None, Window(), criteria)
        assert [entry.originator_version for entry in page.items] == [3, 4]

    def test_a_chain_needs_a_beginning(self, shared: TestClient) -> None:
        refused = shared.get("/v1/audit", params={"chain": "true"})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "chain")

    def test_nobody_sees_another_project(self, shared: TestClient, stories: dict[str, UUID]) -> None:
        everything = found(shared, limit=1000)
        assert set(everything) >= set(expected(stories, "a1", "b1", "c1"))
        streams = {label.split("/")[0] for label in everything}
        assert len(streams) == 4, "three sessions and a user; not what the other project has"


class TestLines:
    @pytest.mark.parametrize("how", [{"params": {"format": "ndjson"}}, {"headers": {"Accept": LINES}}])
    def test_all_matches_come_as_json_lines(
        self,
        shared: TestClient,
        stories: dict[str, UUID],
        how: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("recountdb.api.http.routes.audit.LINES_AT_ONCE", 2)
        answer = shared.get("/v1/audit", **how)
        assert answer.headers["content-type"] == LINES
        items = [json.loads(line) for line in answer.text.splitlines()]
        assert items == shared.get("/v1/audit", params={"limit": 1000}).json()["items"]
        assert len(items) > 7

    def test_or_so_many_as_are_asked_for(self, shared: TestClient, stories: dict[str, UUID]) -> None:
        query: dict[str, Any] = {"format": "ndjson", "limit": 3, "order": "newest"}
        items = [json.loads(line) for line in shared.get("/v1/audit", params=query).text.splitlines()]
        assert labels(items) == found(shared, limit=3, order="newest")

    def test_what_is_wrong_is_told_before_the_first_line(self, shared: TestClient) -> None:
        for query in ({"causation_id": "x"}, {"session_id": "nobody"}):
            assert shared.get("/v1/audit", params={"format": "ndjson", **query}).status_code in (404, 422)

    def test_none_are_no_lines(self, shared: TestClient) -> None:
        answer = shared.get("/v1/audit", params={"format": "ndjson", "actor": "nobody"})
        assert (answer.status_code, answer.text) == (200, "")


class TestPages:
    def test_they_go_on_where_the_last_one_ended(self, shared: TestClient, stories: dict[str, UUID]) -> None:
        for order in ("oldest", "newest"):
            together, cursor = [], None
            while True:
                query: dict[str, Any] = {"actor": "key:two", "limit": 2, "order": order}
                query |= {"cursor": cursor} if cursor else {}
                page = shared.get("/v1/audit", params=query).json()
                together += labels(page["items"])
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            assert together == found(shared, actor="key:two", order=order)


INDEXES = {
    "stored_events_actor": AuditFilter(actor="key:rare"),
    "stored_events_request": AuditFilter(request_id="request-77"),
    "stored_events_causation": AuditFilter(causation_id="01a1fa82-995b-71d2-8226-548dfde85271/1"),
    "stored_events_pkey": AuditFilter(stream_id=UUID(int=77)),
    "stored_events_project": AuditFilter(types=["session.message-added"]),
}
"""Index → a filter that it is there for."""


class TestPlans:
    @pytest.fixture
    def many(self, database: Database) -> Database:
        """A log of some size: 20,000 events of as many requests, nearly all by one actor elsewhere."""
        with database.connection() as connection:
            connection.execute(
                "INSERT INTO stored_events (originator_id, originator_version, project, topic, recorded_at,"
                " state, link)"
                " SELECT lpad(to_hex(n / 10), 32, '0')::uuid, n % 10 + 1,"
                " CASE WHEN n % 100 < 5 THEN 'default' ELSE 'other' END,"
                " CASE WHEN n % 10 = 0 THEN 'session.started' ELSE 'session.message-added' END, now(),"
                " json_build_object('actor', CASE WHEN n % 5000 = 0 THEN 'key:rare' ELSE 'local' END,"
                " 'request_id', 'request-' || n), ''"
                " FROM generate_series(0, 19999) AS n"
            )
            connection.execute("ANALYZE stored_events")
        return database

    @pytest.mark.parametrize("order", ["oldest", "newest"])
    @pytest.mark.parametrize("index", INDEXES)
    def test_a_filter_is_served_by_its_index(self, many: Database, index: str, order: str) -> None:
        name = "select_audit_descending" if order == "newest" else "select_audit"
        bound = {"project": "default", "gt": 0, "lt": 2**62, "limit": 51, "weight_max": 2**22}
        bound |= parameters(many, "default", INDEXES[index])
        sql = Statements("recountdb.projections.queries.x", "audit")[name]
        plan = "\n".join(line for (line,) in many.fetch(f"EXPLAIN {sql}", bound, prepare=False))
        assert index in plan, plan
        assert "Seq Scan on stored_events" not in plan, plan

    def test_a_chain_is_followed_by_its_index(self, many: Database) -> None:
        sql = Statements("recountdb.projections.queries.x", "audit")["select_chain"]
        bound = {"project": "default", "causation_id": f"{uuid4()}/1"}
        plan = "\n".join(line for (line,) in many.fetch(f"EXPLAIN {sql}", bound, prepare=False))
        assert "stored_events_causation" in plan, plan
        assert "Seq Scan on stored_events" not in plan, plan


class TestReads:
    @pytest.fixture
    def watched(self, conninfo: str) -> Iterator[TestClient]:
        with open_client(conninfo, audit_reads=True) as client:
            yield client

    def reads(self, client: TestClient, count: int) -> list[dict[str, Any]]:
        """The first so many reads, once they are written down."""

        def written() -> list[dict[str, Any]]:
            database: Database = client.app.state.store.database  # type: ignore[attr-defined]
            return list(map(vars, page_reads(database, None, Window()).items))

        wait_until(lambda: len(written()) >= count)
        return written()

    def test_each_read_is_recorded_with_who_asked_for_what(self, watched: TestClient) -> None:
        watched.post("/v1/sessions", json={"session_id": "trip/1"})
        watched.get("/v1/sessions/trip%2F1", headers={"X-Request-Id": "request-7"})
        watched.get("/v1/sessions/nobody/messages")
        watched.get("/v1/health")
        watched.get("/metrics")
        first, second = self.reads(watched, 2)
        assert (first["project"], first["actor"], first["method"]) == ("default", "local", "GET")
        assert (first["route"], first["parameters"]) == (
            "/v1/sessions/{session_id}",
            {"session_id": "trip/1"},
        )
        assert (first["request_id"], first["status"], second["status"]) == ("request-7", 200, 404)
        assert second["route"] == "/v1/sessions/{session_id}/messages"

    def test_one_that_was_forbidden_is_recorded_too_and_strangers_are_not(
        self, watched: TestClient, database: Database
    ) -> None:
        key, secret = keys.create_key(database, project="p", scopes=["write"])
        watched.get("/v1/sessions", headers={"X-API-Key": secret})
        watched.get("/v1/sessions", headers={"X-API-Key": "rk_wrong"})
        admin = {"X-API-Key": keys.create_key(database, project="p", scopes=["admin"])[1]}
        self.reads(watched, 1)
        (read,) = watched.get("/v1/audit/reads", headers=admin).json()["items"]
        assert (read["actor"], read["status"]) == (f"key:{key.id}", 403)

    def test_a_project_sees_its_own(self, watched: TestClient, database: Database) -> None:
        ours, theirs = (
            {"X-API-Key": keys.create_key(database, project=name, scopes=["admin"])[1]}
            for name in ("ours", "theirs")
        )
        watched.get("/v1/users/theirs", headers=theirs)
        watched.get("/v1/users/ours", headers=ours)
        self.reads(watched, 2)
        items = watched.get("/v1/audit/reads", headers=ours).json()["items"]
        assert [item["parameters"] for item in items] == [{"user_id": "ours"}]
        actor = items[0]["actor"]
        found = watched.get("/v1/audit/reads", params={"actor": actor, "limit": 1}, headers=ours).json()
        assert [item["actor"] for item in found["items"]] == [actor]
        assert watched.get("/v1/audit/reads", params={"actor": "x"}, headers=ours).json()["items"] == []

    def test_it_is_off_unless_told(self, client: TestClient, database: Database) -> None:
        client.get("/v1/sessions")
        assert client.app.state.store.settings.audit_reads is False  # type: ignore[attr-defined]
        assert page_reads(database, None, Window()).items == []

    def test_what_was_noted_is_written_when_the_server_ends(
        self, conninfo: str, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("recountdb.api.services.read_audit.PAUSE_SECONDS", 600)
        with open_client(conninfo, audit_reads=True) as client:
            for _ in range(5):
                client.get("/v1/sessions")
        assert len(page_reads(database, None, Window()).items) == 5

    def test_notes_wait_for_a_database_that_is_gone(
        self, conninfo: str, server: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("recountdb.api.services.read_audit.PAUSE_SECONDS", 0.02)
        recorder = ReadRecorder(conninfo)
        recorder.start()
        with database_gone(server, conninfo):
            for number in range(3):
                note(recorder, str(number))
            wait_until(lambda: recorder._connection is None)
        wait_until(lambda: count(conninfo) == 3)
        recorder.stop()

    def test_a_request_never_waits_and_too_many_notes_are_told(
        self, conninfo: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("recountdb.api.services.read_audit.WAITING_MAX", 2)
        recorder = ReadRecorder(conninfo)
        for number in range(5):
            note(recorder, str(number))
        recorder.start()
        recorder.stop()
        assert count(conninfo) == 2
        assert "3 reads were not recorded: the database did not answer for too long" in caplog.messages


def note(recorder: ReadRecorder, request_id: str) -> None:
    recorder.note(
        project="p", actor="a", request_id=request_id, method="GET", route="/", parameters={}, status=200
    )


def count(conninfo: str) -> int:
    try:
        with connect(conninfo) as connection:
            ((found,),) = connection.execute("SELECT count(*) FROM reads").fetchall()
            return int(found)
    except psycopg.Error:
        return 0
