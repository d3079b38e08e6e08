"""Messages with ids of their caller's: whatever came before, an answer of success can be read at once."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.support.talk import Talk

IDS = [str(UUID(int=number, version=4)) for number in range(1, 4)]

messages = st.fixed_dictionaries(
    {"id": st.sampled_from(IDS), "role": st.just("user"), "content": st.sampled_from(["tea", "milk"])},
    optional={"user_id": st.just("ana")},
)
batches = st.lists(messages, min_size=1, max_size=3, unique_by=lambda message: message["id"])
steps = st.one_of(
    st.tuples(st.sampled_from(["native", "native", "langmem"]), batches),
    st.tuples(st.sampled_from(["remove", "change"]), st.sampled_from(IDS)),
    st.tuples(st.sampled_from(["delete", "undelete", "purge", "purge user"]), st.none()),
)


@pytest.mark.parametrize("kind", ["sessions", "threads"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, min_size=2, max_size=8))
def test_what_was_answered_can_be_read(shared: TestClient, kind: str, history: list[tuple[str, Any]]) -> None:
    talk = Talk(shared, f"/v1/{kind}/{uuid4()}")
    for step, argument in history:
        match step:
            case "native":
                answer = talk.post({"messages": argument})
                assert answer.status_code in (201, 409)
                if answer.status_code == 201:
                    check_readable(talk, [message["id"] for message in answer.json()["messages"]])
            case "langmem" if kind == "threads":
                answer = shared.post(f"/threads/{talk.name}/add_messages", json={"messages": argument})
                assert answer.status_code == 200
                check_readable(talk, answer.json()["message_ids"])
            case "remove":
                talk.remove(argument)
            case "change":
                talk.change(argument, {"content": "coffee"})
            case "delete":
                talk.delete()
            case "undelete":
                talk.undelete()
            case "purge":
                assert shared.post(f"{talk.path}/purge", json={}).status_code in (200, 404)
            case "purge user":
                assert shared.post("/v1/users/ana/purge", json={}).status_code in (200, 404)


def check_readable(talk: Talk, ids: list[str]) -> None:
    listed = {message["id"] for message in talk.page(limit=100).json()["items"]}
    assert listed >= set(ids)
    assert all(talk.message(message_id).status_code == 200 for message_id in ids)
