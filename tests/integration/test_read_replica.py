"""``Recount-Position``: every write says where it was recorded, and a read that brings it sees that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.runtime import migrate_database
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Addresses, connect
from tests.support.processes import wait_until
from tests.support.programs import need_postgres_15, need_program
from tests.support.standby import Pair, streaming

SAID = [{"role": "user", "content": "hello"}]
HEADER = "Recount-Position"


def newest(client: TestClient) -> int:
    position: int = client.get("/v1/events", params={"order": "newest", "limit": 1}).json()["items"][0][
        "position"
    ]
    return position


def positioned(client: TestClient, method: str, path: str, **more: Any) -> int:
    answer = client.request(method, path, **more)
    assert answer.status_code < 300, answer.text
    return int(answer.headers[HEADER])


class TestWrites:
    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "/v1/sessions/trip/messages", {"messages": SAID}),
            ("POST", "/v1/users", {"user_id": "ana"}),
            ("PATCH", "/v1/sessions/there", {"metadata": {"a": 1}}),
            ("DELETE", "/v1/sessions/there", None),
            ("PUT", "/v1/sessions/there/hold", {"reason": "a case"}),
            ("POST", "/v1/sessions/there/fork", {"session_id": "other"}),
            ("POST", "/api/v1/sessions/zep/memory", {"messages": [{"role": "human", "content": "hello"}]}),
            ("POST", "/sessions/head/memory", {"messages": [{"role": "Human", "content": "hello"}]}),
        ],
    )
    def test_each_says_where_its_last_event_is(
        self, client: TestClient, method: str, path: str, body: Any
    ) -> None:
        client.post("/v1/sessions/there/messages", json={"messages": SAID})
        position = positioned(client, method, path, json=body)
        assert position == newest(client) > 2

    def test_a_purge_too(self, client: TestClient) -> None:
        client.post("/v1/sessions/there/messages", json={"messages": SAID})
        client.delete("/v1/sessions/there")
        assert positioned(client, "POST", "/v1/sessions/there/purge", json={}) == newest(client)

    def test_what_is_outside_of_the_log_says_how_far_that_is(self, conninfo: str) -> None:
        app = create_app(Settings(webhooks_allow_private=True), conninfo)
        with TestClient(app, base_url="http://127.0.0.1") as client:
            client.post("/v1/sessions/there/messages", json={"messages": SAID})
            made = positioned(client, "POST", "/v1/webhooks", json={"url": "http://127.0.0.1:9/"})
            assert made == newest(client)

    def test_a_repeat_says_where_it_was_the_first_time(self, client: TestClient) -> None:
        key = {"Idempotency-Key": str(uuid4())}
        write = ("POST", "/v1/sessions/trip/messages")
        first = positioned(client, *write, json={"messages": SAID}, headers=key)
        positioned(client, *write, json={"messages": SAID})
        assert positioned(client, *write, json={"messages": SAID}, headers=key) == first == 2

    def test_what_changed_nothing_says_how_far_the_log_is(self, client: TestClient) -> None:
        said = {"messages": [{**SAID[0], "id": str(uuid4())}]}
        positioned(client, "POST", "/v1/sessions/trip/messages", json=said)
        last = positioned(client, "POST", "/v1/sessions/other/messages", json={"messages": SAID})
        assert positioned(client, "POST", "/v1/sessions/trip/messages", json=said) == last

    def test_reads_and_refusals_say_nothing(self, client: TestClient) -> None:
        assert HEADER not in client.get("/v1/sessions").headers
        assert HEADER not in client.post("/v1/users", json={}).headers


class TestReads:
    @pytest.mark.parametrize("value", ["x", "-1", "2-xyz:1", "1.5", ""])
    def test_another_value_is_refused(self, client: TestClient, value: str) -> None:
        answer = client.get("/v1/sessions", headers={HEADER: value})
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("Recount-Position: must be a position")

    def test_without_a_replica_it_is_seen_at_once(self, client: TestClient) -> None:
        position = positioned(client, "POST", "/v1/sessions/trip/messages", json={"messages": SAID})
        for headers in ({HEADER: str(position)}, {HEADER: "999999999"}):
            assert client.get("/v1/sessions/trip/messages", headers=headers).status_code == 200


@pytest.fixture
def pair() -> Iterator[Pair]:
    programs = need_postgres_15("pg_basebackup")
    need_program("ps")
    with streaming(programs) as pair:
        with connect(pair.primary.conninfo) as connection:
            migrate_database(connection)
        pair.wait_for_standby()
        yield pair


@pytest.fixture
def split(pair: Pair) -> Iterator[TestClient]:
    """A client of a server that has the standby as its replica."""
    where = Addresses(pair.primary.conninfo, read=pair.standby.conninfo)
    with TestClient(create_app(Settings(), where), base_url="http://127.0.0.1") as client:
        replica = client.app.state.store.replica  # type: ignore[attr-defined]
        wait_until(lambda: replica.is_connected)
        yield client


def reads_there(client: TestClient) -> int:
    """How often the replica was asked for something."""
    pool = client.app.state.store.replica.database._pool  # type: ignore[attr-defined]
    count: int = pool.get_stats().get("requests_num", 0)
    return count


def say(client: TestClient, text: str) -> dict[str, str]:
    body = {"messages": [{"role": "user", "content": text}]}
    answer = client.post("/v1/sessions/trip/messages", json=body)
    assert answer.status_code == 201, answer.text
    return {HEADER: answer.headers[HEADER]}


def contents(client: TestClient, headers: dict[str, str] | None = None) -> list[str]:
    answer = client.get("/v1/sessions/trip/messages", params={"order": "oldest"}, headers=headers)
    assert answer.status_code == 200, answer.text
    return [message["content"] for message in answer.json()["items"]]


class TestReplica:
    def test_a_read_that_brings_a_position_is_answered_by_the_replica_once_it_has_that(
        self, split: TestClient
    ) -> None:
        said: list[str] = []
        for number in range(10):
            said.append(f"number {number}")
            assert contents(split, say(split, said[-1])) == said
        wait_until(lambda: contents(split, say(split, "more")) != [] and reads_there(split) > 0)

    def test_others_are_answered_by_the_primary(self, split: TestClient, pair: Pair) -> None:
        say(split, "one")
        pair.wait_for_standby()
        before = reads_there(split)
        assert contents(split) == ["one"]
        shown = split.get("/sessions/trip/memory")
        assert shown.status_code == 200
        assert split.get("/sessions/trip/memory", headers={HEADER: "1"}).status_code == 200
        assert reads_there(split) == before

    def test_a_replica_that_is_behind_is_not_waited_for_long(self, split: TestClient, pair: Pair) -> None:
        say(split, "one")
        pair.wait_for_standby()
        pair.standby.execute("SELECT pg_wal_replay_pause()")
        before = reads_there(split)
        assert contents(split, say(split, "two")) == ["one", "two"]
        assert reads_there(split) == before

    def test_a_replica_that_is_away_is_done_without(self, split: TestClient, pair: Pair) -> None:
        say(split, "one")
        pair.standby.stop()
        for text in ("two", "three"):
            answer = split.get("/v1/sessions/trip/messages", headers=say(split, text))
            assert answer.status_code == 200, answer.text

    def test_a_server_starts_without_its_replica(self, conninfo: str, tmp_path: Path) -> None:
        where = Addresses(conninfo, read=f"host={tmp_path} dbname=none")
        with TestClient(create_app(Settings(), where), base_url="http://127.0.0.1") as client:
            assert contents(client, say(client, "one")) == ["one"]

    def test_live_streams_are_of_the_primary(self, split: TestClient) -> None:
        headers = say(split, "one")
        answer = split.get("/v1/sessions/trip/replay", params={"speed": "max"}, headers=headers)
        assert answer.status_code == 200
        assert "event: end" in answer.text
