"""How deep documents may be, to the level."""

from __future__ import annotations

from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from recountdb.domain.values import DEPTH_MAX
from tests.support.hostile import assert_refused

JSON = {"Content-Type": "application/json"}

PLACES = {
    "content": ("POST", "/v1/sessions/{}/messages", '{"messages":[{"role":"user","content":[%s]}]}', 1),
    "metadata": ("POST", "/v1/sessions/{}/messages", '{"messages":[{"role":"user","metadata":{"a":%s}}]}', 1),
    "tool call": ("POST", "/v1/threads/{}/messages", '{"messages":[{"role":"user","tool_calls":[%s]}]}', 0),
    "state": ("PUT", "/v1/threads/{}/state", '{"state":%s}', 0),
}
"""How to send a document there, and in how many levels of its own the place puts it."""


@pytest.mark.parametrize("leaf", ["1", "[]", "{}"])
@pytest.mark.parametrize(("opening", "closing"), ["[]", ('{"a":', "}")], ids=["arrays", "objects"])
@pytest.mark.parametrize("place", PLACES)
def test_a_hundred_levels_are_taken_and_one_more_is_refused(
    shared: TestClient, place: str, opening: str, closing: str, leaf: str
) -> None:
    method, url, body, around = PLACES[place]
    room = DEPTH_MAX - around - (leaf != "1")
    for levels in (room, room + 1):
        text = body % (opening * levels + leaf + closing * levels)
        answer = shared.request(method, url.format(uuid4()), content=text, headers=JSON)
        if levels == room:
            assert answer.status_code < 300, answer.text
            assert opening * levels + leaf in answer.text
        else:
            assert_refused(answer, 422)


def test_a_list_in_a_query_may_be_any_text(shared: TestClient) -> None:
    deep = "[" * 8000
    answer = shared.get(f"/api/v1/chatmessage/{uuid4()}", params={"chatType": deep, "feedbackType": deep})
    assert (answer.status_code, answer.json()) == (200, [])
