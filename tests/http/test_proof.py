"""A proof that leaves the store: checked by the script that is made for it, in a Python without Recount."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from recountdb.eventlog.integrity.checkpoints import take_checkpoints
from recountdb.eventlog.postgres.database import Database
from tests.support.proofs import run_checker

Proof = dict[str, Any]


@pytest.fixture
def proof(client: TestClient, database: Database) -> Proof:
    """Of a session among others, half of it under a checkpoint."""
    for number in range(5):
        for name in ("other", "trip", "another"):
            said = [{"role": "user", "content": f"Grüße {number}\n"}]
            client.post(f"/v1/sessions/{name}/messages", json={"messages": said})
        if number == 2:
            take_checkpoints(database)
    found: Proof = client.get("/v1/sessions/trip/proof").json()
    return found


def test_it_holds_and_shows_what_was_said(proof: Proof, tmp_path: Path) -> None:
    code, said = run_checker(proof, tmp_path)
    assert code == 0
    assert said.count("session.message-added") == 5
    assert "Grüße 4" in said
    assert "HOLDS: 6 events; covered by a checkpoint: up to version 4" in said


def test_a_digest_written_down_elsewhere_is_compared(proof: Proof, tmp_path: Path) -> None:
    digest = proof["checkpoint"]["digest"]
    assert run_checker(proof, tmp_path, "--digest", digest)[0] == 0
    code, said = run_checker(proof, tmp_path, "--digest", "00" * 32)
    assert code == 1
    assert "the digest is another one" in said


def test_before_any_checkpoint_the_chain_is_all_there_is(client: TestClient, tmp_path: Path) -> None:
    client.post("/v1/sessions", json={"session_id": "new"})
    proof = client.get("/v1/sessions/new/proof").json()
    assert proof["checkpoint"] is None
    assert run_checker(proof, tmp_path)[0] == 0
    assert run_checker(proof, tmp_path, "--digest", "00" * 32)[0] == 1


CHANGES: dict[str, Callable[[Proof], object]] = {
    "other words": lambda p: p["events"][2].update(
        payload=p["events"][2]["payload"].replace("Grüße", "Grusse")
    ),
    "another time": lambda p: p["events"][2].update(recorded_at=p["events"][2]["recorded_at"] + 1),
    "another topic": lambda p: p["events"][2].update(topic="session.deleted"),
    "another project": lambda p: p["events"][2].update(project="other"),
    "another salt": lambda p: p["events"][2].update(salt="00" * 16),
    "an event less": lambda p: p["events"].pop(2),
    "an event of another": lambda p: p.update(stream_id="00000000-0000-0000-0000-000000000001"),
    "another order": lambda p: p["events"].insert(1, p["events"].pop(2)),
    "another place in the log": lambda p: p["checkpoint"].update(event_position=1),
    "another path": lambda p: p["checkpoint"]["path"].__setitem__(0, "00" * 32),
    "a shorter path": lambda p: p["checkpoint"]["path"].pop(),
    "another number of events": lambda p: p["checkpoint"].update(events=p["checkpoint"]["events"] + 1),
    "another root": lambda p: p["checkpoint"].update(root="00" * 32),
    "another digest": lambda p: p["checkpoint"].update(digest="00" * 32),
    "another event covered": lambda p: p["checkpoint"].update(version=3),
    "no checkpoint at all": lambda p: p.pop("checkpoint"),
    "no numbers": lambda p: p["events"][0].update(version="1"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_no_part_of_it_can_be_changed(
    proof: Proof, tmp_path: Path, change: Callable[[Proof], object]
) -> None:
    change(proof)
    code, said = run_checker(proof, tmp_path)
    assert code == 1
    assert said.startswith("DOES NOT HOLD: ")


def test_what_is_no_proof_does_not_hold(tmp_path: Path) -> None:
    nonsenses: list[object] = [None, [], {}, "text", {"events": 1}]
    for nonsense in nonsenses:
        assert run_checker(nonsense, tmp_path)[0] == 1
