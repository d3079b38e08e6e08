"""The views over HTTP: which there are, and rebuilding them in the background."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest
from starlette.testclient import TestClient

from recountdb.eventlog.postgres.advisory_locks import SHADOW_LOCK
from recountdb.eventlog.postgres.database import connect
from recountdb.projections.followers.eraser import SQL as ERASURE
from recountdb.projections.rebuild import progress as rebuilds
from recountdb.projections.rebuild import shadow
from recountdb.projections.views.registry import BY_NAME
from tests.support.hostile import assert_refused
from tests.support.processes import PATIENCE_SECONDS, wait_until
from tests.support.routes import Place, wait_for_rebuild

ADDRESS = "/v1/projections/rebuild"


@pytest.fixture
def log(conninfo: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        yield connection


def test_the_views_are_listed(client: TestClient) -> None:
    Place().furnish(client)
    found = client.get("/v1/projections").json()
    assert {view["name"]: view["rows"] for view in found["items"]} == {
        "names": 3,
        "sessions": 1,
        "threads": 1,
        "users": 1,
        "functions": 0,
        "states": 1,
        "messages": 2,
        "requests": 0,
    }
    assert all(view["rebuilt_at"] is None and not view["is_outdated"] for view in found["items"])
    assert found["rebuild"]["state"] == "none"


def test_a_rebuild_in_the_background_mends_the_views_it_names(
    client: TestClient, log: psycopg.Connection[tuple[object, ...]]
) -> None:
    place = Place()
    place.furnish(client)
    log.execute("UPDATE sessions SET message_count = 9")
    log.execute("UPDATE threads SET message_count = 9")
    answer = client.post(ADDRESS, json={"views": ["sessions"]})
    assert answer.status_code == 202
    assert answer.headers["location"] == ADDRESS
    assert answer.json()["state"] == "running"
    assert answer.json()["views"] == ["sessions"]
    done = wait_for_rebuild(client)
    assert (done["state"], done["error"], done["differences"]) == ("done", None, 1)
    assert done["events_done"] == done["events"] == 6
    assert done["locked_seconds"] > 0
    assert client.get(f"/v1/sessions/{place.session_id}").json()["message_count"] == 1
    assert client.get(f"/v1/threads/{place.thread_id}").json()["message_count"] == 9
    rebuilt = {view["name"]: view["rebuilt_at"] for view in client.get("/v1/projections").json()["items"]}
    assert [name for name in rebuilt if rebuilt[name]] == ["sessions"]


def test_a_rehearsal_changes_nothing(client: TestClient, log: psycopg.Connection[tuple[object, ...]]) -> None:
    place = Place()
    place.furnish(client)
    log.execute("UPDATE sessions SET message_count = 9")
    assert client.post(ADDRESS, json={"dry_run": True}).json()["views"] == list(BY_NAME)
    done = wait_for_rebuild(client)
    assert (done["state"], done["differences"], done["locked_seconds"]) == ("done", 1, None)
    assert client.get(f"/v1/sessions/{place.session_id}").json()["message_count"] == 9


def test_a_second_one_is_refused_while_one_is_under_way(client: TestClient, conninfo: str) -> None:
    with connect(conninfo) as connection, shadow.hold_rebuild_lock(connection):
        problem = assert_refused(client.post(ADDRESS, json={}), 409)
        assert problem["type"] == "urn:recount:problem:rebuild-under-way"
    assert client.post(ADDRESS, json={"dry_run": True}).status_code == 202
    assert wait_for_rebuild(client)["state"] == "done"


def test_one_that_was_killed_says_so(client: TestClient, log: psycopg.Connection[tuple[object, ...]]) -> None:
    log.execute("INSERT INTO rebuilds (views, is_rehearsal, events) VALUES ('{users}', false, 0)")
    assert client.get(ADDRESS).json()["state"] == "stopped"


def test_one_that_fails_says_where(client: TestClient, log: psycopg.Connection[tuple[object, ...]]) -> None:
    Place().furnish(client)
    log.execute("UPDATE stored_events SET state = '{\"secret\": 1}' WHERE topic = 'user.created'")
    log.execute("UPDATE stored_events SET state = '{\"secret\": 1}' WHERE topic = 'session.started'")
    client.post(ADDRESS, json={})
    failed = wait_for_rebuild(client)
    assert failed["state"] == "failed"
    assert "at version 1 of stream" in failed["error"]
    assert "secret" not in failed["error"]


def test_a_view_that_is_none_is_named(client: TestClient) -> None:
    problem = assert_refused(client.post(ADDRESS, json={"views": ["nothing"]}), 422)
    assert problem["errors"][0]["field"] == "views"


def test_an_outdated_view_is_told(client: TestClient, log: psycopg.Connection[tuple[object, ...]]) -> None:
    log.execute("UPDATE views SET version = 0 WHERE name = 'users'")
    views = client.get("/v1/projections").json()["items"]
    assert [view["name"] for view in views if view["is_outdated"]] == ["users"]
    client.post(ADDRESS, json={"views": ["users"]})
    assert wait_for_rebuild(client)["state"] == "done"
    assert not any(view["is_outdated"] for view in client.get("/v1/projections").json()["items"])


def test_as_soon_as_one_is_done_another_may_begin(client: TestClient) -> None:
    for _ in range(5):
        assert client.post(ADDRESS, json={"views": ["users"], "dry_run": True}).status_code == 202
        wait_until(lambda: client.get(ADDRESS).json()["state"] in ("done", "failed"))
        assert client.get(ADDRESS).json()["state"] == "done"


def test_one_whose_end_is_noted_runs_until_its_lock_is_given_back(client: TestClient, conninfo: str) -> None:
    with connect(conninfo) as connection:
        with shadow.hold_rebuild_lock(connection):
            number = rebuilds.record_start(connection, ["users"], is_rehearsal=True)
            rebuilds.record_end(connection, number, rebuilds.Findings(), None)
            assert client.get(ADDRESS).json()["state"] == "running"
        assert client.get(ADDRESS).json()["state"] == "done"


def test_what_is_being_erased_does_not_refuse_one(client: TestClient, conninfo: str) -> None:
    with connect(conninfo) as connection, connection.transaction():
        connection.execute(ERASURE["try_share"], [SHADOW_LOCK])
        started = threading.Thread(target=client.post, args=(ADDRESS,), kwargs={"json": {"dry_run": True}})
        started.start()
        waiting = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        with connect(conninfo) as watcher:
            wait_until(lambda: watcher.execute(waiting).rowcount > 0)
    started.join(PATIENCE_SECONDS)
    wait_until(lambda: client.get(ADDRESS).json()["state"] == "done")
