"""How deep documents may be, to the level."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from tests.contract.hostile import assert_refused

JSON = {"Content-Type": "application/json"}


def nested(levels: int, *, objects: bool, leaf: str) -> str:
    opening, closing = ('{"a":', "}") if objects else ("[", "]")
    return opening * levels + (leaf or ('""' if objects else "")) + closing * levels


@pytest.mark.parametrize("leaf", ["1", ""], ids=["with a leaf", "empty"])
@pytest.mark.parametrize("objects", [False, True], ids=["arrays", "objects"])
@pytest.mark.parametrize("place", ["content", "metadata", "state"])
def test_a_hundred_levels_come_back_and_one_more_is_refused(
    shared: TestClient, place: str, objects: bool, leaf: str
) -> None:
    if place == "content":
        url = f"/v1/sessions/{uuid4()}/messages"
        answers = [send(shared, "POST", url, '{"messages":[{"role":"user","content":[%s]}]}', level, objects, leaf)
                   for level in (99, 100)]
    elif place == "metadata":
        answers = [send(shared, "POST", "/v1/threads", '{"metadata":{"a":%s}}', level, objects, leaf)
                   for level in (99, 100)]
    else:
        url = f"/v1/threads/{uuid4()}/state"
        answers = [send(shared, "PUT", url, '{"state":%s}', level, objects, leaf) for level in (100, 101)]
    taken, refused = answers
    assert taken.status_code < 300, taken.text
    assert_refused(refused, 422)


def send(client: TestClient, method: str, url: str, body: str, levels: int, objects: bool, leaf: str) -> Any:
    text = body % nested(levels, objects=objects, leaf=leaf)
    answer = client.request(method, url, content=text, headers=JSON)
    if answer.status_code < 300:
        assert json.dumps(json.loads(text)["state"] if "state" in text else 0) in ("0", json.dumps(answer.json().get("state")))
    return answer
