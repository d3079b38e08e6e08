"""Runs of Langflow's flows: which session they belong to, who answers, and what is recorded (§7)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.settings import Settings
from tests.support.postgres import new_database
from tests.support.responding import Answer, Answering, Asked, chat_answer

MONITOR = "/api/v1/monitor/messages"


@pytest.fixture(scope="module")
def conninfo(server: str, template: str) -> Iterator[str]:
    """One database for the tests of this file, each with a flow of its own."""
    with new_database(server, template=template) as name:
        yield make_conninfo(server, dbname=name)


@contextmanager
def answered(conninfo: str, **settings: Any) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(**settings), conninfo), base_url="http://127.0.0.1") as client:
        yield client


@contextmanager
def behind(conninfo: str, setting: str, make: Callable[[Asked], Answer]) -> Iterator[TestClient]:
    """With somebody who answers as ``make`` does, in ``setting``."""
    with Answering(make).running() as answering, answered(conninfo, **{setting: answering.url}) as client:
        yield client


@pytest.fixture(scope="module")
def model() -> Iterator[Answering]:
    with Answering(chat_answer).running() as answering:
        yield answering


@pytest.fixture(scope="module")
def client(conninfo: str, model: Answering) -> Iterator[TestClient]:
    with answered(
        conninfo, responder_url=f"{model.url}/v1/", responder_model="tiny", responder_key="sk-1"
    ) as client:
        yield client


@pytest.fixture
def flow() -> str:
    return str(uuid4())


def run(client: TestClient, flow: str, query: str = "", **body: Any) -> dict[str, Any]:
    answer = client.post(f"/api/v1/run/{flow}{query}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def listed(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(MONITOR, params=query).json()
    return found


def said(client: TestClient, flow: str) -> list[tuple[str, str, str]]:
    """(session, sender, text) of a flow's messages."""
    return [(m["session_id"], m["sender"], m["text"]) for m in listed(client, flow_id=flow)]


class TestAnsweredByAModel:
    def test_both_messages_are_recorded_and_the_answer_is_langflows(
        self, client: TestClient, model: Answering, flow: str
    ) -> None:
        answer = run(client, flow, input_value="Hello", session_id="s")
        assert said(client, flow) == [("s", "User", "Hello"), ("s", "Machine", "I know 1 messages.")]
        assert answer["session_id"] == "s"
        (outputs,) = answer["outputs"]
        assert outputs["inputs"] == {"input_value": "Hello"}
        (output,) = outputs["outputs"]
        assert list(output) == [
            "results",
            "artifacts",
            "outputs",
            "logs",
            "messages",
            "timedelta",
            "duration",
            "component_display_name",
            "component_id",
            "used_frozen_result",
            "token_usage",
        ]
        message = output["results"]["message"]
        assert (message["text_key"], message["default_value"]) == ("text", "")
        assert message["text"] == message["data"]["text"] == "I know 1 messages."
        assert output["outputs"]["message"]["message"] == "I know 1 messages."
        assert list(message["data"])[:4] == ["timestamp", "sender", "sender_name", "session_id"]
        assert (message["context_id"], message["duration"]) == ("", None)
        assert (output["messages"][0]["session_id"], output["messages"][0]["type"]) == ("s", "text")
        user, machine = listed(client, flow_id=flow)
        assert machine["id"] == message["data"]["id"]
        assert user["session_metadata"] == machine["session_metadata"]
        assert set(user["session_metadata"]) == {"graph_run_id"}
        asked = model.asked[-1]
        assert asked.path == "/v1/chat/completions"
        assert asked.headers["authorization"] == "Bearer sk-1"
        assert (asked.body["model"], asked.body["stream"]) == ("tiny", False)

    def test_an_answer_without_a_word_is_no_message_of_the_output(self, conninfo: str, flow: str) -> None:
        nothing = json.dumps({"choices": [{"message": {"role": "assistant", "content": ""}}]}).encode()
        with behind(conninfo, "responder_url", lambda asked: Answer(nothing)) as client:
            answer = run(client, flow, input_value="Hello", session_id="s")
            assert said(client, flow) == [("s", "User", "Hello"), ("s", "Machine", "")]
        (output,) = answer["outputs"][0]["outputs"]
        assert (output["messages"], output["results"]["message"]["text"]) == ([], "")

    def test_the_model_is_told_what_was_said_before_in_this_session_alone(
        self, client: TestClient, model: Answering, flow: str
    ) -> None:
        run(client, flow, input_value="one", session_id="s")
        run(client, flow, input_value="elsewhere", session_id="t")
        answer = run(client, flow, input_value="two", session_id="s")
        assert answer["outputs"][0]["outputs"][0]["results"]["message"]["text"] == "I know 3 messages."
        assert model.asked[-1].body["messages"] == [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "I know 1 messages."},
            {"role": "user", "content": "two"},
        ]

    def test_errors_are_not_told(self, client: TestClient, model: Answering, flow: str) -> None:
        run(client, flow, input_value="one")
        (_, machine) = listed(client, flow_id=flow)
        client.put(f"{MONITOR}/{machine['id']}", json={"error": True})
        run(client, flow, input_value="two")
        assert [message["content"] for message in model.asked[-1].body["messages"]] == ["one", "two"]

    def test_it_streams(self, client: TestClient, flow: str) -> None:
        answer = client.post(f"/api/v1/run/{flow}?stream=true", json={"input_value": "Hello"})
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(part) for part in answer.text.split("\n\n") if part]
        names = [event["event"] for event in events]
        assert names == ["add_message", "token", "token", "add_message", "end"]
        question, first, second, machine, end = (event["data"] for event in events)
        assert (question["sender"], question["text"]) == ("User", "Hello")
        assert question["text_key"] == "text"
        assert question["data"]["text"] == "Hello"
        assert question["data"]["id"] == question["id"]
        assert first["chunk"] + second["chunk"] == machine["text"] == "I know 1 messages."
        assert first["id"] == second["id"] == machine["id"]
        assert end["result"]["outputs"][0]["outputs"][0]["results"]["message"]["data"]["id"] == machine["id"]
        assert said(client, flow) == [(flow, "User", "Hello"), (flow, "Machine", "I know 1 messages.")]

    def test_what_was_not_asked_is_not_told(self, client: TestClient, flow: str) -> None:
        (outputs,) = run(client, flow)["outputs"]
        assert outputs["inputs"] == {}

    def test_the_session_is_resolved_and_the_level_told(self, client: TestClient, flow: str) -> None:
        tweaks = {"ChatInput-1": {"session_id": "node"}}
        for body, session, level in (
            ({"session_id": "api", "tweaks": tweaks}, "api", "request"),
            ({"session_id": "", "tweaks": tweaks}, "node", "component"),
            ({}, flow, "flow"),
        ):
            answer = client.post(f"/api/v1/run/{flow}", json={"input_value": "x", **body})
            assert answer.json()["session_id"] == session
            assert answer.headers["x-recount-session-id-from"] == level

    def test_or_as_langflow_does(self, conninfo: str, model: Answering, flow: str) -> None:
        with answered(conninfo, responder_url=f"{model.url}/v1", run_compat="langflow-1.13") as client:
            answer = run(client, flow, tweaks={"ChatInput-1": {"session_id": "node"}})
            assert answer["session_id"] == flow
            assert "authorization" not in model.asked[-1].headers

    def test_a_body_that_does_not_fit_is_dropped_whole(self, client: TestClient, flow: str) -> None:
        for body in ({"input_value": "x", "session_id": 7}, {"input_value": "x", "input_type": "odd"}, [1]):
            answer = client.post(f"/api/v1/run/{flow}", json=body)
            assert (answer.status_code, answer.json()["session_id"]) == (200, flow)
        assert client.post(f"/api/v1/run/{flow}", content=b"{").status_code == 200
        assert client.post(f"/api/v1/run/{flow}").status_code == 200
        assert {text for _, sender, text in said(client, flow) if sender == "User"} == {""}

    def test_a_form_works_too(self, client: TestClient, flow: str) -> None:
        fields = {"input_value": "Grüße", "tweaks": json.dumps({"a": {"session_id": "node"}})}
        files = {name: (None, value) for name, value in fields.items()}
        answer = client.post(f"/api/v1/run/{flow}", files=files)
        assert answer.json()["session_id"] == "node"
        assert said(client, flow)[0] == ("node", "User", "Grüße")

    def test_an_endpoint_may_have_a_name(self, client: TestClient) -> None:
        name = f"endpoint-{uuid4()}"
        assert run(client, name, input_value="x")["session_id"] == name
        (found, _) = listed(client, session_id=name)
        assert (found["flow_id"], found["text"]) == (None, "x")
        native = client.get(f"/v1/sessions/{name}", params={"scope": name})
        assert native.json()["message_count"] == 2

    def test_a_session_that_cannot_be_is_refused(self, client: TestClient, flow: str) -> None:
        answer = client.post(f"/api/v1/run/{flow}", json={"session_id": "x" * 600})
        assert answer.status_code == 400
        assert list(answer.json()) == ["detail"]


def test_without_a_responder_it_says_how_to_have_one(conninfo: str, flow: str) -> None:
    with answered(conninfo) as client:
        answer = client.post(f"/api/v1/run/{flow}", json={"input_value": "x"})
        assert answer.status_code == 501
        assert "RECOUNT_RESPONDER_URL" in answer.json()["detail"]
        assert "RECOUNT_LANGFLOW_UPSTREAM" in answer.json()["detail"]
        assert said(client, flow) == []


class TestFailures:
    """The responder's failures, in Langflow's shape; the question stays."""

    @pytest.mark.parametrize("query", ["", "?stream=true"])
    @pytest.mark.parametrize("setting", ["responder_url", "langflow_upstream"])
    @pytest.mark.parametrize(
        ("make", "status"),
        [
            (lambda asked: Answer(b"{}", 500), 502),
            (lambda asked: Answer(b"{}", 401), 502),
            (lambda asked: Answer(b"{}", delay_seconds=2), 504),
            (None, 502),
        ],
        ids=["fails", "refuses", "sleeps", "is not there"],
    )
    def test_no_answer(
        self,
        conninfo: str,
        flow: str,
        make: Callable[[Asked], Answer] | None,
        status: int,
        setting: str,
        query: str,
    ) -> None:
        with Answering(make or chat_answer).running() as answering:
            url = answering.url if make else "http://127.0.0.1:1"
            with answered(conninfo, **{setting: url}, responder_seconds=0.5) as client:
                answer = client.post(f"/api/v1/run/{flow}{query}", json={"input_value": "x"})
                assert answer.status_code == status, answer.text
                assert isinstance(answer.json()["detail"], str)
                assert said(client, flow) == [(flow, "User", "x")]

    @pytest.mark.parametrize("body", [b"no JSON", b"[]", b'{"choices": 7}', b'{"choices": [{"message": 1}]}'])
    def test_no_sense(self, conninfo: str, flow: str, body: bytes) -> None:
        with (
            Answering(lambda asked: Answer(body)).running() as answering,
            answered(conninfo, responder_url=answering.url) as client,
        ):
            answer = client.post(f"/api/v1/run/{flow}", json={"input_value": "x"})
            assert answer.status_code == 502
            assert said(client, flow) == [(flow, "User", "x")]

    def test_one_that_breaks_off_is_told_in_the_stream(self, conninfo: str, flow: str) -> None:
        parts = [b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\n', b"data: {\n\n"]
        with (
            Answering(lambda asked: Answer(parts=parts)).running() as answering,
            answered(conninfo, responder_url=answering.url) as client,
        ):
            answer = client.post(f"/api/v1/run/{flow}?stream=true", json={"input_value": "x"})
            names = [json.loads(part)["event"] for part in answer.text.split("\n\n") if part]
            assert names == ["add_message", "token", "error"]
            assert said(client, flow) == [(flow, "User", "x")]


FILTERED = b"""\
data: {"choices": [], "created": 0, "id": "", "prompt_filter_results": [{"prompt_index": 0}]}

data: {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hel"}}]}

data: {"id": "", "choices": [{"index": 0, "finish_reason": null, "content_filter_offsets": {}}]}

data: {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "lo"}}]}

data: [DONE]

"""


class TestOddAnswers:
    """One odd chunk does not cost the answer."""

    @pytest.mark.parametrize(
        ("stream", "text"),
        [
            (FILTERED, "Hello"),
            ('data: {"choices": [{"delta": {"content": "a\u2028b"}}]}\n\n'.encode(), "a\u2028b"),
            (b'data: {"choices": [{"delta": {"content": "a\\u0000\\ud800b"}}]}\n\n', "a\ufffd\ufffdb"),
        ],
    )
    def test_by_parts(self, conninfo: str, flow: str, stream: bytes, text: str) -> None:
        answer = Answer(parts=[stream[:50], stream[50:]], content_type="text/event-stream")
        with behind(conninfo, "responder_url", lambda asked: answer) as client:
            told = client.post(f"/api/v1/run/{flow}?stream=true", json={"input_value": "x"})
            assert '"error"' not in told.text.replace('"error":false', "")
            assert said(client, flow) == [(flow, "User", "x"), (flow, "Machine", text)]

    def test_whole_in_parts_of_a_content(self, conninfo: str, flow: str) -> None:
        message = {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}
        raw = json.dumps({"choices": [{"index": 0, "message": message}]}).encode()
        with behind(conninfo, "responder_url", lambda asked: Answer(raw)) as client:
            run(client, flow, input_value="x")
            client.post(f"/api/v1/run/{flow}?stream=true", json={"input_value": "y"})
            assert [text for _, sender, text in said(client, flow) if sender == "Machine"] == ["Hello"] * 2

    def test_an_error_in_a_stream_is_told(self, conninfo: str, flow: str) -> None:
        raw = b'data: {"error": {"message": "Too many words", "code": "rate_limit"}}\n\n'
        answer = Answer(parts=[raw], content_type="text/event-stream")
        with behind(conninfo, "responder_url", lambda asked: answer) as client:
            told = client.post(f"/api/v1/run/{flow}?stream=true", json={"input_value": "x"})
            assert (told.status_code, told.json()["detail"][-12:]) == (502, "(rate_limit)")


def langflow_answer(message_id: str, **members: Any) -> dict[str, Any]:
    data = {"text": "Upstream says", "sender": "Machine", "sender_name": "Bot", "id": message_id, **members}
    result = {"results": {"message": {"text_key": "text", "data": data}}}
    return {"session_id": "s", "outputs": [{"inputs": {}, "outputs": [result]}]}


class TestAnsweredByALangflow:
    def test_the_request_is_passed_on_and_the_answer_back(self, conninfo: str, flow: str) -> None:
        message_id = str(uuid4())
        relayed = langflow_answer(message_id, properties={"icon": "bot"}, category="info", text="Hi")
        with Answering(lambda asked: Answer(json.dumps(relayed).encode())).running() as langflow:
            settings = {"langflow_upstream": langflow.url, "langflow_upstream_key": "sk-2"}
            # A Langflow comes before a model.
            with answered(conninfo, **settings, responder_url="http://127.0.0.1:1") as client:
                body = {"input_value": "x", "output_type": "chat", "tweaks": {"A": {"session_id": "node"}}}
                answer = client.post(f"/api/v1/run/{flow}", json=body, headers={"x-forwarded": "no"})
                assert answer.json() == relayed
                (asked,) = langflow.asked
                assert asked.path == f"/api/v1/run/{flow}?stream=false"
                assert asked.body == {**body, "session_id": "node"}
                assert asked.headers["x-api-key"] == "sk-2"
                assert said(client, flow) == [("node", "User", "x"), ("node", "Machine", "Hi")]
                machine = listed(client, flow_id=flow)[1]
                assert (machine["id"], machine["sender_name"]) == (message_id, "Bot")
                assert (machine["properties"]["icon"], machine["category"]) == ("bot", "info")

    def test_what_is_wrong_with_the_request_is_relayed(self, conninfo: str, flow: str) -> None:
        body = b'{"detail": "Flow identifier not found"}'
        with (
            Answering(lambda asked: Answer(body, 404)).running() as langflow,
            answered(conninfo, langflow_upstream=langflow.url) as client,
        ):
            answer = client.post(f"/api/v1/run/{flow}", json={})
            assert (answer.status_code, answer.content) == (
                404,
                b'{"detail":"Flow identifier not found"}',
            )

    @pytest.mark.parametrize(
        "segment",
        [
            "a b",
            "x%3Fa=b",
            "x%23y",
            "caf%C3%A9",
            "a%252Fb",
            "%2e%2e%2e",
            "8D1F7A0C6A4E4A399C550C6F2A4F6F7E",
            "x;y",
        ],
    )
    def test_it_is_asked_for_what_is_filed(self, conninfo: str, segment: str) -> None:
        relayed = langflow_answer(str(uuid4()), text="Hi")
        with (
            Answering(lambda asked: Answer(json.dumps(relayed).encode())).running() as langflow,
            answered(conninfo, langflow_upstream=langflow.url) as client,
        ):
            answer = client.post(f"/api/v1/run/{segment}", json={"session_id": f"of {segment}"})
            assert answer.status_code == 200
            path, _, query = langflow.asked[0].path.partition("?")
            *route, asked = path.split("/")
            assert (route, query) == (["", "api", "v1", "run"], "stream=false")
            of_it = {"scope": unquote(asked)}
            assert client.get(f"/v1/sessions/of {quote(segment)}", params=of_it).json()["message_count"] == 2

    @pytest.mark.parametrize(
        "segment",
        [
            *("%2e%2e", ".%2e", "%2e", "a%2Fb", "..%2F..%2Fusers", "a%5Cb", "a%0Ab", "a%00b", "a%1Fb"),
            *("..%252F..%252Fusers", "%252e%252e", "a%25252F%25252e%25252e", "..;x", "%2e%2e%3B"),
        ],
    )
    @pytest.mark.parametrize("query", ["", "?stream=true"])
    def test_nothing_leaves_its_route(self, conninfo: str, segment: str, query: str) -> None:
        with (
            Answering(lambda asked: Answer(b"{}")).running() as langflow,
            answered(conninfo, langflow_upstream=langflow.url) as client,
        ):
            answer = client.post(f"/api/v1/run/{segment}{query}", json={})
            assert (answer.status_code, list(answer.json())) == (404, ["detail"])
            assert langflow.asked == []

    @pytest.mark.parametrize(
        ("events", "text"),
        [
            ([{"event": "add_message", "data": {"sender": "Machine", "text": "Hi"}}, {"event": "end"}], "Hi"),
            (
                [{"event": "token", "data": None}, {"event": 7}, {"event": "token", "data": {"chunk": "Hi"}}],
                "Hi",
            ),
            (
                [
                    {
                        "event": "end",
                        "data": {"result": {"outputs": [{"outputs": [{"results": {"text": "Hi"}}]}]}},
                    }
                ],
                "Hi",
            ),
        ],
    )
    def test_other_events(self, conninfo: str, flow: str, events: list[Any], text: str) -> None:
        whole = "".join(f"data: {json.dumps(event)}\r\n\r\n" for event in events).encode()
        with behind(conninfo, "langflow_upstream", lambda asked: Answer(parts=[whole])) as client:
            answer = client.post(f"/api/v1/run/{flow}?stream=true", json={"input_value": "x"})
            assert answer.content == whole
            assert said(client, flow)[1:] == [(flow, "Machine", text)]

    @pytest.mark.parametrize("query", ["", "?stream=true"])
    def test_a_bad_value_does_not_cost_the_words(self, conninfo: str, flow: str, query: str) -> None:
        blocks = [{"title": "Steps", "contents": [{"score": float("nan"), "raw": "\x00\ud800"}]}]
        relayed = langflow_answer("no uuid", text="Hi", content_blocks=blocks)
        document = {"event": "end", "data": {"result": relayed}} if query else relayed
        with behind(
            conninfo, "langflow_upstream", lambda asked: Answer(json.dumps(document).encode())
        ) as client:
            assert client.post(f"/api/v1/run/{flow}{query}", json={"input_value": "x"}).status_code == 200
            (_, machine) = listed(client, flow_id=flow)
            assert machine["text"] == "Hi"
            assert machine["content_blocks"][0]["contents"] == [{"score": "NaN", "raw": "\ufffd\ufffd"}]

    def test_its_events_pass_through_as_they_are(self, conninfo: str, flow: str) -> None:
        message_id = str(uuid4())
        events = [
            {"event": "add_message", "data": {"text": "x"}},
            {"event": "token", "data": {"chunk": "Hi", "id": message_id}},
            {"event": "end", "data": {"result": langflow_answer(message_id, text="Hi!")}},
        ]
        whole = b"".join(json.dumps(event).encode() + b"\n\n" for event in events)
        parts = [whole[:20], whole[20:70], whole[70:]]
        with (
            Answering(lambda asked: Answer(parts=parts)).running() as langflow,
            answered(conninfo, langflow_upstream=langflow.url) as client,
        ):
            answer = client.post(f"/api/v1/run/{flow}?stream=true", json={"input_value": "x"})
            assert answer.content == whole
            assert said(client, flow) == [(flow, "User", "x"), (flow, "Machine", "Hi!")]

    def test_tokens_are_enough(self, conninfo: str, flow: str) -> None:
        lines = [b'{"event": "token", "data": {"chunk": "%c"}}\n\n' % letter for letter in b"abc"]
        with (
            Answering(lambda asked: Answer(parts=[line + b"\n\n" for line in lines])).running() as langflow,
            answered(conninfo, langflow_upstream=langflow.url) as client,
        ):
            client.post(f"/api/v1/run/{flow}?stream=true", json={"input_value": "x"})
            assert said(client, flow)[1:] == [(flow, "Machine", "abc")]

    def test_an_id_that_was_there_already_is_not_taken_twice(self, conninfo: str, flow: str) -> None:
        message_id = str(uuid4())
        texts = iter(["one", "two"])

        def make(asked: Asked) -> Answer:
            return Answer(json.dumps(langflow_answer(message_id, text=next(texts))).encode())

        with (
            Answering(make).running() as langflow,
            answered(conninfo, langflow_upstream=langflow.url) as client,
        ):
            for _ in range(2):
                run(client, flow, input_value="x")
            assert [text for _, _, text in said(client, flow)] == ["x", "one", "x", "two"]
