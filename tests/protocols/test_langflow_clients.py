"""Langflow's own components, run by its own executor (lfx), on Recount's store within their process (§8)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.clients import needed, python_client

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("langflow") / "flows.py"
MONITOR = "/api/v1/monitor/messages"

# And what it wants older than our newest: pip finds out by itself, yet takes very long.
LFX = ("lfx==1.13.0", "packaging<25", "pydantic<2.14", "rich<14", "uuid-utils<1")

pytestmark = pytest.mark.timeout(600)


def dependencies() -> list[str]:
    """Ours, by their bounds: both have to fit into one process."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["dependencies"])


def test_flows_remember_by_recount(conninfo: str, client: TestClient) -> None:
    lfx = needed(python_client, *LFX, *dependencies())
    program = PROGRAM.read_text(encoding="utf-8")
    told: dict[str, Any] = lfx.run(program, conninfo, PYTHONPATH=str(ROOT / ".package"))
    assert told["early"] == ""
    # Neither another flow's nor another user's, nor what an anonymous run said.
    assert told["all"] == "User: one\nAI: one\nUser: two\nAI: two"
    assert told["others"] == ["User: elsewhere\nAI: elsewhere", "User: another's\nAI: another's"]
    assert told["last three"] == "AI: one\nUser: two\nAI: two"
    assert told["newest first"] == "AI: two\nUser: two"
    assert told["by the user"] == "<one>\n<two>"
    assert told["kept"] == [True, "kept", "User", "Ana", "c"]
    assert told["by context"] == "Ana: kept"
    assert told["an agent's"] == [["kept", True]]
    assert told["streamed"] == ["by and by", "by and by", False, "complete"]

    # What was said from within is read over HTTP, and is a session like any other.
    listed = client.get(MONITOR, params={"flow_id": told["flow"], "end_user_id": told["user"]}).json()
    assert [(item["sender"], item["text"]) for item in listed] == [
        ("User", "one"),
        ("Machine", "one"),
        ("User", "two"),
        ("Machine", "two"),
        ("User", "kept"),
        ("Machine", "by and by"),
    ]
    assert len(client.get(MONITOR).json()) == 10
    session = f"/v1/sessions/s/messages?scope={told['flow']}&order=oldest"
    native = client.get(session).json()["items"]
    assert [message["role"] for message in native[:2]] == ["user", "assistant"]
    assert native[0]["user_id"] == told["user"]
