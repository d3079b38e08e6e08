"""Runs in Langflow's shapes, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from recountdb.api.protocols.langflow.shapes.runs import (
    RunRequest,
    StreamedRun,
    encode_run_event,
    find_answer,
    read_form,
    to_run_response,
    to_shown_message,
)
from recountdb.domain.exact_json import NotJson
from tests.unit.api.protocols.samples import found_message


def whole(*outputs: Any) -> dict[str, Any]:
    return {"outputs": [{"outputs": list(outputs)}]}


def test_a_response_shows_the_answer_in_many_places() -> None:
    answer = found_message(role="assistant", name="Bot")
    response = to_run_response(RunRequest(input_value="hi"), "s", answer, 0.0123)
    (group,) = response["outputs"]
    (output,) = group["outputs"]
    assert (response["session_id"], group["inputs"]) == ("s", {"input_value": "hi"})
    assert output["results"] == {"message": to_shown_message(answer)}
    assert output["artifacts"] == {
        "message": "hello",
        "sender": "Machine",
        "sender_name": "Bot",
        "files": [],
        "type": "object",
    }
    assert list(output["messages"][0]) == [
        *("message", "sender", "sender_name", "session_id", "stream_url", "component_id", "files", "type"),
    ]
    assert output["duration"] == "12 ms"
    assert find_answer(response) == to_shown_message(answer)["data"]


def test_an_answer_without_a_word_is_no_message_of_the_output() -> None:
    response = to_run_response(RunRequest(), "s", found_message(content=""), 61)
    (group,) = response["outputs"]
    assert group["inputs"] == {}
    assert (group["outputs"][0]["messages"], group["outputs"][0]["duration"]) == ([], "61.0 seconds")


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (None, {}),
        ({"outputs": 7}, {}),
        (whole(None, 7), {}),
        (whole({"results": {"message": {"text": "Hi"}}}), {"text": "Hi"}),
        (whole({"results": {"message": {"data": {"text": "Hi", "id": "1"}}}}), {"text": "Hi", "id": "1"}),
        (whole({"results": {"text": "Hi"}}), {"text": "Hi"}),
        (whole({"outputs": {"message": {"message": "Hi"}}}), {"text": "Hi"}),
        (whole({"results": {"text": "first"}}, {"results": {"text": "last"}}, {}), {"text": "last"}),
    ],
)
def test_the_answer_in_a_response(response: Any, answer: Any) -> None:
    assert find_answer(response) == answer


@pytest.mark.parametrize("prefix", ["", "data: ", "data:"])
@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([{"event": "add_message", "data": {"sender": "Machine", "text": "Hi"}}], "Hi"),
        ([{"event": "add_message", "data": {"sender": "User", "text": "Hi"}}], ""),
        ([{"event": "token", "data": None}, {"event": 7}, {"event": "token", "data": {"chunk": "Hi"}}], "Hi"),
        (
            [
                {"event": "add_message", "data": {"sender": "Machine", "text": "whole"}},
                {"event": "token", "data": {"chunk": "by "}},
                {"event": "token", "data": {"chunk": "parts"}},
            ],
            "by parts",
        ),
        ([None, 7, "x"], ""),
    ],
)
def test_events_of_a_stream(events: list[Any], text: str, prefix: str) -> None:
    run = StreamedRun()
    assert not any(run.take(prefix + json.dumps(event)) for event in [*events])
    assert not run.take("")
    assert run.text == text


def test_a_stream_ends_with_the_response_or_fails() -> None:
    run = StreamedRun()
    assert run.take('{"event": "end", "data": {"result": {"outputs": []}}}')
    assert (run.result, run.has_failed) == ({"outputs": []}, False)
    assert not run.take('{"event": "error", "data": {"error": "x"}}')
    assert run.has_failed


def test_an_event_is_json_and_a_blank_line() -> None:
    assert encode_run_event("token", {"chunk": "é"}) == '{"event":"token","data":{"chunk":"é"}}\n\n'.encode()


def test_a_form_has_objects_as_json() -> None:
    fields = {"input_value": "é", "tweaks": '{"a": {"session_id": "s"}}'}
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    read = read_form(f"{''.join(parts)}--x--\r\n".encode(), "multipart/form-data; boundary=x")
    assert read == {"input_value": "é", "tweaks": {"a": {"session_id": "s"}}}
    broken = b'--x\r\nContent-Disposition: form-data; name="tweaks"\r\n\r\n{\r\n--x--\r\n'
    with pytest.raises(NotJson):
        read_form(broken, "multipart/form-data; boundary=x")
