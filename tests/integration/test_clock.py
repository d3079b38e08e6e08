"""Servers whose clocks are wrong: events bear the database's time, and nothing is purged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

import recountdb.eventlog.postgres.clock
from recountdb.api.app import create_app
from recountdb.api.services.purge import days_ago, purge_due, purge_targets
from recountdb.api.settings import Settings
from recountdb.domain.commands.common import Delete
from recountdb.domain.commands.conversations import AddMessages
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.clock import Clock, ClocksApart
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.queries.purge import find_deleted
from recountdb.projections.views.registry import CoreViews
from tests.support.processes import context
from tests.support.stories import say

DAY = 86_400.0
MINUTE = timedelta(minutes=1)
BODY = {"messages": [{"role": "user", "content": "hello"}]}


def database_time(database: Database) -> datetime:
    ((moment,),) = database.fetch("SELECT clock_timestamp()")
    assert isinstance(moment, datetime)
    return moment


@pytest.fixture(params=[40 * DAY, -40 * DAY], ids=["40 days ahead", "40 days behind"])
def wrong(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """By how much the clock of every server made within the test is ahead, in seconds."""
    ahead: float = request.param
    defaults = dict(Clock.__init__.__kwdefaults__ or {})
    monkeypatch.setattr(Clock.__init__, "__kwdefaults__", defaults | {"wall": lambda: time.time() + ahead})
    return ahead


@pytest.fixture
def client(wrong: float, conninfo: str) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(), conninfo), base_url="http://127.0.0.1") as client:
        yield client


def right_now(answer: Any, database: Database) -> bool:
    return abs(datetime.fromisoformat(answer) - database_time(database)) < MINUTE


class TestServer:
    def test_events_bear_the_databases_time(self, client: TestClient, database: Database) -> None:
        message = client.post("/v1/sessions/s/messages", json=BODY).json()["messages"][0]
        assert right_now(message["recorded_at"], database)
        client.put("/v1/users/ana", json={})
        for event in client.get("/v1/events").json()["items"]:
            assert right_now(event["recorded_at"], database)

    def test_a_session_is_there_as_of_now(self, client: TestClient, database: Database) -> None:
        client.post("/v1/sessions/s/messages", json=BODY)
        now = database_time(database).isoformat()
        assert client.get("/v1/sessions/s", params={"as_of": now}).status_code == 200

    def test_nothing_is_purged_and_what_was_deleted_comes_back(self, client: TestClient) -> None:
        client.post("/v1/sessions/s/messages", json=BODY)
        client.delete("/v1/sessions/s")
        for path, body in (
            ("/v1/purges", {"older_than_days": 30, "reason": "x"}),
            ("/v1/sessions/s/purge", {"reason": "x"}),
        ):
            refused = client.post(path, json=body)
            assert refused.status_code == 503, refused.text
            assert "40 days" in refused.json()["detail"]
            assert int(refused.headers["retry-after"]) > 0
        assert client.post("/v1/sessions/s/undelete").status_code == 200

    def test_the_difference_is_a_metric(self, client: TestClient, wrong: float) -> None:
        lines = client.get("/metrics").text.splitlines()
        (line,) = [line for line in lines if line.startswith("recount_clock_difference_seconds")]
        assert float(line.split()[1]) == pytest.approx(wrong, abs=60)


@pytest.mark.parametrize("retention_days", [0, 30])
def test_the_purge_job_is_refused(wrong: float, conninfo: str, retention_days: float) -> None:
    database = Database(conninfo)
    database.open()
    application = Recount(database, CoreViews(database))
    try:
        application.execute(AddMessages(kind="session", name="s", messages=say("hello")), context())
        application.execute(Delete(kind="session", name="s"), context())
        with pytest.raises(ClocksApart, match="nothing is purged until they agree"):
            purge_due(application, retention_days)
        with pytest.raises(ClocksApart):
            days_ago(database, retention_days)
        targets = list(find_deleted(database, datetime.now(UTC)))
        assert targets
        with pytest.raises(ClocksApart):
            purge_targets(application, targets, lambda project: context(), reason=None, insist=True)
        assert list(find_deleted(database, datetime.now(UTC))) == targets
    finally:
        application.close()
        database.close()


def test_a_jump_of_the_wall_clock_leaves_the_times_of_events_alone(conninfo: str) -> None:
    ahead = 0.0
    database = Database(conninfo, clock=Clock(wall=lambda: time.time() + ahead))
    database.open()
    try:
        for ahead in (0.0, 5 * DAY, -5 * DAY):  # noqa: B007 - read by the clock
            assert abs(database.clock.now() - database_time(database)) < MINUTE
    finally:
        database.close()


def test_each_append_measures_the_clock(application: Recount, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[datetime] = []
    monkeypatch.setattr(
        recountdb.eventlog.postgres.clock.Clock,
        "take",
        lambda self, moment, *, asked_at: taken.append(moment),
    )
    application.execute(AddMessages(kind="session", name="s", messages=say("hello")), context())
    assert taken
