"""Writes that can be sent again: by an Idempotency-Key, and by message ids of the client's own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from tests.support.http_client import open_client
from tests.support.processes import in_threads
from tests.support.routes import (
    ROUTES,
    WEBHOOK,
    Place,
    Route,
    body_for,
    call,
    make_ready,
    wait_for_rebuild,
)
from tests.support.talk import Talk

WRITES = [route for route in ROUTES if route.writes]
OF_ONE_REQUEST = {"x-request-id", "date"}


def said(answer: Response) -> tuple[int, dict[str, str], bytes]:
    """All of an answer but what each request has of its own."""
    headers = {name: value for name, value in answer.headers.items() if name not in OF_ONE_REQUEST}
    return answer.status_code, headers, answer.content


def key() -> dict[str, str]:
    return {"Idempotency-Key": f"key-{uuid4()}"}


def events(client: TestClient) -> list[Any]:
    items: list[Any] = client.get("/v1/events", params={"order": "newest", "limit": 5}).json()["items"]
    return items


def prepared(shared: TestClient, route: Route) -> tuple[Place, dict[str, Any]]:
    """A furnished place where ``route`` has something to do, and what to send."""
    place = Place()
    place.furnish(shared)
    make_ready(shared, route, place)
    return place, {"json": body_for(route, place)} if route.takes_body else {}


@pytest.mark.parametrize("route", WRITES, ids=str)
def test_a_repeat_is_answered_as_the_first_time_and_records_nothing(shared: TestClient, route: Route) -> None:
    place, sent = prepared(shared, route)
    headers = key()
    first = call(shared, route, place, headers=headers, **sent)
    assert first.status_code == route.status, first.text
    before = events(shared)
    assert before[0]["idempotency_key"] == headers["Idempotency-Key"]
    again = call(shared, route, place, headers=headers, **sent)
    assert said(again) == said(first)
    assert events(shared) == before


@pytest.mark.parametrize("route", WRITES, ids=str)
def test_a_repeat_is_answered_as_the_first_time_whatever_happened_since(
    shared: TestClient, route: Route
) -> None:
    place, sent = prepared(shared, route)
    headers = key()
    first = call(shared, route, place, headers=headers, **sent)
    for path, message in (
        (f"/v1/sessions/{place.session_id}", place.session_message),
        (f"/v1/threads/{place.thread_id}", place.thread_message),
    ):
        shared.post(f"{path}/undelete")
        shared.patch(path, json={"metadata": {"later": True}})
        shared.patch(f"{path}/messages/{message}", json={"content": "later"})
        shared.post(f"{path}/messages", json={"messages": [{"role": "user", "content": "later"}]})
        shared.delete(path)
    shared.patch(f"/v1/users/{place.user_id}", json={"display_name": "later"})
    before = events(shared)
    assert said(call(shared, route, place, headers=headers, **sent)) == said(first)
    assert events(shared) == before


@pytest.fixture
def webhook(shared: TestClient) -> str:
    """The id of a webhook that leads nowhere."""
    made: str = shared.post("/v1/webhooks", json=WEBHOOK).json()["id"]
    return made


def webhooks(client: TestClient) -> list[Any]:
    items: list[Any] = client.get("/v1/webhooks", params={"limit": 1000}).json()["items"]
    return items


class TestOutsideOfTheLog:
    def test_a_webhook_is_made_once_with_one_secret(self, shared: TestClient) -> None:
        before = {one["id"] for one in webhooks(shared)}
        headers = key()
        first = shared.post("/v1/webhooks", json=WEBHOOK, headers=headers)
        assert first.status_code == 201
        assert {one["id"] for one in webhooks(shared)} == before | {first.json()["id"]}
        shared.delete(f"/v1/webhooks/{first.json()['id']}")
        for _ in range(2):
            assert said(shared.post("/v1/webhooks", json=WEBHOOK, headers=headers)) == said(first)
        assert {one["id"] for one in webhooks(shared)} == before

    def test_a_webhook_is_deleted_once(self, shared: TestClient, webhook: str) -> None:
        headers = key()
        first = shared.delete(f"/v1/webhooks/{webhook}", headers=headers)
        assert first.status_code == 200
        assert said(shared.delete(f"/v1/webhooks/{webhook}", headers=headers)) == said(first)
        assert shared.delete(f"/v1/webhooks/{webhook}", headers=key()).status_code == 404

    def test_a_webhook_is_resumed_once(self, shared: TestClient, webhook: str) -> None:
        headers = key()
        path = f"/v1/webhooks/{webhook}/resume"
        first = shared.post(path, headers=headers)
        assert first.status_code == 200
        shared.delete(f"/v1/webhooks/{webhook}")
        assert said(shared.post(path, headers=headers)) == said(first)
        assert shared.post(path, headers=key()).status_code == 404

    def test_a_rebuild_is_begun_once(self, shared: TestClient) -> None:
        headers = key()
        body = {"views": ["names"], "dry_run": True}
        first = shared.post("/v1/projections/rebuild", json=body, headers=headers)
        assert first.status_code == 202, first.text
        for _ in range(2):
            assert said(shared.post("/v1/projections/rebuild", json=body, headers=headers)) == said(first)
            wait_for_rebuild(shared)
        other = {**body, "dry_run": False}
        assert_key_refused(shared.post("/v1/projections/rebuild", json=other, headers=headers))

    def test_the_key_of_another_request_is_refused(self, shared: TestClient, webhook: str) -> None:
        headers = key()
        assert shared.post("/v1/webhooks", json=WEBHOOK, headers=headers).status_code == 201
        for answer in (
            shared.post("/v1/webhooks", json={**WEBHOOK, "from": "now"}, headers=headers),
            shared.delete(f"/v1/webhooks/{webhook}", headers=headers),
        ):
            assert_key_refused(answer)
        assert webhook in [found["id"] for found in webhooks(shared)]

    def test_nor_is_a_key_taken_that_an_event_has(self, shared: TestClient) -> None:
        headers = key()
        assert shared.post("/v1/sessions", json={}, headers=headers).status_code == 201
        assert_key_refused(shared.post("/v1/webhooks", json=WEBHOOK, headers=headers))

    def test_what_was_refused_can_be_asked_again(self, shared: TestClient) -> None:
        headers = key()
        body = {**WEBHOOK, "from": 10**12}
        for _ in range(2):
            assert shared.post("/v1/webhooks", json=body, headers=headers).status_code == 422

    def test_of_many_at_once_one_makes_it(self, conninfo: str) -> None:
        """Through servers that know nothing of each other."""
        headers = key()
        with ExitStack() as servers:
            clients = [servers.enter_context(open_client(conninfo)) for _ in range(3)]
            asks = [(client,) for client in clients * 4]
            answers = in_threads(
                lambda client: client.post("/v1/webhooks", json=WEBHOOK, headers=headers), asks
            )
            assert {answer.status_code for answer in answers} == {201}
            assert len({answer.content for answer in answers}) == 1
            assert len(webhooks(clients[0])) == 1


def assert_key_refused(answer: Response) -> None:
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:recount:problem:idempotency-key-reused"


@pytest.mark.parametrize("route", WRITES, ids=str)
def test_the_key_of_another_request_is_refused(shared: TestClient, route: Route) -> None:
    place, sent = prepared(shared, route)
    headers = key()
    used = shared.post("/v1/threads", json={}, headers=headers)
    assert used.status_code == 201
    before = events(shared)
    refused = call(shared, route, place, headers=headers, **sent)
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:recount:problem:idempotency-key-reused"
    assert events(shared) == before


def test_a_key_is_for_one_body_and_one_address(talk: Talk) -> None:
    headers = key()
    body = {"messages": [{"role": "user", "content": "hi"}]}
    assert talk.post(body, **headers).status_code == 201
    other = {"messages": [{"role": "user", "content": "ho"}]}
    assert talk.post(other, **headers).status_code == 422
    elsewhere = Talk(talk.client, f"/v1/{talk.kind}s/{uuid4()}")
    assert elsewhere.post(body, **headers).status_code == 422
    assert talk.contents() == ["hi"]
    assert elsewhere.get().status_code == 404


def test_messages_without_ids_keep_those_they_got_the_first_time(talk: Talk) -> None:
    headers = key()
    body = {"messages": [{"role": "user", "content": "hi"}, {"role": "user", "content": "hi"}]}
    first = talk.post(body, **headers).json()["messages"]
    assert talk.post(body, **headers).json()["messages"] == first
    assert first[0]["id"] != first[1]["id"]


def test_a_refused_request_does_not_use_its_key_up(talk: Talk) -> None:
    headers = key()
    body = {"messages": [{"role": "user", "content": "hi"}]}
    assert talk.post(body, **headers, **{"If-Match": "7"}).status_code == 412
    assert talk.post({"messages": []}, **headers).status_code == 422
    assert talk.post(body, **headers).status_code == 201


@pytest.mark.parametrize("header", ["", " ", "a b", "x" * 256, "é", "\x7f", "a\tb"])
def test_an_absurd_key_is_refused(shared: TestClient, header: str) -> None:
    refused = shared.post("/v1/threads", json={}, headers={b"Idempotency-Key": header.encode()})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


def test_a_message_sent_again_with_its_id_is_answered_as_the_first_time(talk: Talk) -> None:
    body = {"messages": [{"id": str(uuid4()), "role": "user", "content": number} for number in ("1", "2")]}
    first = talk.post(body)
    again = talk.post(body)
    assert (again.status_code, again.content, again.headers["etag"]) == (201, first.content, '"3"')
    assert talk.types() == ["started", "message-added", "message-added"]


def test_only_the_new_ones_of_some_messages_are_added_and_all_are_answered(talk: Talk) -> None:
    messages = [{"id": str(uuid4()), "role": "user", "content": number} for number in ("1", "2", "3")]
    (second,) = talk.post({"messages": messages[1:2]}).json()["messages"]
    answer = talk.post({"messages": messages}).json()["messages"]
    assert [message["id"] for message in answer] == [message["id"] for message in messages]
    assert answer[1] == second
    assert talk.contents() == ["2", "1", "3"]


@pytest.mark.parametrize(
    "change",
    [{"content": "other"}, {"content": None}, {"role": "assistant"}, {"name": "Ana"}, {"tool_calls": []}],
    ids=str,
)
def test_a_known_id_with_other_words_is_refused(talk: Talk, change: dict[str, Any]) -> None:
    message = {"id": str(uuid4()), "role": "user", "content": "hi"}
    talk.post({"messages": [message]})
    refused = talk.post({"messages": [{"role": "user", "content": "new"}, {**message, **change}]})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:recount:problem:message-id-taken")
    assert talk.contents() == ["hi"]


def test_a_known_id_is_known_in_its_conversation_only(talk: Talk) -> None:
    message = {"id": str(uuid4()), "role": "user", "content": "hi"}
    talk.post({"messages": [message]})
    other = Talk(talk.client, f"/v1/{talk.kind}s/{uuid4()}")
    assert other.post({"messages": [{**message, "content": "ho"}]}).status_code == 201


def test_a_message_sent_again_after_it_was_edited_is_not_added_again(talk: Talk) -> None:
    message = {"id": str(uuid4()), "role": "user", "content": "hi"}
    talk.post({"messages": [message]})
    talk.change(message["id"], {"content": "edited"})
    again = talk.post({"messages": [message]})
    assert (again.status_code, again.json()["messages"][0]["content"]) == (201, "edited")
    assert talk.contents() == ["edited"]


def test_the_same_id_twice_in_one_request_is_refused(talk: Talk) -> None:
    message = {"id": str(uuid4()), "role": "user", "content": "hi"}
    refused = talk.post({"messages": [message, message]})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "messages")
