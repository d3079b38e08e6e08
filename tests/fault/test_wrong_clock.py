"""A server process whose clock is wrong (libfaketime): the times of events are the database's."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from tests.support.killing import RECOUNT, Served, environment
from tests.support.programs import need_program

BODY = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize("shift", ["+40d", pytest.param("-40d", marks=pytest.mark.thorough)])
def test_events_are_right_and_nothing_is_purged(conninfo: str, tmp_path: Path, shift: str) -> None:
    need_program("faketime")
    preload = subprocess.run(
        ["faketime", "-m", "-f", shift, "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True
    )
    wrong = {"LD_PRELOAD": preload.stdout.strip(), "FAKETIME": shift, "RECOUNT_DATABASE_URL": conninfo}
    served = Served(tmp_path, **wrong)
    served.start()
    try:
        with httpx2.Client(base_url=served.address, timeout=30) as http:
            assert http.post("/v1/sessions/s/messages", json=BODY).status_code == 201
            for event in http.get("/v1/events").json()["items"]:
                at = datetime.fromisoformat(event["recorded_at"])
                assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)
            assert (
                http.get("/v1/sessions/s", params={"as_of": datetime.now(UTC).isoformat()}).status_code == 200
            )
            assert http.delete("/v1/sessions/s").is_success
            refused = http.post("/v1/purges", json={"older_than_days": 0, "reason": "x"})
            assert refused.status_code == 503, refused.text
            assert "40 days" in refused.json()["detail"]
            command = [str(RECOUNT), "purge", "--older-than", "0m"]
            purge = subprocess.run(
                command, env=environment(**wrong), capture_output=True, text=True, check=False
            )
            assert purge.returncode == 3, purge.stderr
            assert "nothing is purged until they agree" in purge.stderr
            assert http.post("/v1/sessions/s/undelete").status_code == 200
    finally:
        served.end()
