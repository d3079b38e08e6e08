"""LangFlux (Flowise) over HTTP, rule by rule of its contract (the numbers are its sections)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.services.keys import create_key
from recountdb.api.settings import Settings
from recountdb.eventlog.postgres.database import Database
from tests.support.postgres import new_database
from tests.support.responding import Answer, Answering, chat_answer

HEAD = ["id", "role", "chatflowid", "executionId", "content"]
COLUMNS = [
    "sourceDocuments",
    "usedTools",
    "fileAnnotations",
    "agentReasoning",
    "reasonContent",
    "fileUploads",
]
KEYS = ["chatType", "chatId", "memoryType", "sessionId", "createdDate", "leadEmail", "followUpPrompts"]
MEMBERS = [*HEAD, *COLUMNS, "artifacts", "action", *KEYS, "execution"]


@pytest.fixture(scope="module")
def conninfo(server: str, template: str) -> Iterator[str]:
    """One database for the tests of this file, each with a chatflow of its own."""
    with new_database(server, template=template) as name:
        yield make_conninfo(server, dbname=name)


@contextmanager
def serving(conninfo: str, **settings: Any) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(**settings), conninfo), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture(scope="module")
def client(conninfo: str) -> Iterator[TestClient]:
    with serving(conninfo) as client:
        yield client


@contextmanager
def behind(conninfo: str, setting: str, answer: Answer, **settings: Any) -> Iterator[Chatflow]:
    """A chatflow of a server with somebody who answers so, in ``setting``."""
    with (
        Answering(lambda asked: answer).running() as answering,
        serving(conninfo, **{setting: answering.url}, **settings) as client,
    ):
        yield Chatflow(client)


class Chatflow:
    """A chatflow of a test's own."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.id = str(uuid4())
        self.path = f"/api/v1/chatmessage/{self.id}"
        self.said = 0

    def say(
        self, *texts: str, session: str | None = "s", by: str = "userMessage", **members: Any
    ) -> list[str]:
        """Messages a minute apart from noon on; returns their ids."""
        ids = []
        for text in texts:
            body: dict[str, Any] = {
                "role": by,
                "content": text,
                "createdDate": f"2026-11-20T12:{self.said:02}:00.000Z",
            }
            body |= {"chatId": session or "c", "sessionId": session, **members}
            self.said += 1
            answer = self.client.post(self.path, json=body)
            assert answer.status_code == 200, answer.text
            ids.append(answer.json()["id"])
        return ids

    def listed(self, **query: Any) -> list[dict[str, Any]]:
        answer = self.client.get(self.path, params=query)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found

    def texts(self, **query: Any) -> list[str]:
        return [message["content"] for message in self.listed(**query)]

    def delete(self, **query: Any) -> int:
        answer = self.client.delete(self.path, params=query)
        assert answer.status_code == 200, answer.text
        assert answer.json()["raw"] == []
        affected: int = answer.json()["affected"]
        return affected

    def rate(self, message_id: str, rating: str = "THUMBS_UP", **members: Any) -> dict[str, Any]:
        body = {"messageId": message_id, "rating": rating, "content": "nice", **members}
        answer = self.client.post(f"/api/v1/feedback/{self.id}", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def flow(client: TestClient) -> Chatflow:
    return Chatflow(client)


def refuses(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert list(body) == ["statusCode", "success", "message", "stack"]
    assert (body["statusCode"], body["success"], body["stack"]) == (status, False, {})


class TestMessages:
    """§3"""

    def test_all_members_are_there_in_order(self, flow: Chatflow) -> None:
        (message_id,) = flow.say(
            "hello", usedTools=[{"tool": "t"}], followUpPrompts=["a", "é"], leadEmail="a@b.c"
        )
        (message,) = flow.listed()
        assert list(message) == MEMBERS
        assert message == {
            **dict.fromkeys(MEMBERS),
            "id": message_id,
            "role": "userMessage",
            "chatflowid": flow.id,
            "content": "hello",
            "usedTools": [{"tool": "t"}],
            "chatType": "INTERNAL",
            "chatId": "s",
            "sessionId": "s",
            "createdDate": "2026-11-20T12:00:00.000Z",
            "leadEmail": "a@b.c",
            "followUpPrompts": '["a","é"]',
        }

    def test_or_told_as_strings(self, conninfo: str) -> None:
        with serving(conninfo, langflux_json_columns="string") as client:
            flow = Chatflow(client)
            flow.say("x", usedTools=[{"tool": "t"}], artifacts="[]")
            (message,) = flow.listed()
            assert (message["usedTools"], message["artifacts"]) == ('[{"tool":"t"}]', "[]")
            assert message["action"] is None

    def test_a_message_without_a_session_belongs_to_its_chat(self, flow: Chatflow) -> None:
        flow.say("x", session=None)
        (message,) = flow.listed()
        assert (message["chatId"], message["sessionId"]) == ("c", None)
        native = flow.client.get("/v1/sessions/c/messages", params={"scope": flow.id}).json()["items"]
        assert [(one["role"], one["content"]) for one in native] == [("user", "x")]

    def test_what_was_said_through_another_protocol(self, flow: Chatflow) -> None:
        body = {"messages": [{"role": "assistant", "content": "x"}]}
        flow.client.post("/v1/sessions/s/messages", params={"scope": flow.id}, json=body)
        (message,) = flow.listed()
        assert (message["role"], message["chatType"]) == ("apiMessage", "EXTERNAL")
        assert message["chatId"] == message["sessionId"] == "s"

    def test_the_id_and_the_date_may_be_left_out(self, flow: Chatflow) -> None:
        answer = flow.client.post(flow.path, json={"content": "x"}).json()
        assert UUID(answer["id"])
        assert answer["chatId"]
        given = str(uuid4())
        assert flow.client.post(flow.path, json={"id": given, "content": "y"}).json()["id"] == given
        refuses(flow.client.post("/api/v1/chatmessage/x", json={}), 400)
        refuses(flow.client.post(flow.path, json={"content": 7}), 400)
        refuses(flow.client.post(flow.path, json={"createdDate": "soon"}), 400)
        refuses(flow.client.post(flow.path, json={"id": given, "content": "other"}), 409)

    def test_the_id_of_a_deleted_one_is_given_to_no_other(self, flow: Chatflow) -> None:
        body = {"id": str(uuid4()), "chatId": "C", "content": "x", "createdDate": "2026-11-20T12:00:00.000Z"}
        flow.client.post(flow.path, json=body)
        flow.client.delete(flow.path, params={"chatId": "C"})
        assert flow.texts() == []
        anew = flow.client.post(flow.path, json=body).json()
        assert anew["id"] != body["id"]
        assert flow.client.post(flow.path, json=body).json() == anew
        assert [message["id"] for message in flow.listed()] == [anew["id"]]


class TestReading:
    """§4"""

    def test_the_order_is_descending_only_if_it_says_so_exactly(self, flow: Chatflow) -> None:
        flow.say(*"abc")
        assert flow.texts(order="DESC") == ["c", "b", "a"]
        for order in ("ASC", "desc", ""):
            assert flow.texts(order=order) == ["a", "b", "c"]
        assert flow.texts(sort="DESC") == ["c", "b", "a"]
        assert flow.texts(sort="DESC", order="ASC") == ["a", "b", "c"]

    def test_filters(self, flow: Chatflow) -> None:
        (first,) = flow.say("a", memoryType="Buffer Memory")
        flow.say("b", session="t", chatId="s", chatType="EXTERNAL")
        flow.say("c", session=None, chatType="MCP")
        assert flow.texts(sessionId="s") == ["a"]
        assert flow.texts(chatId="s") == ["a", "b"]
        assert flow.texts(chatId="s", sessionId="t") == ["b"]
        assert flow.texts(memoryType="Buffer Memory") == ["a"]
        assert flow.texts(messageId=first) == ["a"]
        assert flow.texts(messageId=str(uuid4())) == flow.texts(messageId="x") == []
        assert flow.texts(chatType="MCP") == ["c"]
        assert flow.texts(chatType='["INTERNAL","EXTERNAL"]') == ["a", "b"]
        for names in (("chatType", "chatType"), ("chatType[]", "chatType[]"), ("chatType[0]", "chatType[1]")):
            query = dict(zip(("MCP", "INTERNAL"), names, strict=True))
            path = f"{flow.path}?{'&'.join(f'{name}={value}' for value, name in query.items())}"
            assert flow.client.get(path).json() == [flow.listed()[0], flow.listed()[2]]
        # A session id is not a chat id.
        assert flow.texts(sessionId="c") == []

    def test_an_empty_value_matches_the_empty_text(self, flow: Chatflow) -> None:
        flow.say("a", memoryType="")
        flow.say("b", memoryType="M")
        assert flow.texts(memoryType="") == ["a"]
        assert flow.texts(sessionId="") == flow.texts(chatId="") == flow.texts(messageId="") == []
        (found,) = flow.say("c", session="", chatId="x")
        assert [(one["id"], one["sessionId"]) for one in flow.listed(sessionId="")] == [(found, "")]
        assert flow.delete(sessionId="") == 1
        assert flow.texts(memoryType="", sessionId="", messageId="", feedback="true") == ["a", "b"]

    def test_dates_are_inclusive_and_a_day_is_its_midnight(self, flow: Chatflow) -> None:
        flow.say(*"abc")
        assert flow.texts(startDate="2026-11-20T12:01:00Z") == ["b", "c"]
        assert flow.texts(endDate="2026-11-20T12:01:00.000Z") == ["a", "b"]
        assert flow.texts(endDate="2026-11-20") == []
        assert flow.texts(startDate="2026-11-20", endDate="2026-11-21") == ["a", "b", "c"]
        assert flow.texts(startDate="Fri, 20 Nov 2026 12:02:00 GMT") == ["c"]
        refuses(flow.client.get(flow.path, params={"startDate": "garbage"}), 400)

    def test_ids_with_signs(self, flow: Chatflow) -> None:
        flow.say("a", session="<a&b>")
        assert flow.texts(sessionId="<a&b>") == ["a"]

    def test_feedback_is_told_when_it_is_asked_for(self, flow: Chatflow) -> None:
        flow.say("q")
        (answer,) = flow.say("a", by="apiMessage")
        given = flow.rate(answer)
        assert "feedback" not in flow.listed()[1]
        for value in ("true", "false"):
            first, second = flow.listed(feedback=value)
            assert (first["feedback"], second["feedback"]) == (None, given)

    def test_rated_answers_come_with_what_was_before(self, flow: Chatflow) -> None:
        flow.say("q1")
        (good,) = flow.say("good", by="apiMessage")
        flow.say("q2")
        (bad,) = flow.say("bad", by="apiMessage")
        flow.say("q3", session="t")
        (other,) = flow.say("other", by="apiMessage", session=None)
        for message_id, rating in ((good, "THUMBS_UP"), (bad, "THUMBS_DOWN"), (other, "THUMBS_UP")):
            flow.rate(message_id, rating)
        assert flow.texts(feedback="true", feedbackType="THUMBS_UP", order="DESC") == ["q1", "good"]
        both = flow.client.get(f"{flow.path}?feedback=1&feedbackType=THUMBS_UP&feedbackType=THUMBS_DOWN")
        assert [one["content"] for one in both.json()] == ["q1", "good", "q2", "bad"]
        assert len(flow.texts(feedbackType="THUMBS_UP")) == 6

    def test_rated_answers_ascend_over_all_sessions(self, flow: Chatflow) -> None:
        """And a page is of those sessions alone where one is rated so."""
        flow.say("early", session="s")
        for session, rating in (("t", "THUMBS_UP"), ("u", "THUMBS_DOWN")):
            flow.say(f"{session}1", session=session)
            (answer,) = flow.say(f"{session}2", session=session, by="apiMessage")
            flow.rate(answer, rating)
        (late,) = flow.say("late", session="s", by="apiMessage")
        flow.rate(late)
        flow.say("last", session="v")
        rated = {"feedback": "true", "feedbackType": "THUMBS_UP"}
        assert flow.texts(**rated) == ["early", "t1", "t2", "late"]
        assert flow.texts(**rated, page=1, limit=1, order="DESC") == ["early", "late"]
        assert flow.texts(**rated, page=2, limit=1, order="DESC") == ["t1", "t2"]
        assert flow.texts(**rated, page=3, limit=1, order="DESC") == []
        assert flow.texts(**rated, page=1, limit=1) == ["t1", "t2"]

    def test_pages_are_of_sessions_and_only_with_feedback(self, flow: Chatflow) -> None:
        for session in "abc":
            flow.say(f"{session}1", f"{session}2", session=session)
        flow.say("a3", session="a")
        assert len(flow.texts(page=1, limit=1)) == 7
        assert flow.texts(feedback="true", page=1, limit=1, order="DESC") == ["a3", "a2", "a1"]
        assert flow.texts(feedback="true", page=2, limit=1, order="DESC") == ["c2", "c1"]
        assert flow.texts(feedback="true", page=1, limit=2) == ["b1", "b2", "c1", "c2"]
        assert flow.texts(feedback="true", page=9, limit=2) == []
        assert flow.texts(feedback="true", page=2, limit=1, sessionId="b") == ["b1", "b2"]
        assert flow.texts(feedback="true", page="1.5", limit="2x") == ["b1", "b2", "c1", "c2"]
        for query in ({"feedback": "true", "page": "-1"}, {"page": "-1"}, {"limit": "-1"}):
            refuses(flow.client.get(flow.path, params=query), 412)

    def test_the_canvas_sees_its_own(self, flow: Chatflow) -> None:
        flow.say("a")
        flow.say("b", chatType="EXTERNAL")
        path = f"/api/v1/internal-chatmessage/{flow.id}"
        query: dict[str, Any] = {"feedback": "true", "page": 2, "limit": 1, "chatType": "EXTERNAL"}
        assert [one["content"] for one in flow.client.get(path, params=query).json()] == ["a"]

    def test_a_chatflow_nobody_knows_is_empty(self, client: TestClient) -> None:
        for name in (str(uuid4()), "x", "%00", "a%1Fb", "a%2Fb"):
            assert client.get(f"/api/v1/chatmessage/{name}").json() == []
            assert client.get(f"/api/v1/feedback/{name}").json() == []
            assert client.put(f"/api/v1/feedback/{name}", json={"rating": "THUMBS_UP"}).status_code == 404

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    @pytest.mark.parametrize("path", ["/api/v1/chatmessage", "/api/v1/chatmessage/"])
    def test_none_at_all_is_a_412(self, client: TestClient, method: str, path: str) -> None:
        refuses(client.request(method, path), 412)


class TestDeleting:
    """§5"""

    @pytest.mark.parametrize(
        ("query", "left"),
        [
            ({"chatId": "s"}, ["c"]),
            ({"chatId": "s", "sessionId": "s"}, ["b", "c"]),
            ({"sessionId": "t"}, ["a", "c"]),
            ({"memoryType": "M"}, ["b", "c"]),
            ({"chatId": "s", "memoryType": "M"}, ["b", "c"]),
            ({"chatType": "MCP"}, ["a", "b"]),
            ({"startDate": "2026-11-20T12:01:00Z", "endDate": "2026-11-20T12:01:00Z"}, ["a", "c"]),
            ({"startDate": "2026-11-20T12:01:00Z"}, ["a"]),
            ({"hardDelete": "true", "isClearFromViewMessageDialog": "true"}, []),
            ({}, []),
        ],
    )
    def test_what_the_parameters_select(self, flow: Chatflow, query: dict[str, str], left: list[str]) -> None:
        flow.say("a", memoryType="M")
        flow.say("b", session="t", chatId="s")
        flow.say("c", session=None, chatType="MCP")
        assert flow.delete(**query) == 3 - len(left)
        assert flow.texts() == left
        assert flow.delete(**query) == 0

    @pytest.mark.parametrize(
        ("query", "left"),
        [
            ({"sessionId": ""}, ["a", "b"]),
            ({"messageId": ""}, ["a", "b"]),
            ({"chatId": ""}, ["a", "b"]),
            ({"memoryType": ""}, ["a"]),
            ({"chatId": "s", "sessionId": "", "memoryType": ""}, []),
        ],
    )
    def test_an_empty_parameter_is_not_one_that_is_missing(
        self, flow: Chatflow, query: dict[str, str], left: list[str]
    ) -> None:
        flow.say("a", memoryType="M")
        flow.say("b", memoryType="")
        flow.delete(**query)
        assert flow.texts() == left

    def test_of_two_sessions_at_once_none_is_deleted(self, flow: Chatflow) -> None:
        flow.say("a")
        refuses(flow.client.delete(f"{flow.path}?sessionId=s&sessionId=t"), 400)
        assert flow.texts() == ["a"]
        assert flow.client.delete(f"{flow.path}?chatType[0]=INTERNAL&chatType[1]=MCP").json()["affected"] == 1

    def test_one_message(self, flow: Chatflow) -> None:
        first, _ = flow.say("a", "b")
        assert flow.delete(messageId=first) == 1
        assert flow.texts() == ["b"]
        assert flow.delete(messageId="x") == 0

    def test_those_with_a_rating_alone(self, flow: Chatflow) -> None:
        flow.say("q")
        (answer,) = flow.say("a", by="apiMessage")
        flow.rate(answer, "THUMBS_DOWN")
        assert flow.delete(feedbackType="THUMBS_UP") == 0
        assert flow.delete(feedbackType="THUMBS_DOWN") == 1
        assert flow.texts() == ["q"]

    def test_a_parameter_nobody_knows_deletes_nothing(self, flow: Chatflow) -> None:
        flow.say("a")
        refuses(flow.client.delete(flow.path, params={"sessionid": "s"}), 400)
        assert flow.texts() == ["a"]
        refuses(flow.client.delete("/api/v1/chatmessage/x"), 400)

    def test_abort(self, flow: Chatflow) -> None:
        answer = flow.client.put(f"/api/v1/chatmessage/abort/{flow.id}/c")
        assert (answer.json()["status"], sorted(answer.json())) == (200, ["message", "status"])


class TestFeedback:
    """§10"""

    def test_given_changed_and_listed(self, flow: Chatflow) -> None:
        first, second = flow.say("a", "b", by="apiMessage")
        given = flow.rate(first, chatflowid=flow.id, chatId="s")
        assert list(given) == ["id", "chatflowid", "chatId", "messageId", "rating", "content", "createdDate"]
        assert (given["chatId"], given["messageId"], given["rating"]) == ("s", first, "THUMBS_UP")
        path = f"/api/v1/feedback/{given['id']}"
        changed = flow.client.put(path, json={"rating": "THUMBS_DOWN", "content": "no"})
        assert changed.json() == {"status": "OK"}
        flow.rate(second)
        listed = flow.client.get(f"/api/v1/feedback/{flow.id}").json()
        assert [one["messageId"] for one in listed] == [first, second]
        assert listed[0] == {**given, "rating": "THUMBS_DOWN", "content": "no"}
        descending = flow.client.get(f"/api/v1/feedback/{flow.id}", params={"order": "DESC", "chatId": "s"})
        assert descending.json() == listed[::-1]
        for query in ({"chatId": "x"}, {"endDate": "2020-01-01"}, {"startDate": "2100-01-01"}):
            assert flow.client.get(f"/api/v1/feedback/{flow.id}", params=query).json() == []

    def test_its_words_may_be_missing_and_taken_back(self, flow: Chatflow) -> None:
        (answer,) = flow.say("a", by="apiMessage")
        assert flow.rate(answer, content=None, chatId="", chatflowid="")["content"] is None
        (listed,) = flow.client.get(f"/api/v1/feedback/{flow.id}").json()
        assert (listed["chatId"], listed["content"]) == ("s", None)
        path = f"/api/v1/feedback/{listed['id']}"
        for content in ("better", None):
            assert flow.client.put(path, json={"content": content}).status_code == 200
            assert flow.client.get(f"/api/v1/feedback/{flow.id}").json() == [{**listed, "content": content}]
        assert flow.listed(feedback="1")[0]["feedback"] == listed

    def test_given_at_once_it_goes_by_the_messages(self, flow: Chatflow) -> None:
        ids = flow.say(*"abc", by="apiMessage")
        at = {"rating": "THUMBS_UP", "createdDate": "2026-11-20T13:00:00.000Z"}
        for answer in ids:
            patch = {"metadata": {"langflux": {"feedback": {**at, "messageId": answer}}}}
            flow.client.patch(f"/v1/sessions/s/messages/{answer}", params={"scope": flow.id}, json=patch)
        listed = flow.client.get(f"/api/v1/feedback/{flow.id}").json()
        assert [one["messageId"] for one in listed] == ids

    def test_the_last_one_counts(self, flow: Chatflow) -> None:
        (answer,) = flow.say("a", by="apiMessage")
        flow.rate(answer, "THUMBS_UP")
        flow.rate(answer, "THUMBS_DOWN")
        (message,) = flow.listed(feedback="1")
        assert message["feedback"]["rating"] == "THUMBS_DOWN"

    def test_refusals(self, flow: Chatflow) -> None:
        (answer,) = flow.say("a", by="apiMessage")
        path, body = f"/api/v1/feedback/{flow.id}", {"messageId": answer, "rating": "THUMBS_UP"}
        refuses(flow.client.post(path, json={**body, "messageId": str(uuid4())}), 404)
        refuses(flow.client.post(path, json={**body, "messageId": "x"}), 404)
        refuses(flow.client.post(path, json={**body, "chatId": "other"}), 400)
        refuses(flow.client.post(path, json={**body, "chatflowid": str(uuid4())}), 400)
        refuses(flow.client.post(f"/api/v1/feedback/{uuid4()}", json=body), 400)
        refuses(flow.client.post(path, json={"messageId": answer}), 500)
        refuses(flow.client.post(path, json={"rating": "THUMBS_UP"}), 400)
        refuses(flow.client.post(path, json={}), 400)
        refuses(flow.client.put(f"/api/v1/feedback/{answer}", json={"rating": "THUMBS_UP"}), 404)
        refuses(flow.client.put("/api/v1/feedback/x", json={"rating": "THUMBS_UP"}), 404)
        given = f"/api/v1/feedback/{flow.rate(answer)['id']}"
        refuses(flow.client.put(given, json={"rating": None}), 500)
        refuses(flow.client.put(given, json={"rating": "THUMBS_DOWN", "chatId": "other"}), 400)
        refuses(flow.client.put(given, json={"rating": "THUMBS_DOWN", "chatflowid": str(uuid4())}), 400)
        assert flow.listed(feedback="1")[0]["feedback"]["rating"] == "THUMBS_UP"

    def test_one_that_was_imported_with_an_id_of_its_own(self, flow: Chatflow) -> None:
        (answer,) = flow.say("a", by="apiMessage")
        imported = {"id": f"f-{answer}", "rating": "THUMBS_UP", "createdDate": "2026-11-20T12:00:00.000Z"}
        patch = {"metadata": {"langflux": {"feedback": imported}}}
        flow.client.patch(f"/v1/sessions/s/messages/{answer}", params={"scope": flow.id}, json=patch)
        changed = flow.client.put(f"/api/v1/feedback/f-{answer}", json={"rating": "THUMBS_DOWN"})
        assert changed.status_code == 200
        assert flow.listed(feedback="1")[0]["feedback"]["rating"] == "THUMBS_DOWN"


class TestOverview:
    """§10"""

    def test_figures(self, flow: Chatflow) -> None:
        first, second = flow.say("a", "b", by="apiMessage", session="s")
        flow.say("c", session="t", chatType="EXTERNAL")
        flow.say("d", session=None)
        flow.rate(first, "THUMBS_UP")
        flow.rate(second, "THUMBS_DOWN")
        path = f"/api/v1/stats/{flow.id}"
        assert flow.client.get(path).json() == {
            "totalMessages": 4,
            "totalSessions": 2,
            "totalFeedback": 2,
            "positiveFeedback": 1,
        }
        assert flow.client.get(path, params={"page": 1, "limit": 1}).json()["totalMessages"] == 4
        external = flow.client.get(path, params={"chatType": "EXTERNAL"}).json()
        assert (external["totalMessages"], external["totalSessions"]) == (1, 1)

    def test_export(self, flow: Chatflow) -> None:
        uploads = [{"type": "stored-file", "name": "x.png"}, {"type": "url", "name": "y.png"}]
        flow.say("a", leadEmail="a@b.c", fileUploads=uploads, sourceDocuments="{broken")
        (answer,) = flow.say("b", by="apiMessage", usedTools=[{"tool": "t"}])
        flow.rate(answer)
        flow.say("c", session="t", chatType="EXTERNAL", memoryType="M", fileUploads=uploads[1:])
        body: dict[str, Any] = {"chatflowId": flow.id}
        newest, oldest = flow.client.post("/api/v1/export-import/chatflow-messages", json=body).json()
        assert (newest["id"], newest["source"], newest["memoryType"]) == ("t", "API/Embed", "M")
        assert oldest == {
            "id": "s",
            "source": "UI",
            "sessionId": "s",
            "memoryType": None,
            "email": "a@b.c",
            "messages": [
                {
                    "content": "a",
                    "role": "user",
                    "time": "2026-11-20T12:00:00.000Z",
                    "filePaths": ["x.png"],
                    "sourceDocuments": "{broken",
                },
                {
                    "content": "b",
                    "role": "bot",
                    "time": "2026-11-20T12:01:00.000Z",
                    "usedTools": [{"tool": "t"}],
                    "feedback": "nice",
                },
            ],
        }
        body |= {"chatType": "EXTERNAL", "startDate": "2026-11-20", "endDate": "2026-11-21"}
        (only,) = flow.client.post("/api/v1/export-import/chatflow-messages", json=body).json()
        assert only["id"] == "t"
        assert "filePaths" not in only["messages"][0]
        refuses(flow.client.post("/api/v1/export-import/chatflow-messages", json={}), 400)

    def test_export_of_some_types_and_of_a_rating_without_words(self, flow: Chatflow) -> None:
        flow.say("a")
        flow.say("b", session="t", chatType="MCP")
        (answer,) = flow.say("c", session="u", chatType="EVALUATION", by="apiMessage")
        flow.rate(answer, content=None)
        body = {"chatflowId": flow.id, "chatType": '["EVALUATION", "MCP"]'}
        first, second = flow.client.post("/api/v1/export-import/chatflow-messages", json=body).json()
        assert (first["source"], second["source"]) == ("Evaluation", "MCP")
        assert first["messages"][0]["feedback"] is None
        assert "feedback" not in second["messages"][0]


@pytest.fixture(scope="module")
def model() -> Iterator[Answering]:
    with Answering(chat_answer).running() as answering:
        yield answering


class TestPredictions:
    """§6"""

    @pytest.fixture
    def asking(self, conninfo: str, model: Answering) -> Iterator[Chatflow]:
        with serving(conninfo, responder_url=model.url) as client:
            yield Chatflow(client)

    def predict(self, flow: Chatflow, **body: Any) -> Any:
        return flow.client.post(f"/api/v1/prediction/{flow.id}", json=body)

    def test_both_messages_are_recorded(self, asking: Chatflow) -> None:
        body = {"question": "Hi", "chatId": "C", "overrideConfig": {"sessionId": "S"}, "leadEmail": "a@b.c"}
        answer = self.predict(asking, **body).json()
        user, api = asking.listed()
        assert answer == {
            "text": "I know 1 messages.",
            "question": "Hi",
            "chatId": "C",
            "chatMessageId": api["id"],
            "sessionId": "S",
            "memoryType": "",
            "isStreamValid": False,
        }
        assert [(m["role"], m["content"]) for m in (user, api)] == [
            ("userMessage", "Hi"),
            ("apiMessage", "I know 1 messages."),
        ]
        assert all(
            (m["chatId"], m["sessionId"], m["chatType"]) == ("C", "S", "EXTERNAL") for m in (user, api)
        )
        assert (user["leadEmail"], api["leadEmail"]) == ("a@b.c", None)
        assert user["createdDate"] <= api["createdDate"]

    def test_history_is_that_of_the_session(self, asking: Chatflow, model: Answering) -> None:
        self.predict(asking, question="one", overrideConfig={"sessionId": "S"})
        self.predict(asking, question="elsewhere")
        history = [{"message": "before", "type": "userMessage"}, {"message": "yes", "type": "apiMessage"}, 7]
        self.predict(asking, question="two", chatId="C", overrideConfig={"sessionId": "S"}, history=history)
        told = [(one["role"], one["content"]) for one in model.asked[-1].body["messages"]]
        assert told == [
            ("user", "before"),
            ("assistant", "yes"),
            ("user", "one"),
            ("assistant", "I know 1 messages."),
            ("user", "two"),
        ]

    def test_it_streams(self, asking: Chatflow) -> None:
        answer = self.predict(asking, question="Hi", streaming=True)
        assert answer.headers["content-type"].startswith("text/event-stream")
        records = [record.split("\n") for record in answer.text.split("\n\n") if record]
        assert all(first == "message:" and second.startswith("data:") for first, second in records)
        events = [json.loads(second.removeprefix("data:")) for _, second in records]
        assert [one["event"] for one in events] == ["start", "token", "token", "metadata", "end"]
        user, api = asking.listed()
        assert events[3]["data"] == {
            "question": "Hi",
            "chatId": user["chatId"],
            "chatMessageId": api["id"],
            "sessionId": user["sessionId"],
            "memoryType": "",
        }

    def test_an_empty_body_is_an_empty_question(self, asking: Chatflow) -> None:
        answer = asking.client.post(f"/api/v1/prediction/{asking.id}")
        assert (answer.status_code, answer.json()["question"]) == (200, "")
        assert asking.texts()[0] == ""

    def test_from_the_canvas(self, asking: Chatflow) -> None:
        body = {"question": "Hi", "chatId": "C", "overrideConfig": {"sessionId": "S"}}
        asking.client.post(f"/api/v1/internal-prediction/{asking.id}", json=body)
        assert {(m["sessionId"], m["chatType"]) for m in asking.listed()} == {("C", "INTERNAL")}

    def test_refusals(self, asking: Chatflow, client: TestClient) -> None:
        refuses(asking.client.post("/api/v1/prediction/x", json={}), 400)
        refuses(self.predict(asking, chatId=7), 500)
        refuses(self.predict(asking, overrideConfig={"sessionId": 7}), 500)
        refuses(asking.client.post(f"/api/v1/prediction/{asking.id}", content=b"{"), 400)
        answer = self.predict(Chatflow(client), question="x")
        refuses(answer, 501)
        assert "RECOUNT_LANGFLUX_UPSTREAM" in answer.json()["message"]

    @pytest.mark.parametrize("streaming", [False, True])
    @pytest.mark.parametrize("setting", ["responder_url", "langflux_upstream"])
    @pytest.mark.parametrize(
        ("answer", "status"), [(Answer(b"{}", 500), 502), (Answer(b"{}", delay_seconds=1.5), 504)]
    )
    def test_without_an_answer_the_question_stays(
        self, conninfo: str, answer: Answer, status: int, setting: str, streaming: bool
    ) -> None:
        with behind(conninfo, setting, answer, responder_seconds=0.5) as flow:
            for body in ({"chatId": "C"}, {}):
                other = Chatflow(flow.client)
                refuses(self.predict(other, question="Hi", streaming=streaming, **body), status)
                assert other.texts() == ["Hi"]

    def test_a_flowise_is_passed_the_question_and_its_answer_relayed(self, conninfo: str) -> None:
        told = {"text": "Hello", "chatId": "C", "sessionId": "node", "chatMessageId": str(uuid4())}
        told["usedTools"] = [{"tool": "t"}]  # type: ignore[assignment]
        with Answering(lambda asked: Answer(json.dumps(told).encode())).running() as flowise:
            settings = {"langflux_upstream": flowise.url, "langflux_upstream_key": "sk-3"}
            with serving(conninfo, **settings) as client:
                flow = Chatflow(client)
                assert self.predict(flow, question="Hi").json() == told
                (asked,) = flowise.asked
                assert (asked.path, asked.body) == (f"/api/v1/prediction/{flow.id}", {"question": "Hi"})
                assert asked.headers["authorization"] == "Bearer sk-3"
                user, api = flow.listed()
                # The memory node's own setting is known to the Flowise alone.
                assert (user["chatId"], user["sessionId"], user["content"]) == ("C", "node", "Hi")
                assert (api["id"], api["content"]) == (told["chatMessageId"], "Hello")
                assert api["usedTools"] == [{"tool": "t"}]

    @pytest.mark.parametrize(
        ("kind", "body", "told", "session"),
        [
            ("", {"chatId": "C"}, {"chatId": "C", "sessionId": "C"}, "C"),
            ("", {"chatId": ""}, {"chatId": ""}, None),
            # From the canvas the memory node's own setting counts, whatever the request says.
            ("internal-", {"chatId": "C"}, {"chatId": "C", "sessionId": "node"}, "node"),
        ],
    )
    @pytest.mark.parametrize("streaming", [False, True])
    def test_question_and_answer_are_in_one_conversation(
        self,
        conninfo: str,
        kind: str,
        body: dict[str, Any],
        told: dict[str, Any],
        session: str | None,
        streaming: bool,
    ) -> None:
        told = {**told, "chatMessageId": str(uuid4()), "memoryType": "Buffer Memory", "text": "Hello"}
        part = f"message:\ndata:{json.dumps({'event': 'metadata', 'data': told})}\n\n".encode()
        answer = Answer(parts=[part]) if streaming else Answer(json.dumps(told).encode())
        with behind(conninfo, "langflux_upstream", answer) as flow:
            path = f"/api/v1/{kind}prediction/{flow.id}"
            answered = flow.client.post(path, json={"question": "Hi", "streaming": streaming, **body})
            assert answered.status_code == 200, answered.text
            first, second = ((m["chatId"], m["memoryType"], m["sessionId"]) for m in flow.listed())
            assert first == second
            assert first[:2] == (body["chatId"], "Buffer Memory")
            assert first[2] == (session or str(UUID(first[2])))

    def test_its_events_pass_through(self, conninfo: str) -> None:
        message_id = str(uuid4())
        metadata = {"chatId": "C", "sessionId": "node", "chatMessageId": message_id, "memoryType": "M"}
        events = [
            ("start", "Hel"),
            ("token", "Hel"),
            ("token", "lo"),
            ("metadata", metadata),
            ("end", "[DONE]"),
        ]
        whole = b"".join(
            b"message:\ndata:" + json.dumps({"event": name, "data": data}).encode() + b"\n\n"
            for name, data in events
        )
        with (
            Answering(lambda asked: Answer(parts=[whole[:30], whole[30:]])).running() as flowise,
            serving(conninfo, langflux_upstream=flowise.url) as client,
        ):
            flow = Chatflow(client)
            assert self.predict(flow, question="Hi", streaming=True).content == whole
            user, api = flow.listed()
            assert (user["sessionId"], user["content"]) == ("node", "Hi")
            assert (api["id"], api["content"], api["memoryType"]) == (message_id, "Hello", "M")

    @pytest.mark.parametrize(
        "events",
        [
            [("end", "[DONE]")],
            [("start", ""), ("token", "Hel"), ("error", "the model is gone"), ("end", "[DONE]")],
        ],
    )
    def test_its_events_without_an_answer_leave_the_question_alone(
        self, conninfo: str, events: list[tuple[str, str]]
    ) -> None:
        told = [json.dumps({"event": name, "data": data}) for name, data in events]
        answer = Answer(parts=["".join(f"message:\ndata:{one}\n\n" for one in told).encode()])
        with behind(conninfo, "langflux_upstream", answer) as flow:
            assert self.predict(flow, question="Hi", streaming=True, chatId="C").content == answer.parts[0]
            assert flow.texts() == ["Hi"]

    @pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
    def test_odd_events_do_not_cost_the_answer(self, conninfo: str, end: str) -> None:
        odd: list[Any] = [
            None,
            7,
            {"event": 7},
            {"event": "nextAgentFlow", "data": {"score": float("nan")}},
            {"data": []},
        ]
        events = [*odd, {"event": "token", "data": "a\u2028"}, *odd, {"event": "token", "data": "b\x00"}]
        used = {"event": "usedTools", "data": [{"score": float("inf")}]}
        lines = [json.dumps(event, ensure_ascii=False) for event in [*events, used]]
        whole = "".join(f"message:{end}data:{line}{end}{end}" for line in lines).encode()
        with behind(conninfo, "langflux_upstream", Answer(parts=[whole[:33], whole[33:]])) as flow:
            assert self.predict(flow, question="Hi", streaming=True, chatId="C").content == whole
            _, answer = flow.listed()
            assert (answer["content"], answer["usedTools"]) == ("a\u2028b\ufffd", [{"score": "Infinity"}])

    def test_a_bad_value_does_not_cost_the_words(self, conninfo: str) -> None:
        told = {"text": "Hello\ud800", "usedTools": [{"score": float("nan")}]}
        with behind(conninfo, "langflux_upstream", Answer(json.dumps(told).encode())) as flow:
            answer = self.predict(flow, question="Hi", chatId="C")
            assert answer.json() == {"text": "Hello\ufffd", "usedTools": [{"score": "NaN"}]}
            assert flow.listed()[1]["content"] == "Hello\ufffd"

    def test_whether_it_can_be_streamed_is_told_to_anybody(
        self, conninfo: str, asking: Chatflow, client: TestClient
    ) -> None:
        def told(flow: Chatflow) -> tuple[int, object]:
            answer = flow.client.get(f"/api/v1/chatflows-streaming/{flow.id}")
            return answer.status_code, answer.json()

        assert told(asking) == (200, {"isStreaming": True})
        assert told(Chatflow(client)) == (200, {"isStreaming": False})  # nobody answers
        refuses(client.get("/api/v1/chatflows-streaming/x"), 400)
        for answer in (Answer(b'{"isStreaming":false}'), Answer(b'{"statusCode":404}', 404)):
            with behind(conninfo, "langflux_upstream", answer) as flow:
                assert told(flow) == (answer.status, json.loads(answer.body))
        with behind(conninfo, "langflux_upstream", Answer(b"{}", 500)) as flow:
            refuses(flow.client.get(f"/api/v1/chatflows-streaming/{flow.id}"), 502)

    def test_what_is_wrong_with_the_request_is_relayed(self, conninfo: str) -> None:
        body = b'{"statusCode": 404, "success": false, "message": "no such chatflow", "stack": {}}'
        with (
            Answering(lambda asked: Answer(body, 404)).running() as flowise,
            serving(conninfo, langflux_upstream=flowise.url) as client,
        ):
            refuses(self.predict(Chatflow(client), question="Hi"), 404)


class TestKeys:
    """§2, §9"""

    def test_bearer_or_basic_and_others_are_not_there(self, server: str, template: str) -> None:
        with new_database(server, template=template) as name:
            conninfo = make_conninfo(server, dbname=name)
            database = Database(conninfo)
            database.open()
            one, two = (create_key(database, project=p, scopes=["read", "write"])[1] for p in ("one", "two"))
            reader = create_key(database, project="one", scopes=["read"])[1]
            database.close()
            with serving(conninfo) as client:
                flow = Chatflow(client)
                refused = client.get(flow.path)
                assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized Access"})
                assert client.get(flow.path, headers={"Authorization": "Bearer x"}).status_code == 401
                mine, theirs = {"Authorization": f"Bearer {one}"}, {"Authorization": f"Bearer {two}"}
                assert client.post(flow.path, json={"content": "secret"}, headers=mine).status_code == 200
                assert client.get(flow.path, auth=("user", one)).json()[0]["content"] == "secret"
                assert client.get(flow.path, headers=theirs).json() == []
                assert client.delete(flow.path, headers=theirs).json()["affected"] == 0
                refuses(client.delete(flow.path, headers={"Authorization": f"Bearer {reader}"}), 403)
                assert len(client.get(flow.path, headers=mine).json()) == 1
