"""The real client, langmem 0.0.4, and its own adapters, against a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import needed, python_client

PROGRAMS = Path(__file__).with_name("langmem")
CLIENT = "langmem==0.0.4"
ADAPTERS = (CLIENT, "langchain==0.1.16", "langgraph==0.0.26")

LISTING = "import json, langmem\nprint(json.dumps(langmem.Client().list_threads()))"
REFUSED = """
import json, langmem
try:
    langmem.Client().list_threads()
except Exception as error:
    print(json.dumps(str(error)))
"""


def program(name: str) -> str:
    return (PROGRAMS / f"{name}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("way", ["sync", "async"])
def test_every_call(address: str, way: str) -> None:
    client = needed(python_client, CLIENT)
    told: dict[str, Any] = client.run(program("every_call"), way, LANGMEM_API_URL=address)
    assert told["early messages"] == []
    assert told["early state"] == {"state": None}
    assert told["early query"] == {"memories": [], "state": [], "thread_summaries": []}
    assert "404" in told["early thread"]
    assert told["contents"] == ["A chai, please.", [{"type": "text", "text": "Coming up!"}], "Thanks!"]
    assert told["first"].keys() == {"role", "content", "name", "metadata"}
    assert (
        told["first"]["metadata"].items()
        >= {"mood": "calm", "timestamp": "2024-04-06T12:00:00+00:00"}.items()
    )
    assert told["user ids"] == [True, False, True]
    assert told["backwards"] == told["contents"][::-1]
    assert told["given id"] is True
    assert told["limited"] == 2
    assert told["thread"] is True
    assert told["threads"] is True
    assert told["metadata"] == {"topic": "tea"}
    assert told["states"] == [{"state": {"step": 1}}, {"state": {"step": 2}}]
    assert told["spoke"] == "Ana"
    assert told["changed"] == ["Bob", ["old"], {"since": 2024}]
    assert told["by name"] is True
    assert told["by id"] == ["Ana"]
    assert told["function"] == ["user_state", "Profile", "Who they are.", "active"]
    assert told["parameters"] == ["name"]
    assert told["same function"] is True
    assert told["kinds"] == {"user": ["user_semantic_memory", "user_state"], "thread": ["thread_summary"]}
    assert told["all functions"] == 3
    assert told["updated"] == ["Newer", "disabled", ["nickname"]]
    assert told["no memory"] is None
    assert told["memory"] == {"name": "Ana"}
    assert told["query"] == {"memories": [], "state": [None, {"name": "Ana"}], "thread_summaries": []}
    assert told["deleted memory"] is None
    assert told["thread memories"] == []
    assert "404" in told["summary"]
    assert "404" in told["deleted function"]
    assert "422" in told["refused"]
    if way == "async":
        assert told["user memories"] == {"type": "user_state", "state": {"name": "Ana"}}


def test_a_key_and_a_path_before_the_address(address: str, key_for: Any) -> None:
    client = needed(python_client, CLIENT)
    key = key_for()
    assert client.run(LISTING, LANGMEM_API_URL=address, LANGMEM_API_KEY=key) == []
    assert client.run(LISTING, LANGMEM_API_URL=f"{address}/key/{key}") == []
    assert "401" in client.run(REFUSED, LANGMEM_API_URL=address, LANGMEM_API_KEY="wrong")


def test_the_adapters(address: str) -> None:
    client = needed(python_client, *ADAPTERS)
    told = client.run(program("adapters"), LANGMEM_API_URL=address)
    assert told["empty"] == told["async empty"] == []
    assert told["history"] == [
        ["system", "Be kind."],
        ["human", "A chai, please."],
        ["ai", ""],
        ["tool", "done"],
        ["ai", ""],
        ["ai", "Coming up!"],
    ]
    assert told["tool calls"] == [False, False, True, False, False, False]
    assert told["function calls"] == [False, False, False, False, True, False]
    assert told["null contents"] == [False, False, True, False, True, False]
    assert told["user"] == "Ana"
    assert told["checkpoint"] is True
    assert told["graph"] == ["A chai, please.", "1. Coming up!"]
    assert told["resumed"] == ["A chai, please.", "1. Coming up!", "And another.", "3. Coming up!"]
    last = [*told["resumed"], "And a last one.", "5. Coming up!"]
    assert told["resumed asynchronously"] == last
