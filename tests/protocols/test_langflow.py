"""Langflow's message history over HTTP, rule by rule of its contract (the numbers are its sections)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.services.keys import create_key
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Database
from tests.support.langflow_shapes import LIST_ITEM, PROPERTIES, SINGLE
from tests.support.postgres import new_database

MONITOR = "/api/v1/monitor/messages"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def conninfo(server: str, template: str) -> Iterator[str]:
    """One database for the tests of this file, each with flows and sessions of its own."""
    with new_database(server, template=template) as name:
        yield make_conninfo(server, dbname=name)


@pytest.fixture(scope="module")
def client(conninfo: str) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(), conninfo), base_url="http://127.0.0.1") as client:
        yield client


class Flow:
    """A flow of a test's own, and what is written into it."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.id = str(uuid4())
        self.session = f"session {uuid4()}"
        self.said = 0

    def say(
        self,
        *texts: Any,
        session: str | None = None,
        sender: str = "User",
        at: datetime | None = None,
        **extras: Any,
    ) -> list[str]:
        """Messages, a minute apart from noon on by default; returns their ids."""
        messages = []
        for text in texts:
            moment = at or NOON + timedelta(minutes=self.said)
            self.said += 1
            role = {"User": "user", "Machine": "assistant"}.get(sender, sender)
            name = extras.get("sender_name", "AI" if sender == "Machine" else "User")
            kept = {"sender": sender, **{k: v for k, v in extras.items() if k != "sender_name"}}
            messages.append(
                {
                    "role": role,
                    "content": text,
                    "name": name,
                    "timestamp": moment.isoformat(),
                    "metadata": {"langflow": kept},
                }
            )
        path = f"/v1/sessions/{session or self.session}/messages"
        answer = self.client.post(path, params={"scope": self.id}, json={"messages": messages})
        assert answer.status_code == 201, answer.text
        return [message["id"] for message in answer.json()["messages"]]

    def listed(self, **query: Any) -> list[dict[str, Any]]:
        answer = self.client.get(MONITOR, params={"flow_id": self.id, **query})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found

    def texts(self, **query: Any) -> list[str]:
        return [message["text"] for message in self.listed(**query)]

    def sessions(self, **query: Any) -> list[str]:
        answer = self.client.get(f"{MONITOR}/sessions", params={"flow_id": self.id, **query})
        assert answer.status_code == 200, answer.text
        found: list[str] = answer.json()
        return found

    def put(self, message_id: str, **members: Any) -> dict[str, Any]:
        answer = self.client.put(f"{MONITOR}/{message_id}", json=members)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def flow(client: TestClient) -> Flow:
    return Flow(client)


class TestShapes:
    """§3"""

    def test_a_list_item_has_just_its_keys_in_their_order(self, flow: Flow) -> None:
        (message_id,) = flow.say("hello", files=["a.png", "b.txt"], error=True, run_id=str(uuid4()))
        (item,) = flow.listed()
        assert list(item) == LIST_ITEM
        assert item == {
            "id": message_id,
            "flow_id": flow.id,
            "timestamp": "2026-11-20 12:00:00.000000 UTC",
            "sender": "User",
            "sender_name": "User",
            "session_id": flow.session,
            "context_id": None,
            "text": "hello",
            "files": '["a.png", "b.txt"]',
            "edit": False,
            "duration": None,
            "properties": PROPERTIES,
            "category": "message",
            "content_blocks": [],
            "session_metadata": None,
        }

    def test_a_single_message_has_other_keys(self, flow: Flow) -> None:
        run_id = str(uuid4())
        (message_id,) = flow.say("hello", files=["a.png"], error=True, run_id=run_id, context_id="c")
        message = flow.put(message_id)
        assert list(message) == SINGLE
        assert (message["files"], message["error"], message["run_id"]) == (["a.png"], True, run_id)
        assert message["context_id"] == "c"


TEXT = {"type": "text", "id": "1", "duration": 3, "header": None, "contents": [], "text": "said"}
TOOL = {"type": "tool_use", "id": "2", "duration": 1, "header": None, "contents": [], "name": "t"}


class TestContentBlocks:
    """§3.2"""

    def test_they_are_stored_as_they_came(self, flow: Flow) -> None:
        (message_id,) = flow.say("x", content_blocks=[TEXT, TOOL])
        assert [group["title"] for group in flow.listed()[0]["content_blocks"]] == ["Agent Steps"]
        kept = flow.client.get(f"/v1/messages/{message_id}").json()["metadata"]["langflow"]
        assert kept["content_blocks"] == [TEXT, TOOL]


class TestWindow:
    """§4: the newest ``limit`` after skipping ``offset``, and only then in order."""

    def test_the_default_is_the_last_hundred_the_oldest_first(self, flow: Flow) -> None:
        flow.say(*(f"{number:03}" for number in range(250)))
        assert flow.texts() == [f"{number:03}" for number in range(150, 250)]
        assert flow.texts(limit=0) == flow.texts()
        assert flow.texts(limit=10**6) == [f"{number:03}" for number in range(50, 250)]

    def test_windows(self, flow: Flow) -> None:
        flow.say(*"abcdefg")
        assert flow.texts(limit=3) == ["e", "f", "g"]
        assert flow.texts(limit=3, offset=2) == ["c", "d", "e"]
        assert flow.texts(limit=3, offset=2, order="desc") == ["e", "d", "c"]
        assert flow.texts(offset=100) == []

    def test_another_order_is_within_the_window(self, flow: Flow) -> None:
        flow.say("z", "b", "c", "a")
        assert flow.texts(order_by="text", limit=3) == ["a", "b", "c"]
        assert flow.texts(order_by="text", limit=3, order="DESC") == ["c", "b", "a"]

    def test_what_is_equal_in_another_order_stays_newest_first(self, flow: Flow) -> None:
        flow.say("1", "2")
        flow.say("3", sender="Machine")
        flow.say("4")
        assert flow.texts(order_by="sender") == ["3", "4", "2", "1"]
        assert flow.texts(order_by="sender", order="DESC") == ["4", "2", "1", "3"]

    def test_an_empty_order_is_newest_first(self, flow: Flow) -> None:
        flow.say("a", "b")
        assert flow.texts(order_by="", order="ASC") == ["b", "a"]

    def test_sessions_of_a_flow_interleave_by_time(self, flow: Flow) -> None:
        flow.say("a", "b", session=f"{flow.session} 1")
        flow.say("c", session=f"{flow.session} 2")
        flow.say("d", session=f"{flow.session} 1")
        flow.say("early", session=f"{flow.session} 3", at=NOON - timedelta(days=1))
        assert flow.texts() == ["early", "a", "b", "c", "d"]
        assert flow.texts(limit=2, offset=1) == ["b", "c"]

    def test_equal_times_go_by_the_order_of_recording(self, flow: Flow) -> None:
        flow.say(*"abc", at=NOON)
        assert flow.texts() == ["a", "b", "c"]
        assert flow.texts(limit=2, order="DESC") == ["c", "b"]

    def test_messages_in_error_are_listed(self, flow: Flow) -> None:
        flow.say("failed", sender="OpenAI", error=True, category="error")
        assert flow.texts() == ["failed"]

    def test_all_are_listed_where_the_server_says_so(self, conninfo: str) -> None:
        app = create_app(Settings(langflow_list_all=True), conninfo)
        with TestClient(app, base_url="http://127.0.0.1") as client:
            flow = Flow(client)
            flow.say(*(f"{number:03}" for number in range(230)))
            assert len(flow.texts()) == len(flow.texts(limit=0)) == 230
            assert flow.texts(limit=1) == ["229"]


class TestFilters:
    """§4"""

    def test_by_session_decoded_once_more(self, flow: Flow) -> None:
        flow.say("a", session=f"{flow.session} x%2By".replace("%", "%25"))
        flow.say("b")
        (name,) = (name for name in flow.sessions() if name != flow.session)
        assert name.endswith("x%2By")
        assert flow.texts(session_id=name.replace("%", "%25").replace(" ", "%20")) == ["a"]
        assert flow.texts(session_id="") == ["a", "b"]

    def test_by_sender_and_name(self, flow: Flow) -> None:
        flow.say("a")
        flow.say("b", sender="Machine", sender_name="Robot")
        flow.say("c", sender="OpenAI", category="error")
        plain = [{"role": role, "content": role} for role in ("human", "ai", "tool")]
        flow.client.post(
            f"/v1/sessions/{flow.session}/messages", params={"scope": flow.id}, json={"messages": plain}
        )
        assert flow.texts(sender="User") == ["a", "human"]
        assert flow.texts(sender="Machine") == ["b", "ai"]
        assert flow.texts(sender="OpenAI") == ["c"]
        assert flow.texts(sender="tool") == ["tool"]
        assert flow.texts(sender_name="Robot") == ["b"]
        assert flow.texts(sender_name="AI") == ["ai"]
        assert len(flow.texts(sender="", sender_name="")) == 6

    def test_by_owner(self, flow: Flow) -> None:
        user = str(uuid4())
        body = {"messages": [{"role": "user", "content": "mine", "user_id": user}]}
        flow.client.post(f"/v1/sessions/{flow.session}/messages", params={"scope": flow.id}, json=body)
        flow.say("nobody's")
        for spelling in (user, user.upper(), user.replace("-", "")):
            assert flow.texts(end_user_id=spelling) == ["mine"]

    def test_by_an_owner_who_has_no_uuid(self, flow: Flow) -> None:
        """Langflow makes one of their id; what was written in its process or imported has that."""
        known_as = "5ddc0990-dc4d-5e2a-bfa9-e61931267ae5"
        for user in (known_as, "alice", "bob"):
            body = {"messages": [{"role": "user", "content": user, "user_id": user}]}
            flow.client.post(f"/v1/sessions/{flow.session}/messages", params={"scope": flow.id}, json=body)
        assert flow.texts(end_user_id="alice") == [known_as, "alice"]

    def test_an_unknown_flow_is_empty(self, client: TestClient) -> None:
        answer = client.get(MONITOR, params={"flow_id": str(uuid4())})
        assert (answer.status_code, answer.json()) == (200, [])

    def test_the_flow_may_be_written_in_any_way(self, flow: Flow) -> None:
        flow.say("a")
        for other in (flow.id.upper(), flow.id.replace("-", "")):
            assert flow.client.get(MONITOR, params={"flow_id": other}).json() == flow.listed()

    @pytest.mark.parametrize(
        ("query", "location", "kind"),
        [
            ({"flow_id": "x"}, ["query", "flow_id"], "uuid_parsing"),
            ({"limit": -1}, ["query", "limit"], "greater_than_equal"),
            ({"offset": -1}, ["query", "offset"], "greater_than_equal"),
            ({"limit": "many"}, ["query", "limit"], "int_parsing"),
            ({"sender": "\x00"}, ["query", "sender"], "value_error"),
        ],
    )
    def test_what_is_not_valid_is_a_422(
        self, client: TestClient, query: dict[str, Any], location: list[str], kind: str
    ) -> None:
        answer = client.get(MONITOR, params=query)
        assert answer.status_code == 422
        (error,) = answer.json()["detail"]
        assert (error["loc"], error["type"]) == (location, kind)
        assert set(error) <= {"type", "loc", "msg", "ctx"}

    @pytest.mark.parametrize(
        "query", [{"order_by": "flow_id"}, {"order": "UP"}, {"order": ""}, {"order_by": "", "order": "UP"}]
    )
    def test_an_order_that_there_is_not_is_a_400(self, client: TestClient, query: dict[str, str]) -> None:
        answer = client.get(MONITOR, params=query)
        assert answer.status_code == 400
        assert isinstance(answer.json()["detail"], str)

    def test_without_a_flow_all_are_listed(self, client: TestClient) -> None:
        name = f"everywhere {uuid4()}"
        flows = [Flow(client), Flow(client)]
        for flow in flows:
            flow.say(flow.id, session=name)
        found = client.get(MONITOR, params={"session_id": name}).json()
        assert {item["flow_id"] for item in found} == {flow.id for flow in flows}


class TestSessions:
    """§4"""

    def test_they_come_by_their_newest_message(self, flow: Flow) -> None:
        one, two, three = (f"{flow.session} {number}" for number in (1, 2, 3))
        flow.say("a", session=one)
        flow.say("b", session=two)
        flow.say("c", session=one)
        flow.say("d", session=three, at=NOON - timedelta(hours=1))
        assert flow.sessions() == [one, two, three]
        assert flow.sessions(limit=1, offset=1) == [two]

    def test_those_of_agents_are_left_out(self, flow: Flow) -> None:
        flow.say("a", session=f"agentic_{flow.session}")
        assert flow.sessions() == []
        assert flow.texts() == ["a"]

    def test_one_entry_for_a_name_that_several_flows_use(self, client: TestClient) -> None:
        name = f"shared {uuid4()}"
        for flow in (Flow(client), Flow(client)):
            flow.say("x", session=name, at=datetime.now(UTC))
        names = client.get(f"{MONITOR}/sessions", params={"limit": 200}).json()
        assert names.count(name) == 1

    def test_bounds(self, flow: Flow) -> None:
        for number in range(205):
            flow.say("x", session=f"{flow.session} {number}")
        assert (len(flow.sessions()), len(flow.sessions(limit=1000))) == (100, 200)
        answer = flow.client.get(f"{MONITOR}/sessions", params={"flow_id": flow.id, "limit": -1})
        assert answer.status_code == 422

    def test_one_without_messages_is_none(self, flow: Flow) -> None:
        (message_id,) = flow.say("x")
        flow.client.request("DELETE", MONITOR, json=[message_id])
        assert flow.sessions() == []

    def test_no_message_is_read_or_posted_by_itself(self, client: TestClient) -> None:
        assert client.get(f"{MONITOR}/{uuid4()}").status_code == 405
        assert client.post(MONITOR, json={}).status_code == 405


class TestUpdate:
    """§5"""

    def test_what_is_given_changes_and_is_an_edit(self, flow: Flow) -> None:
        (message_id,) = flow.say("hello")
        blocks = [{"title": "Code", "contents": [], "allow_markdown": True, "media_url": None}]
        changed = flow.put(
            message_id,
            text="Hello!",
            sender_name="Ana",
            context_id="c",
            error=True,
            category="warning",
            session_metadata={"a": 1},
            content_blocks=blocks,
            files=[f"{flow.id}/a.png"],
        )
        assert changed == {
            **changed,
            "text": "Hello!",
            "sender": "User",
            "sender_name": "Ana",
            "context_id": "c",
            "error": True,
            "edit": True,
            "category": "warning",
            "session_metadata": {"a": 1},
            "content_blocks": blocks,
            "files": [f"{flow.id}/a.png"],
            "timestamp": "2026-11-20 12:00:00.000000 UTC",
        }
        types = [
            event["type"]
            for event in flow.client.get(f"/v1/sessions/{flow.session}/events?scope={flow.id}").json()[
                "items"
            ]
        ]
        assert "session.message-edited" in types

    def test_another_sender_is_another_role(self, flow: Flow) -> None:
        (message_id,) = flow.say("hello")
        assert flow.put(message_id, sender="Machine")["sender"] == "Machine"
        assert flow.client.get(f"/v1/messages/{message_id}").json()["role"] == "assistant"
        assert flow.put(message_id, sender="OpenAI", category="error")["sender"] == "OpenAI"
        assert flow.client.get(f"/v1/messages/{message_id}").json()["role"] == "assistant"
        assert flow.put(message_id, category="message")["sender"] == "OpenAI"
        assert flow.client.get(f"/v1/messages/{message_id}").json()["role"] == "OpenAI"

    def test_the_flag_of_an_edit(self, flow: Flow) -> None:
        (message_id,) = flow.say("hello")
        assert flow.put(message_id, text="hello", edit=True)["edit"] is True
        assert flow.put(message_id, text="hello", edit=False)["edit"] is False
        assert flow.put(message_id, text="other", edit=False)["edit"] is True
        assert flow.put(message_id, sender_name="Ana")["edit"] is True
        assert flow.put(message_id, text="other", edit=False)["edit"] is False

    def test_null_is_not_given_and_strangers_are_passed_over(self, flow: Flow) -> None:
        (message_id,) = flow.say("hello", category="info")
        before = flow.put(message_id)
        strangers = {"timestamp": "2020-01-01 00:00:00 UTC", "flow_id": str(uuid4()), "bogus": 1}
        assert flow.put(message_id, text=None, category=None, session_id=None, **strangers) == before

    def test_properties_are_replaced_whole(self, flow: Flow) -> None:
        (message_id,) = flow.say("hello", properties={"icon": "bot", "usage": {"input_tokens": 1}})
        assert flow.put(message_id, properties={"positive_feedback": True})["properties"] == {
            **PROPERTIES,
            "positive_feedback": True,
        }
        flow.put(message_id, properties={"usage": {"output_tokens": 2}})
        (item,) = flow.listed()
        usage = {"input_tokens": None, "output_tokens": 2, "total_tokens": None}
        assert item["properties"] == {**PROPERTIES, "usage": usage}

    def test_session_metadata_are_replaced_whole(self, flow: Flow) -> None:
        (message_id,) = flow.say("hello", session_metadata={"a": 1})
        assert flow.put(message_id, session_metadata={"b": 2})["session_metadata"] == {"b": 2}

    def test_another_session_is_joined(self, flow: Flow) -> None:
        first, second = flow.say("one", "two")
        other = f"{flow.session} other"
        moved = flow.put(first, session_id=other, text="one!")
        assert (moved["id"], moved["session_id"], moved["text"], moved["edit"]) == (
            first,
            other,
            "one!",
            True,
        )
        assert flow.texts(session_id=other) == ["one!"]
        assert flow.texts(session_id=flow.session) == ["two"]
        assert flow.put(second, session_id=other)["session_id"] == other
        assert flow.texts(session_id=other) == ["one!", "two"]
        assert flow.sessions() == [other]

    def test_a_message_comes_back_to_its_session(self, flow: Flow) -> None:
        """There its own id is that of a deleted message, so it has another from then on."""
        (message_id,) = flow.say("one")
        flow.say("two")
        flow.put(message_id, session_id=f"{flow.session} other")
        back = flow.put(message_id, session_id=flow.session)
        assert back["session_id"] == flow.session
        assert flow.texts(session_id=flow.session) == ["one", "two"]

    @pytest.mark.parametrize(
        ("body", "location"),
        [
            ({"text": 7}, ["body", "text"]),
            ({"files": "a.png"}, ["body", "files"]),
            ({"edit": "perhaps"}, ["body", "edit"]),
            ({"properties": {"targets": 1}}, ["body", "properties", "targets"]),
            ({"session_metadata": []}, ["body", "session_metadata"]),
            ({"properties": {"state": "done"}}, ["body", "properties", "state"]),
            ({"content_blocks": {}}, ["body", "content_blocks"]),
            ({"content_blocks": ["x"]}, ["body", "content_blocks", 0]),
            ({"session_id": ""}, ["body", "session_id"]),
            ([], ["body"]),
        ],
    )
    def test_wrong_types_are_a_422(self, flow: Flow, body: Any, location: list[str]) -> None:
        (message_id,) = flow.say("hello")
        answer = flow.client.put(f"{MONITOR}/{message_id}", json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == location
        assert flow.texts() == ["hello"]

    def test_what_is_wrong_has_pydantics_name(self, flow: Flow) -> None:
        (message_id,) = flow.say("hello")
        answer = flow.client.put(f"{MONITOR}/{message_id}", json={"text": 7, "edit": "perhaps"})
        assert answer.json()["detail"][0]["type"] == "string_type"
        answer = flow.client.request("DELETE", MONITOR, json=[7])
        assert answer.json()["detail"][0]["type"] == "uuid_type"

    def test_a_source_that_is_none_is_empty(self, flow: Flow) -> None:
        (message_id,) = flow.say("hello", properties={"source": "gpt"})
        changed = flow.put(message_id, properties={"source": None, "icon": "bot"})
        assert changed["properties"] == {**PROPERTIES, "icon": "bot"}

    def test_what_is_not_there_is_a_404(self, flow: Flow) -> None:
        answer = flow.client.put(f"{MONITOR}/{uuid4()}", json={"text": "x"})
        assert (answer.status_code, answer.json()) == (404, {"detail": "Message not found"})
        (message_id,) = flow.say("hello")
        flow.client.request("DELETE", MONITOR, json=[message_id])
        assert flow.client.put(f"{MONITOR}/{message_id}", json={"text": "x"}).status_code == 404
        thread = uuid4()
        body = {"messages": [{"role": "user", "content": "x"}]}
        (said,) = flow.client.post(f"/v1/threads/{thread}/messages", json=body).json()["messages"]
        assert flow.client.put(f"{MONITOR}/{said['id']}", json={"text": "y"}).status_code == 404

    def test_an_id_that_is_none_is_a_422(self, client: TestClient) -> None:
        answer = client.put(f"{MONITOR}/x", json={})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["path", "message_id"]

    @pytest.mark.parametrize(
        "file",
        [
            *("/etc/passwd", "../x", "{flow}/../x", "{flow}/a\\..\\b", "{flow}/", "{flow}/a/b.png", "x.png"),
            "0e9d0c6e-6f4a-4b39-9d2f-0c9b6c8f1a01/another's.png",
        ],
    )
    def test_files_outside_the_uploads_are_a_400(self, flow: Flow, file: str) -> None:
        (message_id,) = flow.say("hello", files=["old.png"])
        body = {"files": [file.format(flow=flow.id)]}
        assert flow.client.put(f"{MONITOR}/{message_id}", json=body).status_code == 400
        assert flow.put(message_id, files=["old.png"])["files"] == ["old.png"]

    def test_files_may_be_whose_the_message_is(self, flow: Flow) -> None:
        user = str(uuid4())
        body = {"messages": [{"role": "user", "content": "x", "user_id": user}]}
        path = f"/v1/sessions/{flow.session}/messages"
        (said,) = flow.client.post(path, params={"scope": flow.id}, json=body).json()["messages"]
        files = [f"{user}/a.png", f"{flow.id}/b.png"]
        assert flow.put(said["id"], files=files)["files"] == files

    def test_changes_at_the_same_time_all_stay(self, flow: Flow) -> None:
        (message_id,) = flow.say("hello")
        members = ["context_id", "category", "sender_name", "text"]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda member: flow.put(message_id, **{member: "new"}), members))
        changed = flow.put(message_id)
        assert {member: changed[member] for member in members} == dict.fromkeys(members, "new")
        assert changed["edit"] is True


class TestRename:
    """§5"""

    def rename(self, client: TestClient, old: str, new: str) -> list[dict[str, Any]]:
        answer = client.patch(f"{MONITOR}/session/{old}", params={"new_session_id": new}, json=None)
        assert answer.status_code == 200, answer.text
        moved: list[dict[str, Any]] = answer.json()
        return moved

    def test_all_messages_get_the_new_id(self, flow: Flow) -> None:
        ids = flow.say("a", "b")
        new = f"{flow.session} new"
        moved = self.rename(flow.client, flow.session, new)
        assert sorted(item["id"] for item in moved) == sorted(ids)
        assert all(list(item) == LIST_ITEM and item["session_id"] == new for item in moved)
        assert flow.sessions() == [new]
        session = flow.client.get(f"/v1/sessions/{new}", params={"scope": flow.id}).json()
        assert session["session_id"] == new

    def test_it_goes_over_all_flows(self, client: TestClient) -> None:
        old, new = f"old {uuid4()}", f"new {uuid4()}"
        one, two = Flow(client), Flow(client)
        one.say("a", session=old)
        two.say("b", session=old)
        two.say("c", session=new)
        moved = self.rename(client, old, new)
        assert {(item["flow_id"], item["text"]) for item in moved} == {(one.id, "a"), (two.id, "b")}
        assert (one.texts(session_id=new), two.texts(session_id=new)) == (["a"], ["b", "c"])

    def test_into_one_that_is_there_they_merge_by_time(self, flow: Flow) -> None:
        new = f"{flow.session} new"
        flow.say("1")
        flow.say("2", session=new)
        flow.say("3", edit=True, category="info", context_id="c")
        flow.say("4", session=new)
        moved = self.rename(flow.client, flow.session, new)
        assert {item["text"] for item in moved} == {"1", "3"}
        assert flow.texts(session_id=new) == ["1", "2", "3", "4"]
        third = flow.listed()[2]
        assert (third["edit"], third["category"], third["context_id"]) == (True, "info", "c")
        assert flow.sessions() == [new]

    def test_the_source_says_where_it_went_and_the_target_where_from(self, flow: Flow) -> None:
        new = f"{flow.session} new"
        flow.say("1")
        flow.say("2", session=new)
        self.rename(flow.client, flow.session, new)
        trail = [
            flow.client.get(f"/v1/sessions/{name}/events", params={"scope": flow.id}).json()["items"]
            for name in (flow.session, new)
        ]
        source, target = trail
        assert source[-1]["type"] == "session.deleted"
        assert source[-1]["causation_id"] == f"{target[-1]['stream_id']}/{target[-1]['version']}"
        assert target[-1]["causation_id"] == f"{source[-2]['stream_id']}/{source[-2]['version']}"

    def test_into_one_that_was_deleted_its_messages_stay_deleted(self, flow: Flow) -> None:
        new = f"{flow.session} new"
        flow.say("old", session=new)
        flow.client.delete(f"{MONITOR}/session/{new}")
        flow.say("a")
        self.rename(flow.client, flow.session, new)
        assert flow.texts(session_id=new) == ["a"]

    def test_there_and_back(self, flow: Flow) -> None:
        flow.say("a")
        other = f"{flow.session} other"
        flow.say("b", session=other)
        self.rename(flow.client, flow.session, other)
        assert flow.texts(session_id=other) == ["a", "b"]
        self.rename(flow.client, other, flow.session)
        assert (flow.texts(), flow.sessions()) == (["a", "b"], [flow.session])

    def test_messages_nobody_told_the_time_of_keep_theirs(self, flow: Flow) -> None:
        new = f"{flow.session} new"
        for name, text in ((flow.session, "1"), (new, "2"), (flow.session, "3")):
            body = {"messages": [{"role": "user", "content": text}]}
            flow.client.post(f"/v1/sessions/{name}/messages", params={"scope": flow.id}, json=body)
        before = [item["timestamp"] for item in flow.listed()]
        self.rename(flow.client, flow.session, new)
        assert flow.texts(session_id=new) == ["1", "2", "3"]
        assert [item["timestamp"] for item in flow.listed()] == before

    def test_to_its_own_id(self, flow: Flow) -> None:
        flow.say("a")
        assert [item["text"] for item in self.rename(flow.client, flow.session, flow.session)] == ["a"]
        assert flow.texts() == ["a"]

    def test_a_slash_in_an_id_may_be_encoded(self, flow: Flow) -> None:
        flow.say("a")
        self.rename(flow.client, flow.session, f"{flow.session}/x")
        self.rename(flow.client, f"{flow.session}%2Fx", f"{flow.session} y")
        assert flow.sessions() == [f"{flow.session} y"]

    def test_unknown_and_unnamed(self, flow: Flow) -> None:
        path = f"{MONITOR}/session/{uuid4()}"
        assert flow.client.patch(path, params={"new_session_id": "x"}).status_code == 404
        missing = flow.client.patch(path)
        assert (missing.status_code, missing.json()["detail"][0]["loc"]) == (422, ["query", "new_session_id"])
        flow.say("a")
        path = f"{MONITOR}/session/{flow.session}"
        assert flow.client.patch(path, params={"new_session_id": ""}).status_code == 400

    def test_what_is_said_meanwhile_is_not_lost(self, flow: Flow) -> None:
        new = f"{flow.session} new"
        flow.say("first")
        flow.say("there", session=new)

        def write(number: int) -> None:
            if number == 5:
                self.rename(flow.client, flow.session, new)
            else:
                flow.say(str(number))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(12)))
        assert sorted(flow.texts()) == sorted(["first", "there", *map(str, {*range(12)} - {5})])


class TestDelete:
    """§5"""

    def delete(self, client: TestClient, path: str = "", body: Any = None) -> Any:
        return client.request("DELETE", f"{MONITOR}{path}", json=body)

    def test_messages_by_their_ids(self, flow: Flow) -> None:
        one, two, three = flow.say("1", "2", "3")
        (four,) = flow.say("4", session=f"{flow.session} other")
        answer = self.delete(flow.client, body=[one, three, four, str(uuid4()), one])
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["content-type"] == "application/json"
        assert [item["id"] for item in flow.listed()] == [two]
        assert self.delete(flow.client, body=[one]).status_code == 204
        assert self.delete(flow.client, body=[]).status_code == 204

    @pytest.mark.parametrize("body", [{}, "x", ["x"], [[]], {"ids": []}])
    def test_anything_else_is_a_422_and_nothing_is_deleted(self, flow: Flow, body: Any) -> None:
        (one,) = flow.say("1")
        answer = self.delete(flow.client, body=[one, *body] if isinstance(body, list) else body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][0] == "body"
        assert flow.texts() == ["1"]

    def test_no_body_is_a_422(self, client: TestClient) -> None:
        assert client.delete(MONITOR).status_code == 422

    def test_a_bad_id_is_told_by_its_place(self, client: TestClient) -> None:
        assert self.delete(client, body=[str(uuid4()), "x"]).json()["detail"][0]["loc"] == ["body", 1]

    def test_a_session_in_all_flows(self, client: TestClient) -> None:
        name = f"gone {uuid4()}"
        flows = [Flow(client), Flow(client)]
        for flow in flows:
            flow.say("x", session=name)
            flow.say("stays")
        answer = client.delete(f"{MONITOR}/session/{name}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert [flow.texts() for flow in flows] == [["stays"], ["stays"]]
        assert client.delete(f"{MONITOR}/session/{name}").status_code == 204
        flows[0].say("new", session=name)
        assert flows[0].texts(session_id=name) == ["new"]

    def test_many_sessions(self, flow: Flow) -> None:
        one, two, three = (f"{flow.session} {number}" for number in (1, 2, 3))
        for name in (one, two, three):
            flow.say("x", session=name)
        answer = self.delete(flow.client, "/sessions", [one, two, two, "unknown", "", "x" * 600])
        assert (answer.status_code, answer.json()["deleted_count"]) == (200, 2)
        assert isinstance(answer.json()["message"], str)
        assert flow.sessions() == [three]
        for none in ([], [one]):
            assert self.delete(flow.client, "/sessions", none).json()["deleted_count"] == 0
        assert self.delete(flow.client, "/sessions", ["x"] * 501).status_code == 400
        assert self.delete(flow.client, "/sessions", {"a": 1}).status_code == 422

    def test_what_was_deleted_can_be_undeleted_and_is_in_the_trail(self, flow: Flow) -> None:
        flow.say("x")
        flow.client.delete(f"{MONITOR}/session/{flow.session}")
        assert flow.client.post(f"/v1/sessions/{flow.session}/undelete?scope={flow.id}").status_code == 200
        assert flow.texts() == ["x"]


Guarded = tuple[TestClient, dict[str, str]]


@pytest.fixture(scope="module")
def guarded(server: str, template: str) -> Iterator[Guarded]:
    with new_database(server, template=template) as name:
        conninfo = make_conninfo(server, dbname=name)
        database = Database(conninfo)
        database.open()
        keys = {
            project: create_key(database, project=project, scopes=["read", "write"])[1]
            for project in ("one", "two")
        }
        keys["reader"] = create_key(database, project="one", scopes=["read"])[1]
        database.close()
        with TestClient(create_app(Settings(), conninfo), base_url="http://127.0.0.1") as client:
            yield client, keys


class TestKeys:
    """§2"""

    def test_the_ways_a_key_may_come(self, guarded: Guarded) -> None:
        client, keys = guarded
        key = keys["one"]
        assert client.get(MONITOR, headers={"x-api-key": key}).status_code == 200
        assert client.get(MONITOR, params={"x-api-key": key}).status_code == 200
        assert client.get(MONITOR, headers={"Authorization": f"Bearer {key}"}).status_code == 200

    def test_what_is_answered_without_one(self, guarded: Guarded) -> None:
        client, keys = guarded
        for given in ({}, {"headers": {"x-api-key": "x"}}, {"params": {"x-api-key": "x"}}):
            answer = client.get(MONITOR, **given)  # type: ignore[arg-type]
            assert answer.status_code == 403
            assert list(answer.json()) == ["detail"]
        assert client.get(MONITOR, headers={"Authorization": "Bearer x"}).status_code == 401
        headers = {"x-api-key": keys["reader"]}
        assert client.delete(f"{MONITOR}/session/x", headers=headers).status_code == 403
        # Before anything else is said about the request.
        assert client.get(MONITOR, params={"limit": -1}).status_code == 403

    def test_others_are_not_there(self, guarded: Guarded) -> None:
        client, keys = guarded
        flow, one, two = str(uuid4()), {"x-api-key": keys["one"]}, {"x-api-key": keys["two"]}
        body = {"messages": [{"role": "user", "content": "secret"}]}
        path = f"/v1/sessions/s/messages?scope={flow}"
        (said,) = client.post(path, json=body, headers=one).json()["messages"]
        assert client.get(MONITOR, params={"flow_id": flow}, headers=two).json() == []
        assert client.get(f"{MONITOR}/sessions", headers=two).json() == []
        assert client.put(f"{MONITOR}/{said['id']}", json={"text": "x"}, headers=two).status_code == 404
        rename = f"{MONITOR}/session/s?new_session_id=t"
        assert client.patch(rename, headers=two).status_code == 404
        assert client.request("DELETE", MONITOR, json=[said["id"]], headers=two).status_code == 204
        assert client.delete(f"{MONITOR}/session/s", headers=two).status_code == 204
        deleted = client.request("DELETE", f"{MONITOR}/sessions", json=["s"], headers=two)
        assert deleted.json()["deleted_count"] == 0
        assert [item["text"] for item in client.get(MONITOR, headers=one).json()] == ["secret"]


def test_switched_off_it_is_not_there(conninfo: str) -> None:
    app = create_app(Settings(protocols=()), conninfo)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.get(MONITOR).status_code == 404


@pytest.mark.parametrize("name", ["%00", "a%00", "a%1F"])
def test_what_can_be_no_session_id_is_none(client: TestClient, name: str) -> None:
    assert client.get(MONITOR, params={"session_id": name}).json() == []  # which it decodes twice
    path = f"{MONITOR}/session/{name}"
    assert client.patch(path, params={"new_session_id": "x"}).status_code == 404
    assert client.delete(path).status_code == 204


def test_ids_are_uuids(flow: Flow) -> None:
    flow.say("x")
    assert str(UUID(flow.listed()[0]["id"])) == flow.listed()[0]["id"]
