"""The primary dies under a serving process, and its standby takes over.

A synchronous standby loses nothing that was acknowledged. An asynchronous one may, and that shows: the log
is in another epoch, and whoever holds a position of the one before is told from where to go on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

from recountdb.api.runtime import migrate_database
from recountdb.eventlog.integrity.verify import log_flaws
from recountdb.eventlog.log.epoch import load_epochs
from recountdb.eventlog.postgres.database import connect
from tests.support.ledger import count, found_at, talking
from tests.support.processes import wait_until
from tests.support.programs import need_postgres_15, need_program
from tests.support.serving import PATIENCE_SECONDS, add, started
from tests.support.standby import Pair, streaming


@pytest.fixture
def programs() -> Path:
    need_program("ps")
    return need_postgres_15("pg_basebackup")


@pytest.fixture
def pair(programs: Path) -> Iterator[Pair]:
    with streaming(programs) as pair:
        prepare(pair)
        yield pair


def prepare(pair: Pair) -> None:
    with connect(pair.primary.conninfo) as connection:
        migrate_database(connection)
    pair.wait_for_standby()


def added(client: httpx2.Client, text: str) -> int:
    """Add a message, again and again until it is taken; how many events there are in its session then."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = add(client, text)
        if answer.status_code == 201:
            version: int = answer.json()["version"]
            return version
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"].isdecimal()
        assert time.monotonic() < deadline, "nothing was taken any more"
        time.sleep(0.1)


def page(client: httpx2.Client, **query: Any) -> dict[str, Any]:
    answer = client.get("/v1/events", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_synchronous_standby_loses_nothing_that_was_acknowledged(programs: Path) -> None:
    with streaming(programs, is_synchronous=True) as pair:
        prepare(pair)
        with started(RECOUNT_DATABASE_URL=pair.both) as client:
            address = str(client.base_url)
            with talking(lambda: address, Random(7)) as (_, clients):
                wait_until(lambda: sum(len(one.acknowledged) for one in clients) > 40)
                pair.fail_over()
                before = sum(len(one.acknowledged) for one in clients)
                wait_until(lambda: sum(len(one.acknowledged) for one in clients) > before + 40)
            result = count(clients, found_at(address))
            assert result.acknowledged > 80
            assert result.is_clean, result
        with connect(pair.standby.conninfo) as connection:
            assert list(log_flaws(connection)) == []
            assert load_epochs(connection).current.number == 2


@pytest.mark.thorough
def test_what_an_asynchronous_standby_loses_is_told(pair: Pair, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        log.open("w") as file,
        started(RECOUNT_DATABASE_URL=pair.both, log=file) as client,
        httpx2.Client(base_url=client.base_url, timeout=PATIENCE_SECONDS) as follower,
    ):
        for number in range(5):
            add(client, f"kept {number}")
        wait_until(lambda: pair.primary.value("SELECT position FROM settled") == 6)
        pair.wait_for_standby()
        early = page(client, limit=3)["next_cursor"]
        pair.cut_off()
        for number in range(20):
            added(client, f"lost {number}")
        lost = page(client, limit=26)["items"]
        assert [one["position"] for one in lost] == list(range(1, 27))
        late = page(client, limit=25)["next_cursor"]
        with follower.stream("GET", "/v1/events/stream", params={"after": 26}) as stream:
            lines = stream.iter_lines()
            assert next(lines) == ": following"
            pair.fail_over()
            # The process held the session as it was, further on than the log is now.
            assert added(client, "after it") == 7
            told = next(line for line in lines if line.startswith("data: "))
        found = page(client, limit=1000)["items"]
        (first, *others) = {one["epoch"] for one in found[:6]}
        assert others == []
        (new,) = found[6:]
        assert new["epoch"] != first
        assert new["epoch"].startswith("2-")
        assert json.loads(told.removeprefix("data: "))["resume_from"] == f"{new['epoch']}:6"

        for place in ({"Last-Event-ID": "26"}, {"Last-Event-ID": "3"}):
            refused = client.get("/v1/events/stream", headers=place)
            assert refused.status_code == 410
            assert refused.json()["type"] == "urn:recount:problem:cursor-of-older-epoch"
        assert client.get("/v1/events/stream", params={"after": 26}).status_code == 410

        for cursor, position in ((late, 6), (early, 3)):
            refused = client.get("/v1/events", params={"cursor": cursor})
            problem = refused.json()
            assert refused.status_code == 410, problem
            assert problem["epoch"] == new["epoch"]
            assert problem["resume_from"] == f"{new['epoch']}:{position}"
            rest = page(client, cursor=problem["cursor"])["items"]
            assert [one["position"] for one in rest] == [
                one["position"] for one in found if one["position"] > position
            ]
        assert client.get("/v1/audit", params={"cursor": late}).status_code == 410
    assert "the log is in epoch 2-" in log.read_text()
    with connect(pair.standby.conninfo) as connection:
        assert list(log_flaws(connection)) == []
    verified = verify(pair.standby.conninfo)
    assert f"epoch {new['epoch']} began at" in verified
    assert "after position 6 may be lost" in verified


def verify(conninfo: str) -> str:
    command = [str(Path(sys.executable).with_name("recount")), "verify"]
    environment = {**os.environ, "RECOUNT_DATABASE_URL": conninfo}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
