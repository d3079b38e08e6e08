"""``recount rebuild`` as it is called: what it says and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from recountdb.api.background.tasks import BackgroundTasks
from recountdb.eventlog.postgres.clock import Clock
from recountdb.eventlog.postgres.database import connect
from recountdb.projections.views.tables import SHADOW, has_tables
from tests.acceptance.test_cli import Recount, program, recount, talk
from tests.support.processes import wait_until

__all__ = ["program", "recount", "talk"]

pytestmark = pytest.mark.usefixtures("talk")


def spoil(conninfo: str, sql: str) -> None:
    with connect(conninfo) as connection:
        connection.execute(sql.encode())


COUNT = "UPDATE sessions SET message_count = 99"
BROKEN = """
UPDATE stored_events SET state = '{"broken": true}'
 WHERE topic = 'session.started' AND originator_id = (SELECT stream_id FROM names WHERE name = 'talk')
"""
PAYLOAD = "UPDATE stored_events SET state = '{\"secret\": 1}' WHERE topic = 'session.started'"


def rows(conninfo: str) -> list[Any]:
    with connect(conninfo) as connection:
        return connection.execute("SELECT * FROM sessions ORDER BY number").fetchall()


@pytest.mark.parametrize(("option", "code"), [("--dry-run", 0), ("--verify-only", 1)])
def test_a_rehearsal_tells_and_changes_nothing(
    recount: Recount, conninfo: str, option: str, code: int
) -> None:
    spoil(conninfo, COUNT)
    before = rows(conninfo)
    told = recount("rebuild", option, "--json")
    assert told.code == code
    found = json.loads(told.out)
    assert (found["in_use"], found["differences"]) == (False, len(before))
    assert "differs in message_count" in told.err
    assert rows(conninfo) == before


def test_verify_only_ends_well_where_all_is(recount: Recount) -> None:
    checked = recount("rebuild", "--verify-only")
    assert checked.code == 0
    assert "0 rows differed" in checked.err


def test_only_the_views_that_are_named(recount: Recount, conninfo: str) -> None:
    spoil(conninfo, COUNT)
    assert "0 rows differed" in recount("rebuild", "users", "messages", "--dry-run").err
    assert json.loads(recount("rebuild", "sessions", "--json").out)["views"] == ["sessions"]
    assert "0 rows differed" in recount("rebuild", "--dry-run").err


def test_a_view_that_is_none(recount: Recount) -> None:
    refused = recount("rebuild", "nothing")
    assert refused.code == 2
    assert "there is no view of this name" in refused.err


def test_a_stream_that_cannot_be_read_stops_it_or_is_set_aside(recount: Recount, conninfo: str) -> None:
    spoil(conninfo, PAYLOAD)
    before = rows(conninfo)
    stopped = recount("rebuild")
    assert stopped.code == 1
    assert "ession.started at version 1 of stream" in stopped.err
    gone_on = recount("rebuild", "--quarantine", "--json")
    assert gone_on.code == 1
    assert len(json.loads(gone_on.out)["set_aside"]) == len(before)
    assert "session.started at version 1 of stream" in gone_on.err
    assert "secret" not in stopped.err + gone_on.err
    assert rows(conninfo) == before


def test_verify_tells_all_that_is_wrong_where_a_stream_cannot_be_read(
    recount: Recount, conninfo: str, tmp_path: Path
) -> None:
    """Of other streams, too; and it ends as with any other flaw, for the store is there."""
    file = tmp_path / "other.jsonl"
    file.write_text(json.dumps({"id": "other", "messages": [{"role": "user", "content": "x"}]}))
    assert recount("import", file).code == 0
    spoil(conninfo, BROKEN)
    spoil(conninfo, f"{COUNT} WHERE name = 'other'")
    ended = recount("verify")
    assert ended.code == 1
    assert "the event is not what was recorded" in ended.err
    assert "session.started at version 1 of stream" in ended.err
    assert "differs in message_count" in ended.err
    with connect(conninfo) as connection:
        assert not has_tables(connection, SHADOW)


def test_offline_needs_the_store_alone(recount: Recount, conninfo: str) -> None:
    with served(conninfo):
        refused = recount("rebuild", "--offline")
    assert refused.code == 3
    assert "stop it first" in refused.err
    spoil(conninfo, COUNT)
    assert "are in use" in recount("rebuild", "--offline").err
    assert "0 rows differed" in recount("rebuild", "--dry-run").err


@contextmanager
def served(conninfo: str) -> Iterator[None]:
    """A server, as far as the database can see it."""
    following = BackgroundTasks(conninfo, Clock(), allow_private=False)
    following.start()
    try:
        with connect(conninfo) as connection:
            wait_until(lambda: connection.execute(LEADS).fetchone() != (0,))
        yield
    finally:
        following.stop()


LEADS = """
SELECT count(*) FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND objid = 'stored_events'::regclass::oid
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def test_status_tells_which_views_are_to_be_rebuilt(recount: Recount, conninfo: str) -> None:
    assert "rebuild" not in recount("status").out
    spoil(conninfo, "UPDATE views SET version = 0 WHERE name IN ('users', 'names')")
    assert "run 'recount rebuild names users'" in recount("status").out
    assert recount("rebuild", "names", "users").code == 0
    assert json.loads(recount("status", "--json").out)["outdated_views"] == []
