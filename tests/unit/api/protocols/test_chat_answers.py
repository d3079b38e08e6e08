"""The words in what a chat endpoint answers, whole and by parts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from recountdb.api.protocols.responder.chat_answers import ChatAnswer, read_chat_answer
from recountdb.api.protocols.responder.errors import ResponderFailed


def delta(content: Any, **members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content, **members}}]}


def stream(*documents: Any, ending: str = "data: [DONE]\n\n") -> str:
    return "".join(f"data: {json.dumps(one)}\n\n" for one in documents) + ending


def read(text: str) -> str:
    """The text of a stream that comes byte by byte, as it does at once."""
    raw = text.encode()
    found = []
    for parts in ([raw], [raw[place : place + 1] for place in range(len(raw))]):
        answer = ChatAnswer()
        texts = [one for part in parts for one in answer.feed(part)]
        found.append("".join([*texts, *answer.end()]))
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": []},
        {"choices": None},
        {"usage": {}},
        {"choices": [{"index": 0, "finish_reason": None, "content_filter_results": {}}]},
        {"choices": [{"index": 0, "delta": None}]},
        {"choices": [{"index": 0, "delta": "x"}]},
        {"choices": [None]},
        {"choices": [{"index": 1, "delta": {"content": "another choice"}}]},
        delta(None),
        delta(7),
        delta(None, tool_calls=[{"index": 0, "function": {"arguments": "{"}}]),
        delta(None, reasoning_content="I think"),
        {"error": None, "choices": []},
        None,
        7,
        [],
    ],
)
def test_a_chunk_without_words_is_passed_over(odd: Any) -> None:
    assert read(stream(odd, delta("Hel"), odd, delta("lo"), odd)) == "Hello"


@pytest.mark.parametrize(
    "text",
    [
        stream(delta("Hel"), delta("lo"), ending=""),
        stream(delta("Hel"), delta("lo"), delta("!"))[: -len("\n\ndata: [DONE]\n\n")].replace("!", ""),
        stream(delta("Hello"), ending="data: [DONE]\n\ndata: {broken\n\n"),
        stream(delta([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}])),
        stream(delta("Hello")).replace("\n\n", "\r\r"),
        stream(delta("Hel"), delta("lo")).replace("\n\n", "\n"),
        ": OPENROUTER PROCESSING\n\n" + stream(delta("Hello")),
        "event: ping\ndata: {}\n\n" + stream(delta("Hello")),
        stream(delta(None, refusal="Hello")),
        stream({"choices": [{"index": 0, "text": "Hello"}]}),
        json.dumps({"choices": [{"index": 0, "message": {"content": "Hello"}}]}),
    ],
)
def test_words_in_other_forms(text: str) -> None:
    assert read(text) == "Hello"


def test_separators_of_unicode_end_no_line() -> None:
    assert read('data: {"choices": [{"delta": {"content": "a\u2028b\u0085c"}}]}\n\n') == "a\u2028b\u0085c"


def test_halves_of_a_character_in_two_chunks() -> None:
    assert read(stream(delta("\ud83d"), delta("\ude00!"))) == "\U0001f600!"
    assert read(stream(delta("a\ud83d"), ending="")) == "a\ufffd"


def test_only_calls_of_tools_are_no_words_and_no_failure() -> None:
    assert read(stream(delta(None, tool_calls=[{}]))) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (stream(delta("Hel"), {"error": {"message": "secret words", "code": 429}}), "an error (429)"),
        (stream({"error": {"message": "secret words", "type": "server_error"}}), "an error (server_error)"),
        (stream({"error": "secret words"}), "an error"),
        ('event: error\ndata: {"message": "secret words"}\n\n', "an error"),
        (stream({"hello": 1}, ending=""), "not that of a chat endpoint"),
        ("<html>\n\n", "not that of a chat endpoint"),
        (stream(delta("a"), ending="data: {\n\n"), "not that of a chat endpoint"),
        ("", "not that of a chat endpoint"),
    ],
)
def test_failures_are_told(text: str, reason: str) -> None:
    with pytest.raises(ResponderFailed) as failed:
        read(text)
    assert str(failed.value).endswith(reason)
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "Hello"}, "Hello"),
        (
            {"content": [{"type": "text", "text": "Hel"}, {"type": "output_text", "text": "lo"}, 7, None]},
            "Hello",
        ),
        ({"content": [{"type": "thinking", "text": "Hm"}, {"type": "text", "text": {"value": "Hi"}}]}, "Hi"),
        ({"content": ["a", "b"]}, "ab"),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "No."),
        ({"content": None, "refusal": "No."}, "No."),
        ({"content": None, "tool_calls": [{}]}, ""),
        ({"content": "a\x00b"}, "a\ufffdb"),
    ],
)
def test_a_read_chat_answer(message: dict[str, Any], text: str) -> None:
    assert read_chat_answer(json.dumps({"choices": [{"index": 0, "message": message}]}).encode()) == text


@pytest.mark.parametrize(
    "body", ["", "[]", "7", "{}", '{"choices": []}', '{"choices": [{}]}', '{"error": {"message": "x"}}']
)
def test_no_answer(body: str) -> None:
    with pytest.raises(ResponderFailed):
        read_chat_answer(body.encode())


def test_an_event_of_another_kind_may_be_any_text() -> None:
    sign_of_life = "event: ping\ndata: still here\n\n"
    assert (
        read(
            sign_of_life
            + stream(delta("Hel")).replace("data: [DONE]\n\n", "")
            + sign_of_life
            + stream(delta("lo"))
        )
        == "Hello"
    )


def test_an_error_that_is_no_json_is_an_error() -> None:
    with pytest.raises(ResponderFailed, match="answered with an error"):
        read(stream(delta("Hel"), ending="event: error\ndata: overloaded, says somebody\n\n"))


def test_words_so_far_beside_a_part_do_not_count_twice() -> None:
    whole = {"choices": [{"index": 0, "delta": {}, "message": {"content": "Hello"}}]}
    assert read(stream(delta("Hel"), delta("lo"), whole)) == "Hello"


def test_what_was_spoken_is_said() -> None:
    spoken = {"content": None, "audio": {"id": "a", "transcript": "Hello"}}
    assert read_chat_answer(json.dumps({"choices": [{"message": spoken}]}).encode()) == "Hello"
    assert read(stream({"choices": [{"delta": {"audio": {"transcript": "Hello"}}}]})) == "Hello"


@pytest.mark.parametrize("kind", ["thinking", "reasoning", "reasoning_text", "redacted_thinking"])
def test_thoughts_are_not_said(kind: str) -> None:
    parts = [{"type": kind, "text": "Let me see."}, {"type": "text", "text": "Hello"}]
    assert read_chat_answer(json.dumps({"choices": [{"message": {"content": parts}}]}).encode()) == "Hello"


def test_half_a_character_costs_no_answer() -> None:
    raw = json.dumps({"choices": [{"message": {"content": "Hello?"}}]}).encode()
    assert read_chat_answer(raw.replace(b"?", b"\xc3")) == "Hello\ufffd"
