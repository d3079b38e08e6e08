"""LangChain's own classes for Motorhead, in Python and JavaScript, against a server of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.support.clients import Client, needed, node_client, python_client

PROGRAMS = Path(__file__).parent / "motorhead"
PYTHON = {
    "0.4.2": ["langchain-community==0.4.2", "langchain-classic"],
    "0.3.31": ["langchain-community==0.3.31", "langchain<1"],
}
# Of the packages that it says it needs beside it, most are for other classes.
JAVASCRIPT = ["@langchain/community@0.3.57", "@langchain/core@0.3.80", "langchain@0.3", "--legacy-peer-deps"]
SAID = [["human", "I fly to Lisbon: tomorrow"], ["ai", "Have fun"], ["human", "Thank you"], ["ai", ""]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def run(client: Client, program: str, *arguments: str) -> Any:
    return client.run((PROGRAMS / program).read_text(encoding="utf-8"), *arguments)


def summarise(address: str, key: str = "") -> None:
    """What an application does that makes its own summaries."""
    path = f"/key/{key}/sessions/summarised/memory" if key else "/sessions/summarised/memory"
    body = b'{"messages": [], "context": "Ana flies to Lisbon."}'
    request = Request(address + path, body, {"Content-Type": "application/json"}, method="POST")
    assert urlopen(request, timeout=10).status == 200


def expected(found: Any) -> Any:
    whole = {"before": [], "said": SAID, "contexts": [None, "Ana flies to Lisbon."]}
    if "deleted" in found:
        history = "Human: I fly to Lisbon: tomorrow\nAI: Have fun\nHuman: Thank you\nAI: "
        whole |= {"deleted": [], "history": history}
    return whole


@pytest.mark.parametrize("version", PYTHON)
def test_python(address: str, version: str) -> None:
    client = needed(python_client, *PYTHON[version])
    summarise(address)
    found = run(client, "memory.py", address)
    assert found == expected(found)


def test_javascript(address: str) -> None:
    client = needed(node_client, *JAVASCRIPT)
    summarise(address)
    found = run(client, "memory.mjs", address)
    assert found == expected(found)


def test_python_with_the_key_in_the_path_or_as_a_password(address: str, key_for: Callable[..., str]) -> None:
    client = needed(python_client, *PYTHON["0.4.2"])
    host = address.removeprefix("http://")
    for project, url in (("path", "http://{host}/key/{key}"), ("password", "http://anybody:{key}@{host}")):
        key = key_for(project)
        summarise(address, key)
        found = run(client, "memory.py", url.format(host=host, key=key))
        assert found == expected(found)


def test_python_with_a_key_for_the_managed_edition(address: str, key_for: Callable[..., str]) -> None:
    """It deletes without any header, so its deletion comes to nothing here, as it did there."""
    client = needed(python_client, *PYTHON["0.4.2"])
    key = key_for()
    summarise(address, key)
    found = run(client, "memory.py", f"{address}/v1/motorhead", key)
    assert found == expected(found) | {"deleted": SAID}


def test_javascript_with_a_key_for_the_managed_edition_or_in_the_path(
    address: str, key_for: Callable[..., str]
) -> None:
    client = needed(node_client, *JAVASCRIPT)
    for project in ("managed", "path"):
        key = key_for(project)
        summarise(address, key)
        urls = {"managed": [f"{address}/v1/motorhead", key], "path": [f"{address}/key/{key}"]}
        found = run(client, "memory.mjs", *urls[project])
        assert found == expected(found)
