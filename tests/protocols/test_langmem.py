"""LangMem's protocol, rule by rule: what a program that was written for it can rely on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx2 import Response
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.settings import Settings
from recountdb.domain.memory_functions import built_in
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.views.states import list_states
from tests.protocols.langmem_requests import REQUESTS
from tests.support.postgres import new_database

NOON = "2024-04-06T12:00:00Z"
NOBODY: dict[str, Any] = {"memories": [], "state": [], "thread_summaries": []}
PROFILE = {
    "name": "Profile",
    "description": "Who they are.",
    "parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "$defs": {"A": {}}},
}


@pytest.fixture(scope="module")
def address_of_database(server: str, template: str) -> Iterator[str]:
    with new_database(server, template=template) as name:
        yield make_conninfo(server, dbname=name)


@pytest.fixture(scope="module")
def shared(address_of_database: str) -> Iterator[TestClient]:
    """For all tests of this file, each of which has threads, users and functions of its own."""
    with TestClient(create_app(Settings(), address_of_database), base_url="http://127.0.0.1") as client:
        yield client


@dataclass(frozen=True)
class Thread:
    """A thread as the client sees it."""

    client: TestClient
    id: str = field(default_factory=lambda: str(uuid4()))

    @property
    def path(self) -> str:
        return f"/threads/{self.id}"

    def send(self, *messages: Any) -> Response:
        """As the client does it: JSON without a Content-Type."""
        body = json.dumps({"messages": messages})
        return self.client.post(f"{self.path}/add_messages", content=body)

    def add(self, *messages: Any) -> list[str]:
        answer = self.send(*messages)
        assert answer.status_code == 200, answer.text
        ids: list[str] = answer.json()["message_ids"]
        return ids

    def page(self, **query: Any) -> dict[str, Any]:
        answer = self.client.get(f"{self.path}/messages", params=query)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    def messages(self, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page(**query)["messages"]
        return found

    def contents(self, **query: Any) -> list[Any]:
        return [message["content"] for message in self.messages(**query)]

    def state(self, key: str | None = None) -> Any:
        answer = self.client.post(f"{self.path}/thread_state/query", json={"key": key})
        assert answer.status_code == 200, answer.text
        return answer.json()["state"]

    def set_state(self, state: Any, key: str | None = None) -> None:
        answer = self.client.post(f"{self.path}/thread_state", json={"state": state, "key": key})
        assert (answer.status_code, answer.json()) == (200, {})


@pytest.fixture
def thread(shared: TestClient) -> Thread:
    return Thread(shared)


@pytest.fixture(scope="module")
def long(shared: TestClient) -> Thread:
    thread = Thread(shared)
    thread.add(*(say(f"{number}") for number in range(1001)))
    return thread


@pytest.fixture
def user() -> str:
    return str(uuid4())


@pytest.fixture
def define(shared: TestClient) -> Callable[..., dict[str, Any]]:
    """Makes a memory function."""

    def make(**members: Any) -> dict[str, Any]:
        body = {"id": str(uuid4()), "type": "user_state", "custom_instructions": None, "schema": PROFILE}
        answer = shared.post("/memory-functions", json={**body, **members})
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    return make


def say(content: Any, role: str = "user", **members: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **members}


def at(moment: str, content: Any = "hello", **metadata: Any) -> dict[str, Any]:
    return say(content, metadata={"timestamp": moment, **metadata})


class TestEveryEndpoint:
    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/threads/{id}/add_messages", {"messages": [say("hi")]}),
            ("/threads", {"messages": [say("hi")]}),
            ("/users", {"name": "Ana", "metadata": {}}),
            ("/users/{id}/memory/query", {"text": "tea"}),
            ("/memory-functions/query", {}),
            ("/threads/{id}/thread_state", {"state": {"a": 1}}),
        ],
    )
    def test_a_body_is_json_whatever_its_content_type(self, shared: TestClient, path: str, body: Any) -> None:
        for content_type in (None, "text/plain", "application/json"):
            headers = {"Content-Type": content_type} if content_type else {}
            answer = shared.post(path.format(id=uuid4()), content=json.dumps(body), headers=headers)
            assert answer.status_code == 200, answer.text

    def test_a_put_state_without_content_type_is_json_too(
        self, shared: TestClient, user: str, define: Any
    ) -> None:
        path = f"/users/{user}/memory/{define()['id']}/state"
        assert shared.put(path, content=b'{"state": {"a": 1}}').status_code == 200
        assert shared.get(path).json() == {"a": 1}

    def test_every_success_has_a_json_body(self, shared: TestClient) -> None:
        for method, template, body, status in REQUESTS:
            path = template.format(thread_id=uuid4(), user_id=uuid4(), function_id=uuid4())
            if "memory-functions/" in path or "/state" in path or path.count("/") == 2:
                continue  # of what has to be there; their own tests see to them
            answer = shared.request(method, path, json=body) if body else shared.request(method, path)
            assert answer.status_code == status, (path, answer.text)
            answer.json()
            assert answer.headers["content-type"] == "application/json"

    @pytest.mark.parametrize("path", ["/threads/", "/users/", "/threads/{id}/messages/"])
    def test_paths_are_exact_and_nothing_redirects(self, shared: TestClient, path: str) -> None:
        assert shared.get(path.format(id=uuid4()), follow_redirects=False).status_code == 404

    def test_triggers_take_no_body(self, shared: TestClient, thread: Thread, user: str) -> None:
        for path in (f"{thread.path}/trigger-all", f"/users/{user}/trigger-all"):
            answer = shared.post(path)
            assert (answer.status_code, answer.json()) == (200, {})
        assert shared.get(thread.path).status_code == 404

    def test_a_prefix_holds_the_key_for_clients_without_one(
        self, conninfo: str, client: TestClient, key_for: Any
    ) -> None:
        key = key_for()
        with TestClient(create_app(Settings(), conninfo), base_url="http://127.0.0.1") as client:
            assert client.get(f"/key/{key}/threads").json() == []


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/threads/{id}"),
            ("GET", "/users/{id}"),
            ("PATCH", "/users/{id}"),
            ("GET", "/memory-functions/{id}"),
            ("PATCH", "/memory-functions/{id}"),
            ("DELETE", "/memory-functions/{id}"),
            ("GET", "/users/{id}/memory/{id}/state"),
            ("PUT", "/users/{id}/memory/{id}/state"),
            ("DELETE", "/users/{id}/memory/{id}/state"),
            ("GET", "/threads/{id}/memory/{id}/state"),
        ],
    )
    def test_what_is_not_there_is_404_in_json(self, shared: TestClient, method: str, path: str) -> None:
        bodies: dict[str, Any] = {"PUT": {"state": {}}, "PATCH": {"name": "x"}}
        answer = shared.request(method, path.format(id=uuid4()), json=bodies.get(method))
        assert answer.status_code == 404
        assert answer.json().keys() == {"detail"}

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"{",
            b"{}",
            b'{"messages": [{"role": "", "content": "x"}]}',
            b'{"messages": [{"role": "user", "content": "nul \\u0000"}]}',
            b'{"messages": [{"role": "user", "content": "x", "metadata": {"n": NaN}}]}',
        ],
    )
    def test_a_body_that_cannot_be_taken_is_422(self, thread: Thread, body: bytes) -> None:
        answer = thread.client.post(f"{thread.path}/add_messages", content=body)
        assert answer.status_code == 422, answer.text
        assert isinstance(answer.json()["detail"], str)
        assert thread.client.get(thread.path).status_code == 404

    def test_a_batch_is_refused_as_a_whole(self, thread: Thread) -> None:
        assert thread.send(say("fine"), say(None)).status_code == 422
        assert thread.contents() == []

    def test_the_detail_says_where_and_nothing_of_what_was_said(self, thread: Thread) -> None:
        content = [{"secret": {"secret": "\x00secret"}}]
        answer = thread.send(say("x"), say(content))
        assert answer.json()["detail"].startswith("messages.1.content: ")
        assert "secret" not in answer.text

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_an_id_in_the_path_has_to_be_a_uuid(self, shared: TestClient, method: str) -> None:
        path = "/threads/seven" if method == "GET" else "/threads/seven/add_messages"
        answer = shared.request(method, path, json={"messages": []} if method == "POST" else None)
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("thread_id: ")

    @pytest.mark.parametrize(
        "query",
        [{"response_format": "xml"}, {"page_size": "many"}, {"ascending_order": "up"}, {"cursor": "x"}],
    )
    def test_a_query_that_cannot_be_taken_is_422(self, thread: Thread, query: Any) -> None:
        answer = thread.client.get(f"{thread.path}/messages", params=query)
        assert (answer.status_code, answer.json().keys()) == (422, {"detail"})

    def test_keys_are_required_where_there_are_any(self, client: TestClient, key_for: Any) -> None:
        key, reader = key_for(), key_for("default", "read")
        for wrong in ({"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}, None):
            headers: dict[str, str] = wrong or {}
            answer = client.get("/threads", headers=headers)
            assert (answer.status_code, answer.json().keys()) == (401, {"detail"})
        assert client.get("/threads", headers={"x-api-key": key}).json() == []
        assert client.post("/threads", json={}, headers={"x-api-key": reader}).status_code == 403
        for path in ("/users/query", "/memory-functions/query", f"/threads/{uuid4()}/thread_state/query"):
            assert client.post(path, json={}, headers={"x-api-key": reader}).status_code == 200

    def test_unknown_members_and_parameters_are_passed_over(self, shared: TestClient, thread: Thread) -> None:
        thread.add({**say("hi"), "refusal": None, "audio": {}})
        assert thread.contents(limit=1, colour="red") == ["hi"]
        answer = shared.post("/threads", json={"colour": "red"})
        assert answer.json().keys() == {"id", "metadata", "created_at", "updated_at"}


class TestThreads:
    def test_a_thread_gets_an_id_or_keeps_its_own(self, shared: TestClient) -> None:
        made = shared.post("/threads", json={"id": None, "messages": None, "metadata": None}).json()
        assert made["id"] == str(UUID(made["id"]))
        assert made["metadata"] == {}
        own = uuid4()
        spelt = f"urn:uuid:{str(own).upper()}"
        assert shared.post("/threads", json={"id": spelt}).json()["id"] == str(own)
        assert shared.get(f"/threads/{str(own).upper()}").json()["id"] == str(own)

    def test_metadata_come_back_as_they_were_given(self, shared: TestClient) -> None:
        metadata = {"a": {"b": None}, "n": 10**30, "list": [1.5, True]}
        made = shared.post("/threads", json={"metadata": metadata}).json()
        assert made["metadata"] == metadata
        assert shared.get(f"/threads/{made['id']}").json() == made

    def test_one_that_is_there_is_answered_with_what_is_given_and_loses_no_messages(
        self, shared: TestClient, thread: Thread
    ) -> None:
        first = shared.post(
            "/threads", json={"id": thread.id, "metadata": {"a": {"b": 1}}, "messages": [at(NOON)]}
        ).json()
        again = shared.post("/threads", json={"id": thread.id, "messages": [at(NOON), say("new")]})
        assert (again.status_code, again.json()["metadata"]) == (200, {"a": {"b": 1}})
        assert again.json()["created_at"] == first["created_at"]
        replaced = shared.post("/threads", json={"id": thread.id, "metadata": {"a": {"c": 2}}}).json()
        assert replaced["metadata"] == {"a": {"c": 2}}
        assert thread.contents() == ["hello", "new"]

    def test_messages_begin_a_thread(self, shared: TestClient, thread: Thread) -> None:
        assert shared.get(thread.path).status_code == 404
        thread.add(say("hi"))
        assert shared.get(thread.path).json()["id"] == thread.id

    def test_a_state_begins_a_thread(self, shared: TestClient, thread: Thread) -> None:
        thread.set_state({"a": 1})
        assert shared.get(thread.path).status_code == 200

    def test_what_was_never_written_can_be_read(self, thread: Thread) -> None:
        assert thread.page() == {"messages": [], "next_cursor": None}
        assert thread.state() is None
        assert thread.client.get(f"{thread.path}/memory").json() == []

    def test_the_list_is_bare_and_the_newest_come_first(self, client: TestClient) -> None:
        ids = [client.post("/threads", json={}).json()["id"] for _ in range(3)]
        assert [thread["id"] for thread in client.get("/threads").json()] == ids[::-1]

    def test_all_threads_are_listed_however_many(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("recountdb.api.protocols.langmem.queries.LIMIT_MAX", 2)
        ids = [client.post("/threads", json={}).json()["id"] for _ in range(5)]
        assert [thread["id"] for thread in client.get("/threads").json()] == ids[::-1]

    def test_state_documents_are_kept_by_key_and_replaced(self, thread: Thread) -> None:
        thread.set_state({"own": [1, None]})
        thread.set_state({"step": 1}, "checkpoint")
        thread.set_state({"step": 2}, "checkpoint")
        assert thread.state() == {"own": [1, None]}
        assert thread.state("checkpoint") == {"step": 2}
        assert thread.state("other") is None

    @pytest.mark.parametrize("body", [{}, {"state": {}, "key": ""}, {"state": {}, "key": 5}])
    def test_a_state_that_cannot_be_taken_is_422(self, thread: Thread, body: Any) -> None:
        assert thread.client.post(f"{thread.path}/thread_state", json=body).status_code == 422

    def test_it_is_a_thread_of_the_native_api_with_a_trail(self, thread: Thread) -> None:
        thread.add(say("hi", metadata={"user_id": str(uuid4()), "mood": "calm"}))
        native = thread.client.get(f"/v1/threads/{thread.id}/messages").json()["items"]
        assert [(message["content"], message["metadata"]) for message in native] == [("hi", {"mood": "calm"})]
        trail = thread.client.get(f"/v1/threads/{thread.id}/events").json()["items"]
        assert [event["type"] for event in trail] == ["thread.started", "thread.message-added"]

    def test_one_that_was_deleted_is_gone_until_it_is_written_to(self, thread: Thread) -> None:
        thread.add(at(NOON))
        thread.client.delete(f"/v1/threads/{thread.id}")
        assert thread.client.get(thread.path).status_code == 404
        assert thread.contents() == []
        thread.add(at(NOON))
        assert thread.contents() == ["hello"]


class TestMessages:
    def test_the_openai_shape_in_both_formats(self, thread: Thread) -> None:
        user = str(uuid4())
        sent = say("Hola", name="Ana", metadata={"user_id": user, "timestamp": NOON, "mood": "calm"})
        (message_id,) = thread.add(sent)
        said_at = "2024-04-06T12:00:00+00:00"
        (openai,) = thread.messages()
        assert openai == {
            "role": "user",
            "content": "Hola",
            "name": "Ana",
            "metadata": {"mood": "calm", "id": message_id, "timestamp": said_at, "user_id": user},
        }
        (langmem,) = thread.messages(response_format="langmem")
        assert langmem == {
            "id": message_id,
            "content": "Hola",
            "timestamp": said_at,
            "user": {"user_id": user, "user_name": "Ana", "role": "user"},
        }

    def test_the_langmem_shape_in_both_formats(self, thread: Thread) -> None:
        user, message_id = str(uuid4()), str(uuid4())
        sent = {
            "id": message_id,
            "content": "Hola",
            "timestamp": "2024-04-06T09:00:00+00:00",
            "user": {"user_id": user, "user_name": "Ana", "role": "user"},
        }
        assert thread.add(sent) == [message_id]
        assert thread.messages(response_format="langmem") == [sent]
        (openai,) = thread.messages(response_format="openai")
        assert openai == {
            "role": "user",
            "content": "Hola",
            "name": "Ana",
            "metadata": {"id": message_id, "timestamp": sent["timestamp"], "user_id": user},
        }

    def test_shapes_may_be_mixed(self, thread: Thread) -> None:
        thread.add(
            say("one"), {"content": "two", "user": {"role": "assistant"}}, {"content": "3", "user": {}}
        )
        assert [(m["role"], m["content"]) for m in thread.messages()] == [
            ("user", "one"),
            ("assistant", "two"),
            ("user", "3"),
        ]

    def test_without_id_and_timestamp_both_are_made_and_stay(self, thread: Thread) -> None:
        before = datetime.now(UTC) - timedelta(seconds=1)
        thread.add(say("hi"))
        (message,) = thread.messages()
        assert message == thread.messages()[0]
        assert message.keys() == {"role", "content", "metadata"}
        assert message["metadata"].keys() == {"id", "timestamp"}
        assert UUID(message["metadata"]["id"])
        assert before < datetime.fromisoformat(message["metadata"]["timestamp"]) < datetime.now(UTC)

    @pytest.mark.parametrize("role", ["user", "assistant", "system", "tool", "function", "chef"])
    def test_any_role_will_do(self, thread: Thread, role: str) -> None:
        thread.add(say("hi", role))
        assert thread.messages()[0]["role"] == role

    def test_parts_are_kept_as_they_are(self, thread: Thread) -> None:
        parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "data:,"}}, "x"]
        thread.add(say(parts))
        assert thread.contents() == [parts]

    def test_calls_of_tools_come_back_if_they_were_given(self, thread: Thread) -> None:
        calls = [{"id": "1", "type": "function", "function": {"name": "brew", "arguments": "{}"}}]
        call = {"name": "brew", "arguments": "{}"}
        thread.add(
            say(None, "assistant", tool_calls=calls),
            say("tea", "tool", tool_call_id="1"),
            say(None, "assistant", function_call=call),
            say(None, "assistant"),
        )
        first, second, third, fourth = thread.messages()
        assert (first["content"], first["tool_calls"]) == (None, calls)
        assert second["tool_call_id"] == "1"
        assert (third["content"], third["function_call"]) == (None, call)
        assert "langmem" not in third["metadata"]
        assert not fourth.keys() & {"tool_calls", "tool_call_id", "function_call", "name"}

    def test_an_empty_batch_is_fine(self, thread: Thread) -> None:
        assert thread.add() == []
        assert thread.contents() == []


class TestPages:
    def test_the_oldest_come_first_unless_told(self, thread: Thread) -> None:
        thread.add(*(say(f"{number}") for number in range(5)))
        assert thread.contents() == ["0", "1", "2", "3", "4"]
        assert thread.contents(ascending_order="true") == ["0", "1", "2", "3", "4"]
        assert thread.contents(ascending_order="false") == ["4", "3", "2", "1", "0"]

    @pytest.mark.parametrize("ascending", ["true", "false"])
    @pytest.mark.parametrize("shape", ["openai", "langmem"])
    def test_pages_end_with_a_null_cursor_and_no_empty_page(
        self, thread: Thread, ascending: str, shape: str
    ) -> None:
        thread.add(*(say(f"{number}") for number in range(6)))
        query: dict[str, Any] = {"page_size": 2, "ascending_order": ascending, "response_format": shape}
        found, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            page = thread.page(**query, **({"cursor": cursor} if cursor else {}))
            found += [message["content"] for message in page["messages"]]
            cursor, pages = page["next_cursor"], pages + 1
        assert pages == 3
        assert found == (["0", "1", "2", "3", "4", "5"] if ascending == "true" else list("543210"))

    def test_cursors_stay_right_while_messages_join(self, thread: Thread) -> None:
        thread.add(say("0"), say("1"), say("2"))
        forth, back = thread.page(page_size=2), thread.page(page_size=2, ascending_order=False)
        thread.add(say("3"))
        assert thread.contents(page_size=2, cursor=forth["next_cursor"]) == ["2", "3"]
        assert thread.contents(ascending_order=False, cursor=back["next_cursor"]) == ["0"]

    @pytest.mark.parametrize(("size", "shown"), [(None, 100), (0, 1), (-5, 1), (1000, 1000), (10**30, 1000)])
    def test_a_page_has_a_hundred_and_from_one_to_a_thousand(
        self, long: Thread, size: int | None, shown: int
    ) -> None:
        query = {} if size is None else {"page_size": size}
        assert len(long.messages(**query)) == shown


class TestRepeats:
    @pytest.mark.parametrize(
        "spelling",
        [
            NOON,
            "2024-04-06T12:00:00.000000+00:00",
            "2024-04-06T14:00:00+02:00",
            "2024-04-06T12:00:00",
            "2024-04-06 12:00:00Z",
        ],
    )
    def test_the_same_instant_is_the_same_message_however_it_is_spelt(
        self, thread: Thread, spelling: str
    ) -> None:
        assert thread.add(at(NOON)) == thread.add(at(spelling))
        thread.add(say("hello", timestamp=spelling))
        thread.add({"content": "hello", "user": {"role": "user"}, "timestamp": spelling})
        assert thread.contents() == ["hello"]

    def test_a_history_sent_again_adds_only_what_is_new(self, thread: Thread) -> None:
        history = [at(f"2024-04-06T12:00:0{number}Z", f"{number}") for number in range(5)]
        first = thread.add(*history[:3])
        assert thread.add(*history)[:3] == first
        assert thread.contents() == ["0", "1", "2", "3", "4"]

    def test_other_words_role_user_or_instant_make_another_message(self, thread: Thread) -> None:
        others = [
            at(NOON, "hallo"),
            at("2024-04-06T12:00:00.000001Z"),
            {**at(NOON), "role": "assistant"},
            at(NOON, user_id=str(uuid4())),
            at(NOON, [{"type": "text", "text": "hello"}]),
        ]
        thread.add(at(NOON), *others)
        thread.add(*others)
        assert len(thread.messages()) == 6

    def test_user_ids_of_any_spelling_are_the_same_user(self, thread: Thread) -> None:
        user = uuid4()
        thread.add(at(NOON, user_id=str(user)), at(NOON, user_id=user.hex.upper()))
        assert len(thread.messages()) == 1

    def test_parts_are_compared_as_json(self, thread: Thread) -> None:
        thread.add(at(NOON, [{"type": "text", "text": "a"}]), at(NOON, [{"text": "a", "type": "text"}]))
        assert len(thread.messages()) == 1

    def test_name_and_other_metadata_do_not_count(self, thread: Thread) -> None:
        thread.add(at(NOON, mood="calm"), {**at(NOON), "name": "Ana"})
        (message,) = thread.messages()
        assert (message["metadata"]["mood"], "name" in message) == ("calm", False)

    def test_repeats_within_a_batch_are_one(self, thread: Thread) -> None:
        ids = thread.add(at(NOON), say("between"), at(NOON))
        assert ids[0] == ids[2]
        assert thread.contents() == ["hello", "between"]

    def test_without_a_timestamp_nothing_is_a_repeat(self, thread: Thread) -> None:
        thread.add(say("ok"), say("ok"))
        thread.add(say("ok"), at(NOON, "ok"))
        assert thread.contents() == ["ok"] * 4

    def test_the_time_of_receipt_is_no_explicit_timestamp(self, thread: Thread) -> None:
        thread.add(say("ok"))
        (message,) = thread.messages()
        thread.add(at(message["metadata"]["timestamp"], "ok"))
        assert thread.contents() == ["ok", "ok"]

    def test_a_known_id_is_passed_over_whatever_it_says_now(self, thread: Thread) -> None:
        message_id = str(uuid4())
        thread.add({**say("first"), "id": message_id})
        again = {**say("other", "assistant"), "id": message_id.upper()}
        assert thread.add(again, say("new"), {**at(NOON), "id": message_id})[0] == message_id
        assert thread.contents() == ["first", "new"]

    def test_ids_repeated_within_a_batch_are_one(self, thread: Thread) -> None:
        message_id = str(uuid4())
        thread.add({**say("first"), "id": message_id}, {**say("second"), "id": message_id})
        assert thread.contents() == ["first"]

    def test_another_thread_may_have_the_same_messages(self, shared: TestClient) -> None:
        message = {**at(NOON), "id": str(uuid4())}
        one, other = Thread(shared), Thread(shared)
        one.add(message)
        other.add(message)
        assert one.contents() == other.contents() == ["hello"]

    def test_the_same_batch_sent_at_once_by_many_is_stored_once(self, thread: Thread) -> None:
        user = str(uuid4())
        batch = [at(f"2024-04-06T12:00:{second:02}Z", f"{second}", user_id=user) for second in range(20)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: thread.send(*batch), range(24)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1
        assert thread.contents() == [f"{second}" for second in range(20)]
        assert thread.client.get(f"/users/{user}").status_code == 200

    def test_batches_sent_at_once_are_not_mixed(self, thread: Thread) -> None:
        batches = [[say(f"{batch} {number}") for number in range(10)] for batch in range(12)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda batch: thread.add(*batch), batches))
        contents = thread.contents(page_size=1000)
        groups = [contents[start : start + 10] for start in range(0, 120, 10)]
        assert sorted(groups) == sorted([message["content"] for message in batch] for batch in batches)


class TestUsers:
    def test_a_user_is_made_read_and_changed(self, shared: TestClient, user: str) -> None:
        body = {"id": user, "name": "Ana", "tags": None, "metadata": {"plan": {"tier": "pro"}}}
        made = shared.post("/users", json=body).json()
        assert {**body, "tags": []}.items() <= made.items()
        assert made.keys() == {"id", "name", "tags", "metadata", "created_at", "updated_at"}
        assert shared.get(f"/users/{user}").json() == made
        changed = shared.patch(f"/users/{user}", json={"tags": ["vip"]}).json()
        assert changed["tags"] == ["vip"]
        assert (changed["name"], changed["metadata"]) == ("Ana", made["metadata"])
        replaced = shared.patch(f"/users/{user}", json={"metadata": {"plan": {}}, "tags": []}).json()
        assert (replaced["metadata"], replaced["tags"]) == ({"plan": {}}, [])

    def test_making_a_known_user_changes_them(self, shared: TestClient, user: str) -> None:
        first = shared.post("/users", json={"id": user, "name": "Ana", "tags": ["a"], "metadata": {"a": 1}})
        again = shared.post("/users", json={"id": user, "name": "Eve", "tags": None, "metadata": {"b": 2}})
        assert (again.status_code, again.json()["created_at"]) == (200, first.json()["created_at"])
        assert again.json().items() >= {"name": "Eve", "tags": ["a"], "metadata": {"b": 2}}.items()

    def test_a_user_is_one_of_the_native_api(self, shared: TestClient, user: str) -> None:
        shared.post("/users", json={"id": user, "name": "Ana", "tags": ["a"], "metadata": {"a": 1}})
        native = shared.get(f"/v1/users/{user}").json()
        assert (native["display_name"], native["tags"], native["metadata"]) == ("Ana", ["a"], {"a": 1})

    @pytest.mark.parametrize("shape", ["openai", "langmem"])
    def test_whoever_speaks_is_a_user(self, thread: Thread, user: str, shape: str) -> None:
        nameless = say("hi", metadata={"user_id": user})
        named = say("yo", name="Ana", metadata={"user_id": user})
        if shape == "langmem":
            nameless = {"content": "hi", "user": {"user_id": user}}
            named = {"content": "yo", "user": {"user_id": user, "user_name": "Ana"}}
        thread.add(nameless)
        assert thread.client.get(f"/users/{user}").json()["name"] is None
        thread.add(named)
        assert thread.client.get(f"/users/{user}").json()["name"] == "Ana"
        thread.add({**named, "name": "Eve", "content": "!"})
        assert thread.client.get(f"/users/{user}").json()["name"] == "Ana"

    def test_whoever_speaks_first_in_a_new_thread_is_a_user(self, shared: TestClient, user: str) -> None:
        others = [str(uuid4()), str(uuid4())]
        messages = [say("hi", name=name, metadata={"user_id": name}) for name in (user, *others)]
        shared.post("/threads", json={"messages": messages})
        found = shared.post("/users/query", json={"id": [user, *others]}).json()["users"]
        assert [(found["id"], found["name"]) for found in found] == [(name, name) for name in (user, *others)]

    def test_the_users_event_tells_which_message_led_to_it(self, thread: Thread, user: str) -> None:
        thread.add(say("hi", metadata={"user_id": user}))
        ((added, _),) = [
            (event, 0)
            for event in thread.client.get(f"/v1/threads/{thread.id}/events").json()["items"]
            if event["version"] == 1
        ]
        (created,) = thread.client.get(f"/v1/users/{user}/events").json()["items"]
        assert (created["type"], created["causation_id"]) == ("user.created", f"{added['stream_id']}/1")

    def test_a_refused_batch_makes_no_user(self, thread: Thread, user: str) -> None:
        thread.send(say("hi", metadata={"user_id": user}), say(None))
        assert thread.client.get(f"/users/{user}").status_code == 404

    def test_a_repeat_makes_nobody_live_again(self, thread: Thread, user: str) -> None:
        thread.add(at(NOON, user_id=user))
        thread.client.delete(f"/v1/users/{user}")
        thread.add(at(NOON, user_id=user))
        assert thread.client.get(f"/users/{user}").status_code == 404
        thread.add(at(NOON, "I am back", user_id=user))
        assert thread.client.get(f"/users/{user}").status_code == 200

    def test_users_are_found_by_ids_and_names(self, shared: TestClient) -> None:
        tag = str(uuid4())
        ids = [str(uuid4()) for _ in range(3)]
        for user, name in zip(ids, ("Ana", "ana", "Ana"), strict=True):
            shared.post("/users", json={"id": user, "name": f"{name} {tag}", "metadata": {}})

        def found(**query: Any) -> list[str]:
            users = shared.post("/users/query", json=query).json()["users"]
            return [user["id"] for user in users if user["id"] in ids]

        assert found() == found(name=None, id=None) == ids
        assert found(name=[f"Ana {tag}"]) == [ids[0], ids[2]]
        assert found(id=[ids[1].upper(), str(uuid4())]) == [ids[1]]
        assert found(name=[f"Ana {tag}", f"ana {tag}"], id=ids[1:]) == ids[1:]
        assert found(name=[f"Ana {tag}"], id=[ids[1]]) == []
        assert found(name=[]) == found(id=[]) == []

    def test_changes_of_different_members_at_once_all_stay(self, shared: TestClient, user: str) -> None:
        shared.post("/users", json={"id": user, "name": "?", "metadata": {}})
        bodies = [{"name": "Ana"}, {"tags": ["a"]}, {"metadata": {"a": 1}}] * 8
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda body: shared.patch(f"/users/{user}", json=body), bodies))
        found = shared.get(f"/users/{user}").json()
        assert (found["name"], found["tags"], found["metadata"]) == ("Ana", ["a"], {"a": 1})

    @pytest.mark.parametrize("body", [{"metadata": []}])
    def test_a_user_that_cannot_be_taken_is_422(self, shared: TestClient, body: Any) -> None:
        assert shared.post("/users", json=body).status_code == 422


class TestFunctions:
    def test_a_function_is_made_and_read(self, shared: TestClient, define: Any) -> None:
        made = define(custom_instructions="Be brief.")
        assert (
            made.items()
            >= {
                "type": "user_state",
                "name": "Profile",
                "description": "Who they are.",
                "custom_instructions": "Be brief.",
                "schema": PROFILE,
                "status": "active",
            }.items()
        )
        assert shared.get(f"/memory-functions/{made['id']}").json() == made
        assert made.keys() >= {"id", "created_at", "updated_at"}

    def test_a_known_id_is_another_function_from_then_on(self, shared: TestClient, define: Any) -> None:
        made = define(custom_instructions="Be brief.")
        shared.patch(f"/memory-functions/{made['id']}", json={"status": "disabled"})
        again = define(id=made["id"], type="thread_summary", schema={"name": "Other", "parameters": {}})
        assert again["created_at"] == made["created_at"]
        assert (
            again.items()
            >= {
                "type": "thread_summary",
                "name": "Other",
                "description": "",
                "custom_instructions": None,
                "status": "active",
            }.items()
        )

    def test_equal_functions_under_many_ids_are_many(self, define: Any) -> None:
        assert define()["id"] != define()["id"]

    def test_only_what_is_given_changes(self, shared: TestClient, define: Any) -> None:
        made = define()
        path = f"/memory-functions/{made['id']}"
        disabled = shared.patch(path, json={"status": "disabled"}).json()
        assert disabled == {**made, "status": "disabled", "updated_at": disabled["updated_at"]}
        named = shared.patch(path, json={"name": "N", "description": "D", "custom_instructions": "C"}).json()
        assert named["schema"] == {**PROFILE, "name": "N", "description": "D"}
        assert (named["custom_instructions"], named["status"]) == ("C", "disabled")
        assert shared.patch(path, json={"type": "user_append_state"}).json()["type"] == "user_append_state"

    @pytest.mark.parametrize(
        "body",
        [
            {},
        ],
    )
    def test_a_function_that_cannot_be_taken_is_422(self, shared: TestClient, body: Any) -> None:
        assert shared.post("/memory-functions", json=body).status_code == 422

    def test_a_deleted_one_is_gone_until_it_is_made_anew(self, shared: TestClient, define: Any) -> None:
        made = define()
        path = f"/memory-functions/{made['id']}"
        assert shared.delete(path).status_code == 200
        assert shared.get(path).status_code == shared.delete(path).status_code == 404
        assert shared.patch(path, json={"name": "x"}).status_code == 404
        assert made["id"] not in listed(shared)
        define(id=made["id"])
        assert shared.get(path).status_code == 200

    def test_the_list_goes_by_kinds_and_types(self, shared: TestClient, define: Any) -> None:
        types = ["user_state", "user_append_state", "user_semantic_memory", "thread_summary"]
        ids = {kind: define(type=kind)["id"] for kind in types}

        def found(*wanted: str) -> set[str]:
            there = listed(shared, target_type=list(wanted))
            return {kind for kind, name in ids.items() if name in there}

        assert {kind for kind, name in ids.items() if name in listed(shared)} == set(types)
        assert found("user") == set(types[:3])
        assert found("thread") == {"thread_summary"}
        assert found("thread", "user_state") == {"thread_summary", "user_state"}
        assert found("nothing") == set()

    def test_the_list_has_pages(self, client: TestClient) -> None:
        made = [
            client.post("/memory-functions", json={"type": "user_state", "schema": PROFILE}).json()["id"]
            for _ in range(205)
        ]
        sizes: list[int] = []
        cursor = None
        found: list[str] = []
        while not sizes or cursor is not None:
            body: dict[str, Any] = {} if cursor is None else {"cursor": cursor}
            page = client.post("/memory-functions/query", json=body).json()
            functions, cursor = page["memory_functions"], page["next_cursor"]
            sizes.append(len(functions))
            found += [function["id"] for function in functions]
        assert sizes == [100, 100, 6]
        assert found == [built_in("default").name, *made]


def listed(client: TestClient, **body: Any) -> list[str]:
    """The ids of all functions that a query finds."""
    found: list[str] = []
    cursor = None
    while True:
        page = client.post("/memory-functions/query", json={**body, "cursor": cursor}).json()
        found += [function["id"] for function in page["memory_functions"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


class TestTheBuiltInFunction:
    def test_it_is_there_from_the_start_under_the_same_id(self, client: TestClient) -> None:
        for body in ({}, {"target_type": ["user"]}, {"target_type": ["user_semantic_memory"]}):
            (function,) = client.post("/memory-functions/query", json=body).json()["memory_functions"]
            assert (function["type"], function["status"]) == ("user_semantic_memory", "active")
            assert client.get(f"/memory-functions/{function['id']}").json() == function
        assert client.post("/memory-functions/query", json={"target_type": ["thread"]}).json() == {
            "memory_functions": [],
            "next_cursor": None,
        }

    def test_it_can_be_disabled_and_stays_first_of_its_kind(self, client: TestClient) -> None:
        name = built_in("default").name
        client.post("/memory-functions", json={"type": "user_state", "schema": PROFILE})
        changed = client.patch(f"/memory-functions/{name}", json={"status": "disabled"}).json()
        assert (changed["id"], changed["status"], changed["type"]) == (
            name,
            "disabled",
            "user_semantic_memory",
        )
        functions = client.post("/memory-functions/query", json={}).json()["memory_functions"]
        assert [function["id"] == name for function in functions] == [True, False]
        assert functions[0] == changed

    def test_it_can_be_deleted(self, client: TestClient) -> None:
        path = f"/memory-functions/{built_in('default').name}"
        assert client.delete(path).status_code == 200
        assert client.get(path).status_code == 404
        assert client.post("/memory-functions/query", json={}).json()["memory_functions"] == []

    def test_each_project_has_its_own(self, client: TestClient, key_for: Any) -> None:
        mine, theirs = {"x-api-key": key_for("mine")}, {"x-api-key": key_for("theirs")}
        path = f"/memory-functions/{built_in('mine').name}"
        assert client.get(path, headers=theirs).status_code == 404
        assert client.patch(path, json={"status": "disabled"}, headers=theirs).status_code == 404
        assert client.patch(path, json={"status": "disabled"}, headers=mine).status_code == 200
        (other,) = client.post("/memory-functions/query", json={}, headers=theirs).json()["memory_functions"]
        assert (other["id"], other["status"]) == (built_in("theirs").name, "active")


@dataclass(frozen=True)
class Memory:
    """A user's document of a function."""

    client: TestClient
    user: str
    function: str

    @property
    def path(self) -> str:
        return f"/users/{self.user}/memory/{self.function}/state"

    def put(self, state: Any) -> None:
        assert self.client.put(self.path, json={"state": state}).status_code == 200

    def get(self) -> Any:
        answer = self.client.get(self.path)
        assert answer.status_code == 200, answer.text
        return answer.json()


class TestUserMemory:
    @pytest.fixture
    def memory(self, shared: TestClient, user: str, define: Any) -> Memory:
        return Memory(shared, user, define()["id"])

    def test_a_document_is_put_read_bare_replaced_and_deleted(self, memory: Memory) -> None:
        assert memory.get() is None
        memory.put({"name": "Ana", "n": None})
        assert memory.get() == {"name": "Ana", "n": None}
        memory.put({"not": ["as", "the schema", "says"]})
        assert memory.get() == {"not": ["as", "the schema", "says"]}
        for _ in range(2):
            assert memory.client.delete(memory.path).status_code == 200
        assert memory.get() is None

    def test_putting_one_makes_the_user_and_deleting_none_does_not(self, memory: Memory, define: Any) -> None:
        memory.client.delete(memory.path)
        assert memory.client.get(f"/users/{memory.user}").status_code == 404
        memory.put({"name": "Ana"})
        assert memory.client.get(f"/users/{memory.user}").status_code == 200

    def test_documents_are_per_user_and_function(self, memory: Memory, define: Any) -> None:
        memory.put({"a": 1})
        for other in (
            Memory(memory.client, str(uuid4()), memory.function),
            Memory(memory.client, memory.user, define()["id"]),
        ):
            assert other.get() is None

    def test_of_a_disabled_function_they_stay_and_of_a_deleted_one_they_are_absent(
        self, memory: Memory
    ) -> None:
        memory.put({"a": 1})
        function = f"/memory-functions/{memory.function}"
        memory.client.patch(function, json={"status": "disabled"})
        assert memory.get() == {"a": 1}
        memory.client.delete(function)
        assert memory.get() is None
        assert memory.client.get(f"/users/{memory.user}/memory").json() == []
        assert query(memory, text="", state=[memory.function])["state"] == [None]
        assert memory.client.put(memory.path, json={"state": {}}).status_code == 404
        assert memory.client.delete(memory.path).status_code == 200

    def test_the_list_is_bare_with_type_and_document(self, memory: Memory, define: Any) -> None:
        assert memory.client.get(f"/users/{memory.user}/memory").json() == []
        memory.put({"a": 1})
        gone = Memory(memory.client, memory.user, define()["id"])
        gone.put({"b": 2})
        gone.client.delete(gone.path)
        assert memory.client.get(f"/users/{memory.user}/memory").json() == [
            {"memory_function_id": memory.function, "type": "user_state", "state": {"a": 1}}
        ]

    def test_the_built_in_function_has_documents_too(self, client: TestClient, user: str) -> None:
        memory = Memory(client, user, built_in("default").name)
        memory.put({"a": 1})
        assert memory.get() == {"a": 1}
        (item,) = client.get(f"/users/{user}/memory").json()
        assert item["type"] == "user_semantic_memory"

    def test_individual_memories_that_are_unknown_are_passed_over(
        self, shared: TestClient, user: str
    ) -> None:
        path = f"/users/{user}/memory/individual"
        answer = shared.delete(path, params={"ids": [str(uuid4()), str(uuid4())]})
        assert (answer.status_code, answer.json()) == (200, {})

    def test_what_a_deleted_user_had_does_not_come_back(self, memory: Memory) -> None:
        memory.put({"a": 1})
        memory.client.delete(f"/v1/users/{memory.user}")
        assert memory.get() is None
        Thread(memory.client).add(say("hi", metadata={"user_id": memory.user}))
        assert memory.client.get(f"/users/{memory.user}").status_code == 200
        assert memory.get() is None
        assert memory.client.get(f"/users/{memory.user}/memory").json() == []
        memory.put({"b": 2})
        assert memory.get() == {"b": 2}

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"5"])
    def test_a_document_that_cannot_be_taken_is_422(self, memory: Memory, body: bytes) -> None:
        assert memory.client.put(memory.path, content=body).status_code == 422

    def test_of_threads_nothing_is_made_yet(self, thread: Thread, define: Any) -> None:
        function = define(type="thread_summary")["id"]
        path = f"{thread.path}/memory/{function}/state"
        assert thread.client.get(path).status_code == 404
        thread.add(say("hi"))
        assert thread.client.get(path).status_code == 404
        assert thread.client.get(f"{thread.path}/memory").json() == []


def query(memory: Memory, **body: Any) -> Any:
    answer = memory.client.post(f"/users/{memory.user}/memory/query", content=json.dumps(body))
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestQuery:
    @pytest.fixture
    def memory(self, shared: TestClient, user: str, define: Any) -> Memory:
        return Memory(shared, user, define()["id"])

    def test_of_a_user_never_seen_it_is_empty(self, memory: Memory) -> None:
        assert query(memory, text="") == NOBODY
        assert memory.client.get(f"/users/{memory.user}").status_code == 404

    def test_documents_come_in_the_places_they_were_asked_for(self, memory: Memory, define: Any) -> None:
        memory.put({"a": 1})
        other, unknown = define()["id"], str(uuid4())
        asked = [unknown, memory.function.upper(), other, {"id": memory.function}]
        assert query(memory, text="tea", state=asked)["state"] == [None, {"a": 1}, None, {"a": 1}]

    @pytest.mark.parametrize(
        "members",
        [
            {"k": 5, "memory_function_ids": None, "weights": None, "state": None, "thread_query": None},
            {"memory_function_ids": [str(uuid4()), {"id": str(uuid4()), "type": "user_append_state"}]},
            {"weights": {"relevance": 1, "recency": 0.5}},
            {"thread_query": {"memory_function_ids": [str(uuid4())], "k": 3}},
            {"thread_query": {"memory_function_ids": [str(uuid4())], "k": [str(uuid4())]}},
        ],
    )
    def test_whatever_clients_send_is_taken(self, memory: Memory, members: Any) -> None:
        assert query(memory, text="tea", **members) == NOBODY

    @pytest.mark.parametrize("body", [{"state": ["seven"]}])
    def test_a_query_that_cannot_be_taken_is_422(self, memory: Memory, body: Any) -> None:
        answer = memory.client.post(f"/users/{memory.user}/memory/query", json=body)
        assert answer.status_code == 422


class TestForGood:
    """What is purged goes with all that was kept beside it."""

    def test_a_purged_users_documents_go(self, database: Database, application: Recount, user: str) -> None:
        function = built_in("default").name
        with TestClient(create_app(Settings(), database.conninfo), base_url="http://127.0.0.1") as client:
            Memory(client, user, function).put({"secret": 1})
            assert list_states(database, "default", "user", user) == {function: {"secret": 1}}
            answer = client.post(f"/v1/users/{user}/purge", json={"reason": "asked for", "dry_run": False})
            assert answer.status_code in (200, 202), answer.text
            assert client.get(f"/users/{user}").status_code == 404
            assert Memory(client, user, function).get() is None
            Memory(client, user, function).put({"new": 2})
            assert Memory(client, user, function).get() == {"new": 2}
