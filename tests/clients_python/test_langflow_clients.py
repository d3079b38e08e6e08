"""Langflow's own components, run by its own executor (lfx), on a Recount server (§8)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.clients import needed, python_client

CLIENT = Path(__file__).parents[2] / "clients/python"
PROGRAM = Path(__file__).with_name("langflow") / "flows.py"
MONITOR = "/api/v1/monitor/messages"

pytestmark = pytest.mark.timeout(600)


def client_requirements() -> list[str]:
    """Return what the client needs: it has to fit into Langflow's environment."""
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["dependencies"])


def test_flows_remember_by_recount(shared_address: str) -> None:
    lfx = needed(python_client, "lfx==1.13.0", *client_requirements())
    program = PROGRAM.read_text(encoding="utf-8")
    told: dict[str, Any] = lfx.run(program, shared_address, PYTHONPATH=str(CLIENT))
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
    with httpx2.Client(base_url=shared_address) as server:
        listed = server.get(MONITOR, params={"flow_id": told["flow"], "end_user_id": told["user"]}).json()
        assert [(item["sender"], item["text"]) for item in listed] == [
            ("User", "one"),
            ("Machine", "one"),
            ("User", "two"),
            ("Machine", "two"),
            ("User", "kept"),
            ("Machine", "by and by"),
        ]
        assert len(server.get(MONITOR).json()) == 10
        session = f"/v1/sessions/s/messages?scope={told['flow']}&order=oldest"
        native = server.get(session).json()["items"]
        assert [message["role"] for message in native[:2]] == ["user", "assistant"]
        assert native[0]["user_id"] == told["user"]
