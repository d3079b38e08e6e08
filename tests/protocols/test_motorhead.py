"""Motorhead's protocol, rule by rule: what a program that was written for it can rely on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.services.purge import purge_due
from recountdb.api.settings import Settings
from recountdb.eventlog.application import Recount
from tests.support.outage import database_gone

NOTHING: dict[str, Any] = {"messages": [], "context": None, "tokens": 0}
OK = {"status": "Ok"}
MANAGED = "/v1/motorhead"


def say(*contents: str, role: str = "Human") -> list[dict[str, str]]:
    return [{"role": role, "content": content} for content in contents]


@dataclass(frozen=True)
class Memory:
    """A session of a Motorhead server at ``base``."""

    client: TestClient
    name: str
    base: str = ""

    @property
    def path(self) -> str:
        return f"{self.base}/sessions/{self.name}"

    def send(self, body: Any, **query: str) -> Response:
        return self.client.post(f"{self.path}/memory", json=body, params=query)

    def post(self, *messages: dict[str, str], namespace: str | None = None, **members: Any) -> None:
        query = {} if namespace is None else {"namespace": namespace}
        answer = self.send({"messages": messages, **members}, **query)
        assert (answer.status_code, self.inner(answer)) == (200, OK)

    def get(self) -> Any:
        answer = self.client.get(f"{self.path}/memory")
        assert answer.status_code == 200, answer.text
        return self.inner(answer)

    def contents(self) -> list[str]:
        return [message["content"] for message in self.get()["messages"]]

    def delete(self, **query: str) -> None:
        answer = self.client.delete(f"{self.path}/memory", params=query)
        assert (answer.status_code, self.inner(answer)) == (200, OK)

    def ask(self, text: str) -> Any:
        answer = self.client.post(f"{self.path}/retrieval", json={"text": text})
        assert answer.status_code == 200, answer.text
        return self.inner(answer)

    def native(self, rest: str = "", **query: str) -> Any:
        return self.client.get(f"/v1/sessions/{self.name}{rest}", params=query).json()

    def inner(self, answer: Response) -> Any:
        return answer.json()["data"] if self.base.endswith(MANAGED) else answer.json()


@pytest.fixture(params=["", MANAGED], ids=["plain", "managed"])
def either(request: pytest.FixtureRequest, shared: TestClient) -> Memory:
    """A session that is not there yet, of either edition."""
    return Memory(shared, str(uuid4()), request.param)


@pytest.fixture
def memory(shared: TestClient) -> Memory:
    return Memory(shared, str(uuid4()))


@contextmanager
def serving(conninfo: str, **settings: Any) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(**settings), conninfo), base_url="http://127.0.0.1") as client:
        yield client


def listed(client: TestClient, **query: Any) -> Any:
    answer = client.get("/sessions", params={"size": 1000, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestHealth:
    @pytest.mark.parametrize("path", ["/", MANAGED, f"{MANAGED}/"])
    def test_tells_the_time_in_milliseconds(self, shared: TestClient, path: str) -> None:
        before = time.time_ns() // 1_000_000
        answer = shared.get(path)
        body = answer.json()["data"] if MANAGED in path else answer.json()
        assert answer.status_code == 200
        assert body.keys() == {"now"}
        assert type(body["now"]) is int
        assert before <= body["now"] <= time.time_ns() // 1_000_000

    def test_needs_no_key(self, client: TestClient, key_for: Callable[..., str]) -> None:
        key_for()
        assert client.get("/").status_code == 200


class TestGettingMemory:
    def test_of_an_unknown_session_is_empty(self, either: Memory) -> None:
        assert either.get() == NOTHING

    def test_messages_come_newest_first(self, either: Memory) -> None:
        either.post(*say("x"))
        either.post(*say("a", "b"))
        assert either.get() == {"messages": say("b", "a", "x"), "context": None, "tokens": 0}

    def test_there_is_one_more_than_the_window(self, memory: Memory) -> None:
        memory.post(*say(*map(str, range(30))))
        assert memory.contents() == [str(number) for number in range(29, 16, -1)]
        assert len(memory.contents()) == 13

    def test_the_window_can_be_set(self, conninfo: str) -> None:
        with serving(conninfo, motorhead_window=2) as client:
            memory = Memory(client, "trip")
            memory.post(*say("a", "b", "c", "d"))
            assert memory.contents() == ["d", "c", "b"]

    def test_has_what_was_said_through_the_native_api(self, memory: Memory) -> None:
        parts = [{"type": "text", "text": "Hello"}, {"type": "image", "url": "u"}, {"text": "there"}]
        body = {"messages": [{"role": "user", "content": parts}, {"role": "tool"}]}
        assert memory.client.post(f"/v1/sessions/{memory.name}/messages", json=body).status_code == 201
        assert memory.get()["messages"] == say("", role="tool") + say("Hello\nthere", role="user")

    def test_tokens_that_a_session_came_with_are_told(self, memory: Memory) -> None:
        ours = {"context": "Ana flies.", "tokens": 7}
        memory.client.post("/v1/sessions", json={"session_id": memory.name, "metadata": {"motorhead": ours}})
        assert memory.get() == {"messages": [], **ours}


class TestPosting:
    def test_equal_messages_are_kept(self, memory: Memory) -> None:
        memory.post(*say("again", "again"))
        memory.post(*say("again"))
        assert memory.contents() == ["again"] * 3

    @pytest.mark.parametrize("role", ["Human", "AI", "user", "a role: with that", "ключ", " ", ""])
    def test_any_role_comes_back(self, memory: Memory, role: str) -> None:
        memory.post(*say("hello", role=role))
        assert memory.get()["messages"] == say("hello", role=role)

    @pytest.mark.parametrize("content", ["", " ", "a: b", ": ", "a\nb\r\n\tc", "日本語 ✈ é", '"\\', "NONE"])
    def test_any_content_comes_back(self, memory: Memory, content: str) -> None:
        memory.post(*say(content))
        assert memory.contents() == [content]

    def test_a_role_that_somebody_gave_is_not_taken_for_none(self, memory: Memory) -> None:
        memory.post(*say("hello", role="unknown"))
        assert memory.get()["messages"] == say("hello", role="unknown")

    def test_a_context_replaces_that_before_at_once(self, memory: Memory) -> None:
        for context in ("Ana flies.", "Ana landed.", "", "NONE"):
            memory.post(*say("a"), context=context)
            assert memory.get()["context"] == context

    @pytest.mark.parametrize("members", [{}, {"context": None}])
    def test_without_a_context_that_before_stays(self, memory: Memory, members: dict[str, None]) -> None:
        memory.post(*say("a"), context="Ana flies.")
        memory.post(*say("b"), **members)
        assert memory.get() == {"messages": say("b", "a"), "context": "Ana flies.", "tokens": 0}

    def test_no_messages_save_the_context(self, memory: Memory) -> None:
        memory.post(context="Ana flies.")
        assert memory.get() == {**NOTHING, "context": "Ana flies."}

    def test_unknown_members_are_passed_over(self, memory: Memory) -> None:
        memory.post({"role": "AI", "content": "a", "id": "1"}, metadata={"b": 1})
        assert memory.get()["messages"] == say("a", role="AI")

    def test_a_content_type_may_be_missing(self, memory: Memory) -> None:
        body = json.dumps({"messages": say("a")}).encode()
        memory.client.post(f"{memory.path}/memory", content=body)
        for content_type in ("application/json; charset=utf-8", "Application/JSON", "application/x+json"):
            answer = memory.client.post(
                f"{memory.path}/memory", content=body, headers={"Content-Type": content_type}
            )
            assert answer.status_code == 200, content_type
        assert memory.contents() == ["a"] * 4

    def test_one_post_is_recorded_together(self, memory: Memory) -> None:
        memory.post(*say("a", "b"), context="one", namespace="work")
        memory.post(*say("c"), context="two")
        events = memory.native("/events")["items"]
        assert [event["type"].partition(".")[2] for event in events] == [
            *("started", "message-added", "message-added"),
            *("metadata-merged", "message-added"),
        ]
        assert len({event["request_id"] for event in events}) == 2

    def test_first_posts_at_once_all_join(self, memory: Memory) -> None:
        together = threading.Barrier(8)

        def post(number: int) -> None:
            together.wait()
            memory.post(*say(f"{number} a", f"{number} b"), namespace=f"{memory.name} {number}")

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(post, range(8)))
        contents = [message["content"] for message in memory.native("/messages", order="oldest")["items"]]
        assert sorted(contents) == [f"{number} {part}" for number in range(8) for part in "ab"]
        assert [first[:2] + "b" for first in contents[::2]] == contents[1::2]
        for number in range(8):
            assert listed(memory.client, namespace=f"{memory.name} {number}") == [memory.name]

    def test_can_be_read_and_audited_as_any_other(self, memory: Memory) -> None:
        memory.post(*say("a"), *say("b", role="AI"))
        items = memory.native("/messages", order="oldest")["items"]
        assert [(item["role"], item["content"]) for item in items] == [("Human", "a"), ("AI", "b")]
        assert memory.native()["scope"] == ""
        assert memory.native("/messages", as_of="2")["items"][0]["content"] == "a"


class TestDeleting:
    def test_leaves_nothing(self, either: Memory) -> None:
        either.post(*say("a"), context="Ana flies.")
        either.delete()
        assert either.get() == NOTHING
        assert either.ask("a") == []
        assert either.name not in listed(either.client)

    def test_an_unknown_session_is_fine_also_twice(self, either: Memory) -> None:
        either.delete()
        either.delete()

    def test_the_id_can_be_used_again(self, memory: Memory) -> None:
        memory.post(*say("old"), context="Old.")
        memory.delete()
        memory.post(*say("new"))
        assert memory.get() == {"messages": say("new"), "context": None, "tokens": 0}
        assert [hit["content"] for hit in memory.ask("old")] == ["new"]
        assert memory.name in listed(memory.client)

    def test_tokens_of_a_past_are_forgotten_too(self, memory: Memory) -> None:
        metadata = {"motorhead": {"tokens": 7, "context": "Old."}, "plan": "pro"}
        memory.client.post("/v1/sessions", json={"session_id": memory.name, "metadata": metadata})
        memory.delete()
        memory.post(*say("new"), context="New.")
        assert memory.get() == {"messages": say("new"), "context": "New.", "tokens": 0}
        assert memory.native()["metadata"]["plan"] == "pro"

    def test_a_session_that_comes_back_is_only_where_it_is_posted_then(self, memory: Memory) -> None:
        namespaces = [f"{memory.name} {part}" for part in "ab"]
        memory.post(*say("old"), namespace=namespaces[0])
        memory.delete(namespace=namespaces[0])
        memory.post(*say("new"), namespace=namespaces[1])
        assert [listed(memory.client, namespace=name) for name in namespaces] == [[], [memory.name]]

    def test_what_was_deleted_can_be_had_back(self, memory: Memory) -> None:
        memory.post(*say("a"), context="Ana flies.")
        memory.delete()
        memory.client.post(f"/v1/sessions/{memory.name}/undelete")
        assert memory.get() == {"messages": say("a"), "context": "Ana flies.", "tokens": 0}
        assert memory.name in listed(memory.client)

    def test_what_was_deleted_before_the_id_was_used_again_stays_in_the_past(self, memory: Memory) -> None:
        memory.post(*say("old"))
        memory.delete()
        memory.post(*say("new"))
        assert memory.native("/messages", as_of="2")["items"][0]["content"] == "old"

    def test_takes_the_id_off_the_listing_that_is_named_alone(self, memory: Memory) -> None:
        work = f"work {memory.name}"
        memory.post(*say("a"), context="Ana flies.")
        memory.post(*say("b"), namespace=work)
        memory.delete(namespace=work)
        assert memory.get() == NOTHING
        assert memory.ask("a") == []
        assert listed(memory.client, namespace=work) == []
        assert memory.name in listed(memory.client)
        memory.post(*say("c"), namespace=work)
        assert memory.get() == {**NOTHING, "messages": say("c")}
        assert listed(memory.client, namespace=work) == [memory.name]

    def test_is_sure_whoever_writes_meanwhile(self, memory: Memory) -> None:
        """Each deletion is of what it found: whatever was posted before it is gone."""
        ended = threading.Event()

        def write() -> None:
            while not ended.is_set():
                memory.post(*say("noise"), context="Noise.")

        with ThreadPoolExecutor(1) as threads:
            writing = threads.submit(write)
            try:
                for number in range(10):
                    memory.post(*say(f"mark {number}"))
                    memory.delete()
                    assert f"mark {number}" not in [hit["content"] for hit in memory.ask("mark")]
            finally:
                ended.set()
            writing.result()

    def test_is_purged_when_it_is_time(self, client: TestClient, application: Recount, conninfo: str) -> None:
        gone, again, cleared = (Memory(client, name) for name in ("gone", "again", "cleared"))
        for memory in (gone, again, cleared):
            memory.post(*say("secret"))
        cleared.post(*say("secret"), namespace="work")
        for memory in (gone, again, cleared):
            memory.delete()
        again.post(*say("new"))
        purge_due(application, 0)
        assert client.get("/v1/sessions/gone", params={"deleted": "true"}).status_code == 404
        for memory, left in ((again, ["new"]), (cleared, [])):
            page = memory.native("/messages", deleted="any")["items"]
            assert [message["content"] for message in page] == left


class TestListing:
    def test_is_a_bare_array_by_the_time_of_the_last_post(self, client: TestClient) -> None:
        for name in ("a", "b", "c", "a"):
            Memory(client, name).post(*say("x"))
        assert client.get("/sessions").json() == ["b", "c", "a"]
        assert client.get(f"{MANAGED}/sessions").json() == {"data": ["b", "c", "a"]}

    def test_other_changes_do_not_move_a_session(self, client: TestClient) -> None:
        for name in ("a", "b"):
            Memory(client, name).post(*say("x"))
        client.patch("/v1/sessions/a", json={"metadata": {"plan": "pro"}})
        message = client.get("/v1/sessions/a/messages").json()["items"][0]
        client.delete(f"/v1/sessions/a/messages/{message['id']}")
        assert client.get("/sessions").json() == ["a", "b"]

    def test_the_id_decides_between_posts_of_one_moment(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moment = datetime.now(UTC)
        monkeypatch.setattr("recountdb.eventlog.postgres.clock.Clock.now", lambda clock: moment)
        for name in ("b", "B", "a", "é", "10", "9"):
            Memory(client, name).post(*say("x"))
        assert client.get("/sessions").json() == ["10", "9", "B", "a", "b", "é"]

    def test_pages(self, client: TestClient) -> None:
        names = [f"{number:02}" for number in range(12)]
        for name in names:
            Memory(client, name).post(*say("x"))
        assert client.get("/sessions").json() == names[:10]
        assert client.get("/sessions?page=2").json() == names[10:]
        assert client.get("/sessions?page=2&size=5").json() == names[5:10]
        assert client.get(f"/sessions?page=100&size={2**53}").json() == []
        assert client.get("/sessions?page=3&namespace=").json() == []

    def test_has_as_many_pages_as_the_original_and_no_more(self, either: Memory) -> None:
        assert either.client.get(f"{either.base}/sessions?page=100").status_code == 200
        answer = either.client.get(f"{either.base}/sessions?page=101")
        assert (answer.status_code, answer.text) == (400, "Page size must not exceed 100")
        assert answer.headers["content-type"].startswith("text/plain")

    @pytest.mark.parametrize("name", ["page", "size"])
    @pytest.mark.parametrize("value", ["x", "1.5", "", "0", "-1"])
    def test_what_is_no_number_from_1_on_is_refused(self, shared: TestClient, name: str, value: str) -> None:
        assert_refused(shared.get("/sessions", params={name: value}))

    def test_a_namespace_is_a_list_of_its_own(self, client: TestClient) -> None:
        Memory(client, "a").post(*say("x"))
        Memory(client, "b").post(*say("x"), namespace="work")
        Memory(client, "c").post(*say("x"), namespace="wörk: 2/3")
        assert listed(client) == ["a"]
        assert listed(client, namespace="work") == ["b"]
        assert listed(client, namespace="wörk: 2/3") == ["c"]
        assert listed(client, namespace="none") == []

    def test_one_id_in_two_namespaces_is_one_conversation_in_both_lists(self, client: TestClient) -> None:
        memory = Memory(client, "a")
        memory.post(*say("x"), namespace="work", context="Ana works.")
        memory.post(*say("y"))
        assert memory.get() == {"messages": say("y", "x"), "context": "Ana works.", "tokens": 0}
        assert len(memory.ask("x")) == 2
        assert listed(client) == listed(client, namespace="work") == ["a"]

    def test_has_what_was_posted_here_and_no_other(self, client: TestClient) -> None:
        client.post("/v1/sessions/native/messages", json={"messages": say("x")})
        client.post("/v1/sessions/filed/messages?scope=flow", json={"messages": say("x")})
        assert listed(client) == []
        Memory(client, "native").post(*say("y"))
        assert listed(client) == ["native"]
        assert Memory(client, "native").contents() == ["y", "x"]


class TestRetrieval:
    def test_the_closest_comes_first(self, either: Memory) -> None:
        either.post(*say("The weather is fine.", "I fly to Lisbon in May."), *say("Have fun!", role="AI"))
        hits = either.ask("When do I fly to Lisbon?")
        assert [(hit["role"], hit["content"]) for hit in hits] == [
            ("Human", "I fly to Lisbon in May."),
            ("AI", "Have fun!"),
            ("Human", "The weather is fine."),
        ]
        assert all(hit.keys() == {"role", "content", "dist"} for hit in hits)
        distances = [hit["dist"] for hit in hits]
        assert distances == sorted(distances)
        assert 0 < distances[0] < 1
        assert distances[1:] == [1.0, 1.0]

    def test_the_same_words_are_no_distance_away(self, memory: Memory) -> None:
        memory.post(*say("I fly to Lisbon.", "No."))
        assert memory.ask("i fly to LISBON")[0] == {
            "role": "Human",
            "content": "I fly to Lisbon.",
            "dist": 0.0,
        }

    def test_the_role_is_not_searched(self, memory: Memory) -> None:
        memory.post(*say("hello", role="Lisbon"))
        assert memory.ask("Lisbon") == [{"role": "Lisbon", "content": "hello", "dist": 1.0}]

    def test_there_are_ten_at_most_also_from_beyond_the_window(self, memory: Memory) -> None:
        memory.post(*say("I fly to Lisbon.", *map(str, range(40))))
        hits = memory.ask("Lisbon")
        assert len(hits) == 10
        assert hits[0]["content"] == "I fly to Lisbon."

    def test_is_of_this_session_only(self, memory: Memory) -> None:
        Memory(memory.client, f"{memory.name} 2").post(*say("Lisbon"))
        memory.post(*say("Porto"))
        assert [hit["content"] for hit in memory.ask("Lisbon")] == ["Porto"]

    def test_nothing_said_is_nothing_found(self, either: Memory) -> None:
        assert either.ask("Lisbon") == []
        either.post(context="Lisbon")
        assert either.ask("Lisbon") == []

    def test_can_be_switched_off(self, conninfo: str) -> None:
        with serving(conninfo, motorhead_long_term_memory=False) as client:
            answer = client.post("/sessions/a/retrieval", json={"text": "Lisbon"})
            assert (answer.status_code, answer.text) == (400, "Long term memory is disabled")
            assert answer.headers["content-type"].startswith("text/plain")
            assert_refused(client.post("/sessions/a/retrieval", json={"word": "Lisbon"}))


def assert_refused(answer: Response, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.keys() == {"error"}
    assert isinstance(body["error"], str)
    assert body["error"]
    return body["error"]


SECRET = "sherry in the cellar"
BAD_MEMORIES = {
    "no JSON": "{",
    "nothing": "",
    "a list": "[]",
    "a NUL character": f'{{"messages": [{{"role": "a", "content": "{SECRET}\\u0000"}}]}}',
    "half a character": f'{{"messages": [{{"role": "a", "content": "{SECRET}\\ud800"}}]}}',
}


class TestErrors:
    @pytest.mark.parametrize("body", BAD_MEMORIES.values(), ids=BAD_MEMORIES.keys())
    def test_a_memory_that_cannot_be_taken(self, either: Memory, body: str) -> None:
        headers = {"Content-Type": "application/json"}
        answer = either.client.post(f"{either.path}/memory", content=body.encode(), headers=headers)
        assert SECRET not in assert_refused(answer)
        assert "items" not in either.native("/events")

    @pytest.mark.parametrize("body", ["{", '{"text": 1}'])
    def test_a_question_that_cannot_be_taken(self, either: Memory, body: str) -> None:
        headers = {"Content-Type": "application/json"}
        assert_refused(either.client.post(f"{either.path}/retrieval", content=body.encode(), headers=headers))

    @pytest.mark.parametrize("path", ["memory", "retrieval"])
    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "json", ""])
    def test_a_content_type_that_is_not_json(self, memory: Memory, path: str, content_type: str) -> None:
        body = json.dumps({"messages": [], "text": "a"})
        headers = {"Content-Type": content_type}
        assert_refused(memory.client.post(f"{memory.path}/{path}", content=body.encode(), headers=headers))

    def test_a_name_that_cannot_be_one(self, shared: TestClient) -> None:
        for name in ("a%00b", "a%0Ab", "x" * 513):
            assert_refused(shared.get(f"/sessions/{name}/memory"))

    @pytest.mark.parametrize(
        ("segment", "name"),
        [("a%20b", "a b"), ("%E2%9C%88", "✈"), ("a:b+c%3Fd%23", "a:b+c?d#"), ("a%2Fb", "a/b"), (".a", ".a")],
    )
    def test_a_name_is_decoded(self, shared: TestClient, segment: str, name: str) -> None:
        namespace = str(uuid4())
        memory = Memory(shared, segment)
        memory.post(*say("x"), namespace=namespace)
        assert memory.contents()[0] == "x"
        assert listed(shared, namespace=namespace) == [name]

    def test_too_large_a_body(self, conninfo: str) -> None:
        with serving(conninfo, body_bytes_max=1024) as client:
            assert_refused(Memory(client, "a").send({"messages": say("x" * 2000)}), 413)
            in_pieces = (b" " * 500 for _ in range(5))  # so that nobody knows its length before
            assert_refused(client.post("/sessions/a/memory", content=in_pieces), 413)

    @pytest.mark.slow
    def test_a_database_that_is_gone(self, client: TestClient, server: str, conninfo: str) -> None:
        with database_gone(server, conninfo):
            reading = client.get("/sessions/a/memory")
            writing = client.post("/sessions/a/memory", json={"messages": say("x")})
        for answer in (reading, writing):
            assert_refused(answer, 503)
            assert int(answer.headers["retry-after"]) > 0

    @pytest.mark.parametrize("path", ["memory/search", "", "memory/1", "messages"])
    def test_there_are_no_other_endpoints(self, memory: Memory, path: str) -> None:
        assert memory.client.get(f"{memory.path}/{path}").status_code == 404


class TestKeys:
    @pytest.mark.parametrize(
        ("headers", "path"),
        [
            ({"x-metal-api-key": "{key}", "x-metal-client-id": "anybody"}, ""),
            ({"x-metal-api-key": "{key}"}, MANAGED),
            ({"Authorization": "Bearer {key}"}, ""),
            ({"X-API-Key": "{key}"}, ""),
            ({}, "/key/{key}"),
            ({}, "/key/{key}" + MANAGED),
        ],
        ids=str,
    )
    def test_may_come_in_many_ways(
        self, client: TestClient, key_for: Callable[..., str], headers: dict[str, str], path: str
    ) -> None:
        key = key_for()
        headers = {name: value.format(key=key) for name, value in headers.items()}
        at = f"{path.format(key=key)}/sessions/a/memory"
        assert client.post(at, json={"messages": say("x")}, headers=headers).status_code == 200
        assert "x" in client.get(at, headers=headers).text

    def test_may_come_as_a_password(self, client: TestClient, key_for: Callable[..., str]) -> None:
        key = key_for()
        assert client.get("/sessions/a/memory", auth=("anybody", key)).status_code == 200
        assert client.get("/sessions/a/memory", auth=("anybody", "wrong")).status_code == 401

    @pytest.mark.parametrize("headers", [{}, {"x-metal-api-key": "rk_wrong"}], ids=str)
    def test_missing_or_strange_ones_are_refused(
        self, client: TestClient, key_for: Callable[..., str], headers: dict[str, str]
    ) -> None:
        key_for()
        for base in ("", MANAGED):
            at = f"{base}/sessions/a"
            for answer in (
                client.get(f"{base}/sessions", headers=headers),
                client.get(f"{at}/memory", headers=headers),
                client.post(f"{at}/memory", json={"messages": say("x")}, headers=headers),
                client.delete(f"{at}/memory", headers=headers),
                client.post(f"{at}/retrieval", json={"text": "x"}, headers=headers),
                client.get("/v1/keys/current", headers=headers),
                client.get("/v1/motorhead/keys/current", headers=headers),
            ):
                assert_refused(answer, 401)
                assert answer.headers["www-authenticate"] == "Bearer"

    def test_that_only_read_do_not_write(self, client: TestClient, key_for: Callable[..., str]) -> None:
        key_for()
        headers = {"x-metal-api-key": key_for("default", "read")}
        at = "/sessions/a"
        assert client.get(f"{at}/memory", headers=headers).status_code == 200
        assert client.post(f"{at}/retrieval", json={"text": "x"}, headers=headers).status_code == 200
        assert_refused(client.post(f"{at}/memory", json={"messages": say("x")}, headers=headers), 403)
        assert_refused(client.delete(f"{at}/memory", headers=headers), 403)

    def test_of_another_project_see_nothing(self, client: TestClient, key_for: Callable[..., str]) -> None:
        ours, theirs = ({"x-metal-api-key": key_for(project)} for project in ("ours", "theirs"))
        at = "/sessions/a"
        client.post(f"{at}/memory", json={"messages": say("x"), "context": "X."}, headers=ours)
        assert client.get(f"{at}/memory", headers=theirs).json() == NOTHING
        assert client.get("/sessions", headers=theirs).json() == []
        assert client.post(f"{at}/retrieval", json={"text": "x"}, headers=theirs).json() == []
        client.delete(f"{at}/memory", headers=theirs)
        assert client.get("/sessions", headers=ours).json() == ["a"]

    @pytest.mark.parametrize("path", ["/v1/keys/current", "/v1/motorhead/keys/current"])
    def test_are_known_to_be_good(self, client: TestClient, key_for: Callable[..., str], path: str) -> None:
        assert client.get(path).status_code == 200  # a server without keys
        headers = {"x-metal-api-key": key_for(), "x-metal-client-id": "anybody"}
        answer = client.get(path, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"data": OK})


class TestOtherClients:
    """What clients send that are part of larger programs, request by request."""

    def test_n8n(self, client: TestClient, key_for: Callable[..., str]) -> None:
        """Credentials are a host, a key and a client id; memory is LangChain's class at <host>/motorhead."""
        headers = {"x-metal-api-key": key_for(), "x-metal-client-id": "n8n"}
        host = "/v1"
        assert client.get(f"{host}/keys/current", headers=headers).status_code == 200
        at = f"{host}/motorhead/sessions/chat/memory"
        headers["Content-Type"] = "application/json"
        before = client.get(at, headers=headers).json()
        assert (before.get("data") or before) == NOTHING
        exchange = [*say("Hello"), *say("Hi!", role="AI")]
        answer = client.post(
            at, content=json.dumps({"messages": exchange}, separators=(",", ":")), headers=headers
        )
        assert answer.status_code == 200
        assert client.get(at, headers=headers).json() == {
            "data": {"messages": exchange[::-1], "context": None, "tokens": 0}
        }

    def test_flowise(self, client: TestClient) -> None:
        """Its own reader knows ``data`` alone; clearing is a DELETE, and what it answers is not read."""
        at = f"{MANAGED}/sessions/chat/memory"
        client.post(at, json={"messages": [*say("Hello"), *say("Hi!", role="AI")]})
        data = client.get(at, headers={"Content-Type": "application/json"}).json()["data"]
        assert [message["role"] for message in reversed(data["messages"])] == ["Human", "AI"]
        assert client.delete(at, headers={"Content-Type": "application/json"}).status_code == 200
        assert client.get(at).json() == {"data": NOTHING}


class TestServing:
    @pytest.mark.parametrize("prefix", ["/memory", "/memory/", "/a/b"])
    def test_under_a_prefix(self, conninfo: str, prefix: str) -> None:
        base = prefix.rstrip("/")
        with serving(conninfo, motorhead_prefix=prefix) as client:
            plain, managed = Memory(client, "a", base), Memory(client, "a", base + MANAGED)
            plain.post(*say("x"))
            assert managed.get() == plain.get() != NOTHING
            assert client.get(base).json().keys() == client.get(f"{base}/").json().keys() == {"now"}
            assert client.get(f"{base}/v1/keys/current").status_code == 200
            for path in ("/", "/sessions", "/v1/keys/current", f"{MANAGED}/sessions"):
                assert client.get(path).status_code == 404
            assert client.get("/v1/sessions").status_code == 200

    @pytest.mark.parametrize("prefix", ["memory", "/a b", "/{x}", "//", "/a//b", "/a?b"])
    def test_not_under_what_is_no_path(self, prefix: str) -> None:
        with pytest.raises(ValueError, match="motorhead_prefix"):
            Settings(motorhead_prefix=prefix)

    def test_not_at_all_if_told_so(self, conninfo: str) -> None:
        with serving(conninfo, protocols="zep") as client:
            for path in ("/", "/sessions", f"{MANAGED}/sessions", "/v1/keys/current"):
                assert client.get(path).status_code == 404

    def test_the_native_api_is_as_it_was(self, client: TestClient) -> None:
        paths = client.get("/openapi.json").json()["paths"]
        assert not [path for path in paths if "motorhead" in path or not path.startswith(("/v1", "/metrics"))]
        assert client.get("/v1/sessions/motorhead").status_code == 404
        assert client.get("/v1/sessions").json()["items"] == []

    def test_its_routes_are_counted_by_their_templates(self, client: TestClient) -> None:
        Memory(client, "secret").post(*say("x"))
        numbers = client.get("/metrics").text
        assert 'route="/sessions/{session_id}/memory"' in numbers
        assert "secret" not in numbers
