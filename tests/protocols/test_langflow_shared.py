"""What people say to a flow that is shared with them: each caller's own, apart from all else (§5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.protocols.langflow.rules import derive_shared_flow_id
from recountdb.api.services.keys import Key, create_key
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Database
from tests.support.postgres import new_database
from tests.support.responding import Answering, chat_answer

MONITOR = "/api/v1/monitor/messages"
SHARED = f"{MONITOR}/shared"


class Caller:
    """Somebody with a key, and what they say to a shared flow."""

    def __init__(self, client: TestClient, key: tuple[Key, str], flow: str) -> None:
        self.client, self.flow = client, flow
        self.headers = {"x-api-key": key[1]}
        # The flow id under which they speak.
        self.own = str(derive_shared_flow_id(f"key:{key[0].id}", UUID(flow)))

    def ask(self, method: str, url: str, **more: Any) -> Any:
        return self.client.request(method, url, headers=self.headers, **more)

    def say(self, session: str, *texts: str, flow: str | None = None) -> list[str]:
        """Returns the ids of the messages."""
        path, said = f"/v1/sessions/{session}/messages", [{"role": "user", "content": text} for text in texts]
        answer = self.ask("POST", path, params={"scope": flow or self.own}, json={"messages": said})
        assert answer.status_code == 201, answer.text
        return [message["id"] for message in answer.json()["messages"]]

    def shared(self, path: str = "", **query: Any) -> Any:
        answer = self.ask("GET", f"{SHARED}{path}", params={"source_flow_id": self.flow, **query})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def texts(self, **query: Any) -> list[str]:
        return [message["text"] for message in self.shared(**query)]

    def all_texts(self, **query: Any) -> list[str]:
        """Of what is no shared flow's."""
        return [message["text"] for message in self.ask("GET", MONITOR, params=query).json()]


@pytest.fixture(scope="module")
def conninfo(server: str, template: str) -> Iterator[str]:
    """One database for the tests of this file, each with projects of its own."""
    with new_database(server, template=template) as name:
        yield make_conninfo(server, dbname=name)


@pytest.fixture(scope="module")
def client(conninfo: str) -> Iterator[TestClient]:
    with Answering(chat_answer).running() as model:
        settings = Settings(responder_url=model.url)
        with TestClient(create_app(settings, conninfo), base_url="http://127.0.0.1") as client:
            yield client


@pytest.fixture(scope="module")
def keys(conninfo: str) -> Iterator[Database]:
    database = Database(conninfo)
    database.open()
    yield database
    database.close()


@pytest.fixture
def callers(client: TestClient, keys: Database) -> tuple[Caller, Caller]:
    """Ana and Bob, who have a project in common, and a flow that is shared with both."""
    project, flow = f"project-{uuid4()}", str(uuid4())
    ana, bob = (create_key(keys, project=project, scopes=["read", "write"]) for _ in range(2))
    return Caller(client, ana, flow), Caller(client, bob, flow)


@pytest.fixture
def ana(callers: tuple[Caller, Caller]) -> Caller:
    return callers[0]


def test_the_flow_id_is_of_version_5_and_for_ever_the_same() -> None:
    """Conversations would be lost if it changed. As Langflow derives it, of who calls and the flow."""
    flow = UUID("0e9d0c6e-6f4a-4b39-9d2f-0c9b6c8f1a01")
    assert str(derive_shared_flow_id("key:0a1b2c3d", flow)) == "e350ae1d-ee59-5aeb-ae69-efc840b33dc9"
    assert derive_shared_flow_id("key:0a1b2c3d", flow).version == 5
    assert derive_shared_flow_id("local", flow) != derive_shared_flow_id("key:0a1b2c3d", flow)
    assert derive_shared_flow_id("local", uuid4()) != derive_shared_flow_id("local", flow)


def test_each_caller_reads_their_own(callers: tuple[Caller, Caller]) -> None:
    ana, bob = callers
    ana.say("s", "a", "b")
    ana.say("t", "c")
    bob.say("s", "d")
    assert (ana.texts(), bob.texts()) == (["a", "b", "c"], ["d"])
    assert (ana.shared("/sessions"), bob.shared("/sessions")) == (["t", "s"], ["s"])
    assert {message["flow_id"] for message in ana.shared()} == {ana.own}
    other = {"source_flow_id": str(uuid4())}
    assert ana.texts(**other) == ana.shared("/sessions", **other) == []


def test_reading_has_the_same_words(ana: Caller) -> None:
    ana.say("s", *"abc")
    ana.say("t", "d")
    ana.say("agentic_x", "e")
    assert ana.texts(limit=2, offset=1, order="DESC") == ["d", "c"]
    assert ana.texts(session_id="s", order_by="text", order="desc") == ["c", "b", "a"]
    assert ana.texts(sender="Machine") == []
    assert ana.shared("/sessions", limit=1, offset=1) == ["s"]
    strange = {"source_flow_id": ana.flow, "order_by": "flow_id"}
    assert ana.ask("GET", SHARED, params=strange).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/sessions"),
        ("PUT", "/7a1d5b0c-3b2a-4d6e-9c64-0d8f5f2b7a22"),
        ("PATCH", "/session/s"),
        ("DELETE", "/session/s"),
    ],
)
def test_the_flow_is_required(ana: Caller, method: str, path: str) -> None:
    for given, kind in (({}, "missing"), ({"source_flow_id": "x"}, "uuid_parsing")):
        answer = ana.ask(method, f"{SHARED}{path}", params={"new_session_id": "t", **given}, json={})
        assert answer.status_code == 422
        (error,) = answer.json()["detail"]
        assert (error["loc"], error["type"]) == (["query", "source_flow_id"], kind)


class TestChanging:
    def put(self, who: Caller, message_id: str, **members: Any) -> Any:
        return who.ask("PUT", f"{SHARED}/{message_id}", params={"source_flow_id": who.flow}, json=members)

    def test_a_message_of_ones_own(self, callers: tuple[Caller, Caller]) -> None:
        ana, bob = callers
        (message_id,) = ana.say("s", "a")
        changed = self.put(ana, message_id, text="b", session_id="t").json()
        assert (changed["id"], changed["text"], changed["edit"]) == (message_id, "b", True)
        assert (changed["session_id"], changed["flow_id"]) == ("t", ana.own)
        (elsewhere,) = ana.say("s", "x", flow=str(uuid4()))
        for who, other in ((bob, message_id), (ana, elsewhere), (ana, str(uuid4()))):
            answer = self.put(who, other, text="c")
            assert (answer.status_code, answer.json()) == (404, {"detail": "Message not found"})
        assert ana.texts() == ["b"]

    def test_files_may_be_of_the_flow_that_is_shared(self, callers: tuple[Caller, Caller]) -> None:
        ana, _ = callers
        (message_id,) = ana.say("s", "a")
        files = [f"{ana.flow}/a.png"]
        assert self.put(ana, message_id, files=files).json()["files"] == files
        assert self.put(ana, message_id, files=[f"{uuid4()}/a.png"]).status_code == 400

    def test_a_session_is_renamed_for_its_caller_alone(self, callers: tuple[Caller, Caller]) -> None:
        ana, bob = callers
        ana.say("s", "a")
        ana.say("t", "b")
        for who, flow in ((bob, bob.own), (bob, bob.flow)):
            who.say("s", "others'", flow=flow)
        query = {"source_flow_id": ana.flow, "new_session_id": "t"}
        answer = ana.ask("PATCH", f"{SHARED}/session/s", params=query)
        assert [message["text"] for message in answer.json()] == ["a"]
        assert (ana.texts(session_id="t"), ana.shared("/sessions")) == (["a", "b"], ["t"])
        assert bob.texts(session_id="s") == bob.all_texts(session_id="s") == ["others'"]
        assert ana.ask("PATCH", f"{SHARED}/session/s", params=query).status_code == 404

    def test_a_session_is_deleted_for_its_caller_alone(self, callers: tuple[Caller, Caller]) -> None:
        ana, bob = callers
        ana.say("s", "a")
        ana.say("t", "b")
        for who, flow in ((bob, bob.own), (bob, bob.flow)):
            who.say("s", "others'", flow=flow)
        for _ in range(2):  # the second time there is none, which is as well
            answer = ana.ask("DELETE", f"{SHARED}/session/s", params={"source_flow_id": ana.flow})
            assert (answer.status_code, answer.content) == (204, b"")
        assert ana.texts() == ["b"]
        assert bob.texts() == bob.all_texts() == ["others'"]


class TestNormalEndpoints:
    """Of what is said to shared flows they know nothing."""

    def test_they_do_not_read_it(self, ana: Caller) -> None:
        ana.say("s", "shared")
        flow = str(uuid4())
        ana.say("t", "own", flow=flow)
        assert ana.all_texts() == ana.all_texts(flow_id=flow) == ["own"]
        assert ana.all_texts(session_id="s") == ana.all_texts(flow_id=ana.own) == []
        assert ana.ask("GET", f"{MONITOR}/sessions").json() == ["t"]

    def test_what_is_left_out_takes_no_place_on_a_page(self, ana: Caller) -> None:
        flow = str(uuid4())
        for number in range(3):
            ana.say(f"o{number}", f"own {number}", flow=flow)
            ana.say(f"s{number}", f"shared {number}")
        assert ana.all_texts(limit=2) == ["own 1", "own 2"]
        query = {"limit": 2, "offset": 1}
        assert ana.ask("GET", f"{MONITOR}/sessions", params=query).json() == ["o1", "o0"]

    def test_they_do_not_change_it(self, ana: Caller) -> None:
        (message_id,) = ana.say("s", "shared")
        assert ana.ask("PUT", f"{MONITOR}/{message_id}", json={"text": "x"}).status_code == 404
        rename = f"{MONITOR}/session/s?new_session_id=t"
        assert ana.ask("PATCH", rename).status_code == 404
        assert ana.ask("DELETE", MONITOR, json=[message_id]).status_code == 204
        assert ana.ask("DELETE", f"{MONITOR}/session/s").status_code == 204
        assert ana.ask("DELETE", f"{MONITOR}/sessions", json=["s"]).json()["deleted_count"] == 0
        assert ana.texts() == ["shared"]

    @pytest.mark.parametrize("flow", ["", "an-endpoint", "11111111-2222-4333-8444-555555555555"])
    def test_what_is_no_shared_flow_stays(self, ana: Caller, flow: str) -> None:
        path = "/v1/sessions/s/messages"
        body = {"messages": [{"role": "user", "content": "x"}]}
        ana.ask("POST", path, params={"scope": flow}, json=body)
        assert ana.all_texts() == ["x"]


def test_a_run_by_a_shared_flows_id_writes_into_it(callers: tuple[Caller, Caller]) -> None:
    """There is no other way in Langflow's words."""
    ana, bob = callers
    answer = ana.ask("POST", f"/api/v1/run/{ana.own}", json={"input_value": "Hello", "session_id": "s"})
    assert answer.status_code == 200, answer.text
    assert ana.texts(session_id="s") == ["Hello", "I know 1 messages."]
    assert ana.all_texts() == bob.texts() == []


def test_without_keys_everybody_is_the_same_caller(server: str, template: str) -> None:
    flow = uuid4()
    with new_database(server, template=template) as name:
        app = create_app(Settings(), make_conninfo(server, dbname=name))
        with TestClient(app, base_url="http://127.0.0.1") as client:
            scope = {"scope": str(derive_shared_flow_id("local", flow))}
            body = {"messages": [{"role": "user", "content": "x"}]}
            client.post("/v1/sessions/s/messages", params=scope, json=body)
            assert len(client.get(SHARED, params={"source_flow_id": str(flow)}).json()) == 1
