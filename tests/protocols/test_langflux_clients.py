"""Flowise's own SDKs, in Python and JavaScript, ask a server of ours behind which a model answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen
from uuid import UUID

import pytest

from recountdb.api.settings import Settings
from tests.support.background_server import run_server
from tests.support.clients import Client, needed, node_client, python_client
from tests.support.responding import Answering, chat_answer

PROGRAMS = Path(__file__).with_name("langflux")
FLOW = "1e9d0c6e-6f4a-4b39-9d2f-0c9b6c8f1a02"
ANSWER = "I know 1 messages."

Ask = Callable[..., list[Any]]


@pytest.fixture(scope="module", params=["python", "javascript"])
def sdk(request: pytest.FixtureRequest) -> Client:
    if request.param == "python":
        return needed(python_client, "flowise==1.0.4")
    return needed(node_client, "flowise-sdk@1.0.9")


@pytest.fixture
def ask(sdk: Client) -> Ask:
    """Asks a server, with a key or without, each of the questions; returns what came."""
    program = (PROGRAMS / f"ask{sdk.suffix}").read_text(encoding="utf-8")

    def answers(address: str, *questions: dict[str, Any], key: str = "") -> list[Any]:
        whole = [{"chatflowId": FLOW, **question} for question in questions]
        came: list[Any] = sdk.run(program, address, key, json.dumps(whole))
        return came

    return answers


@pytest.fixture
def model() -> Iterator[Answering]:
    with Answering(chat_answer).running() as answering:
        yield answering


@pytest.fixture
def address(conninfo: str, model: Answering) -> Iterator[str]:
    with run_server(conninfo, Settings(responder_url=model.url)) as address:
        yield address


def fetched(address: str, path: str, key: str = "") -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with urlopen(Request(address + path, headers=headers), timeout=10) as answer:
        return json.load(answer)


def assert_was_recorded(address: str, answer: dict[str, Any], *contents: str, key: str = "") -> None:
    """What was said in the answer's session, as the native API and as Flowise's tell it."""
    session = quote(answer["sessionId"], safe="")
    ours = fetched(address, f"/v1/sessions/{session}/messages?scope={FLOW}&order=oldest", key)["items"]
    theirs = fetched(address, f"/api/v1/chatmessage/{FLOW}?sessionId={session}", key)
    turns = len(contents) // 2
    assert [(m["role"], m["content"]) for m in ours] == list(
        zip(["user", "assistant"] * turns, contents, strict=True)
    )
    assert [(m["role"], m["content"]) for m in theirs] == list(
        zip(["userMessage", "apiMessage"] * turns, contents, strict=True)
    )
    assert [m["id"] for m in theirs] == [m["id"] for m in ours]
    assert theirs[-1]["id"] == answer["chatMessageId"]
    assert {m["chatId"] for m in theirs} == {answer["chatId"]}
    assert {m["chatType"] for m in theirs} == {"EXTERNAL"}


def assert_is_the_chats(answer: dict[str, Any], chat: str | None, session: str | None = None) -> None:
    """Whose turn it says it was; None: nobody's yet, so of a chat with an id of its own."""
    if chat is None:
        chat = session = str(UUID(answer["chatId"]))
    assert (answer["chatId"], answer["sessionId"], answer["memoryType"]) == (chat, session or chat, "")


def test_an_answer_as_a_whole(address: str, ask: Ask) -> None:
    """§6, and its table of chats and sessions."""
    in_session = {"overrideConfig": {"sessionId": "trip/1"}}
    alone, first, second, both = ask(
        address,
        {"question": "Hi"},
        {"question": "I am Ana", **in_session},
        {"question": "And I?", **in_session},
        {"question": "Hi", "chatId": "C", "overrideConfig": {"sessionId": "S"}},
    )
    assert alone.keys() == {
        *("text", "question", "chatId", "chatMessageId", "isStreamValid", "sessionId", "memoryType")
    }
    assert (alone["text"], alone["question"]) == (ANSWER, "Hi")
    assert_is_the_chats(alone, None)
    assert_is_the_chats(second, "trip/1")
    assert_is_the_chats(both, "C", "S")
    assert (first["text"], second["text"]) == (ANSWER, "I know 3 messages.")
    assert_was_recorded(address, alone, "Hi", ANSWER)
    assert_was_recorded(address, second, "I am Ana", ANSWER, "And I?", "I know 3 messages.")
    assert_was_recorded(address, both, "Hi", ANSWER)


def test_an_answer_by_parts(address: str, ask: Ask) -> None:
    alone, in_session = ask(
        address,
        {"question": "Hi", "streaming": True},
        {"question": "data: ünï\n\ncode", "streaming": True, "overrideConfig": {"sessionId": "S"}},
    )
    for events, chat in ((alone, None), (in_session, "S")):
        assert [one["event"] for one in events] == ["start", "token", "token", "metadata", "end"]
        assert "".join(one["data"] for one in events if one["event"] == "token") == ANSWER
        metadata = events[3]["data"]
        assert metadata.keys() == {"chatId", "chatMessageId", "question", "sessionId", "memoryType"}
        assert_is_the_chats(metadata, chat)
    assert_was_recorded(address, alone[3]["data"], "Hi", ANSWER)
    assert_was_recorded(address, in_session[3]["data"], "data: ünï\n\ncode", ANSWER)


def test_what_was_said_before_and_uploads(address: str, ask: Ask, model: Answering) -> None:
    """Both SDKs send them in forms of their own; Python's with members that are null."""
    history = [{"message": "I am Ana", "type": "userMessage"}, {"message": "Hola", "type": "apiMessage"}]
    upload = {"type": "url", "name": "map.png", "mime": "image/png", "data": "https://example.org/map.png"}
    ask(address, {"question": "Who am I?", "chatId": "C", "history": history, "uploads": [upload]})
    assert [(one["role"], one["content"]) for one in model.asked[-1].body["messages"]] == [
        ("user", "I am Ana"),
        ("assistant", "Hola"),
        ("user", "Who am I?"),
    ]
    user, _ = fetched(address, f"/api/v1/chatmessage/{FLOW}?chatId=C")
    assert user["fileUploads"] == [upload]


@pytest.mark.parametrize("streaming", [False, True])
def test_with_a_key(address: str, ask: Ask, key_for: Callable[..., str], streaming: bool) -> None:
    """They ask without their key whether a chatflow can be streamed, so that needs none."""
    key = key_for("shop")
    question = {"question": "Hi", "chatId": "C", "streaming": streaming}
    for wrong in ("", "rcnt_no_such_key"):
        (refused,) = ask(address, question, key=wrong)
        assert refused.get("status", 401) == 401
        assert streaming or refused["error"] == "Unauthorized Access"
    (answer,) = ask(address, question, key=key)
    assert_was_recorded(address, answer[3]["data"] if streaming else answer, "Hi", ANSWER, key=key)
    assert fetched(address, f"/api/v1/chatmessage/{FLOW}", key_for("other")) == []


def test_where_nobody_answers(conninfo: str, ask: Ask) -> None:
    with run_server(conninfo, Settings()) as address:
        for answer in ask(address, {"question": "Hi"}, {"question": "Hi", "streaming": True}):
            assert (answer["statusCode"], answer["success"]) == (501, False)
