"""Zep's own clients, and LangChain on them, against a server with keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import needed, node_client, python_client

PROGRAMS = Path(__file__).with_name("zep")
PYTHON, NODE = "zep-python==1.5.0", "@getzep/zep-js@0.10.0"
# The packages disagree on a version of theirs that nothing here uses.
LANGCHAIN_JS = (
    "@langchain/community@0.3.0",
    "@langchain/core@0.3.0",
    "langchain@0.3.0",
    "--legacy-peer-deps",
)
TEA = "I would like green tea"

pytestmark = pytest.mark.timeout(600)


def program(name: str) -> str:
    return (PROGRAMS / name).read_text(encoding="utf-8")


def expected(prefix: str) -> dict[str, Any]:
    """What either client sees, under the names of zep-python's program."""
    others = ["APIError", "NotFoundError", "NotFoundError", "NotFoundError", "APIError"]
    return {
        "user": ["a@example.org", "Cy", {"name": "cy", "more": 1}],
        "users": [f"{prefix}-ana", f"{prefix}-bo", f"{prefix}-cy"],
        "session": {"a": {"b": 1, "c": 2}},
        "sessions": [f"{prefix} session", f"{prefix} 0", f"{prefix} 1", f"{prefix} 2"],
        "of user": [f"{prefix} session"],
        "added": "OK",
        "memory": [["human", TEA, {"n": 1}], ["ai", "Coming up", {"n": 2}]],
        "summary": "",
        "lastn": ["Coming up"],
        "similarity": [TEA],
        "mmr": [TEA],
        "summaries": [],
        "page": [TEA, "Coming up"],
        "page 2": ["Coming up"],
        "changed": {"n": 2, "seen": True},
        "deleted": "OK",
        "errors": ["NotFoundError", *others],
        "gone": ["NotFoundError", None],
    }


@pytest.mark.parametrize("mode", ["plain", "async"])
def test_zep_python(address: str, key_for: Callable[..., str], mode: str) -> None:
    client = needed(python_client, PYTHON)
    told = client.run(program("every_method.py"), address, mode, key_for(), "wrong")
    wanted = expected(mode)
    wanted["errors"].append("AuthError")
    assert told == wanted


def test_zep_js(address: str, key_for: Callable[..., str]) -> None:
    client = needed(node_client, NODE)
    told = client.run(program("every_method.mjs"), address, key_for(), "wrong")
    wanted = expected("js")
    wanted["warnings"] = []
    wanted["errors"].append("AuthenticationError")
    assert told == wanted


def test_langchain(address: str, key_for: Callable[..., str]) -> None:
    client = needed(python_client, PYTHON, "langchain-community==0.3.0")
    told = client.run(program("langchain.py"), address, key_for())
    after = [["human", "I would like tea"], ["ai", "Coming up"], ["human", "And milk"], ["ai", "Of course"]]
    assert told == {"before": [], "after": after, "summary": "", "found": "And milk", "cleared": []}


def test_langchain_js(address: str, key_for: Callable[..., str]) -> None:
    client = needed(node_client, NODE, *LANGCHAIN_JS)
    told = client.run(program("langchain.mjs"), address, key_for())
    after = "Human: I would like tea\nAI: Coming up"
    assert told == {"before": "", "after": after, "cleared": ""}
