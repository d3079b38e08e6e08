"""A file that is none of JSON lines gets one sentence that says what it is."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest

from recountdb.api.transfer import file_shapes
from recountdb.api.transfer.chat_lines import parse_line
from recountdb.api.transfer.file_shapes import NotLines, conversations_in

SECRET = "rosebud"
ONE = {"role": "user", "content": SECRET}
CHAT = {"id": "a", "messages": [ONE]}


def names_in(raw: bytes) -> list[str]:
    lines = conversations_in(io.BufferedReader(io.BytesIO(raw)))
    return [parse_line(line, "default").command.name for line in lines]


def pretty(document: Any) -> bytes:
    return json.dumps(document, indent=2).encode()


@pytest.mark.parametrize(
    "raw",
    [
        pretty(CHAT),
        pretty([CHAT]),
        pretty({"conversations": [CHAT]}),
        json.dumps([CHAT]).encode(),
        json.dumps(CHAT).encode(),
        b"\xef\xbb\xbf" + pretty(CHAT),
        b"\n\n" + pretty([CHAT]),
        pretty(CHAT).replace(b"\n", b"\r\n"),
    ],
)
def test_one_document_in_chat_format_is_taken(raw: bytes) -> None:
    assert names_in(raw) == ["a"]


def test_a_list_of_messages_is_a_conversation_and_a_list_of_conversations_is_many() -> None:
    assert len(names_in(json.dumps([ONE, ONE]).encode())) == 1
    assert len(names_in(pretty([ONE, ONE]))) == 1
    assert names_in(pretty([CHAT, CHAT | {"id": "b"}])) == ["a", "b"]
    assert names_in(json.dumps(CHAT).encode() + b"\n" + json.dumps(CHAT | {"id": "b"}).encode()) == ["a", "b"]


def test_documents_after_one_another_are_read_as_jq_writes_them() -> None:
    assert names_in(pretty(CHAT) + b"\n" + pretty(CHAT | {"id": "b"})) == ["a", "b"]


def test_a_wrapper_of_conversations_is_opened_on_one_line_as_on_many() -> None:
    wrapped = {"version": 1, "conversations": [CHAT, CHAT | {"id": "b"}]}
    assert names_in(json.dumps(wrapped).encode()) == names_in(pretty(wrapped)) == ["a", "b"]


def test_a_bad_character_costs_no_other_line() -> None:
    one, two = (json.dumps(CHAT | {"id": name}).encode() for name in "ab")
    for odd in (b"\x00" * 100, b'{"id": "c", "messages": [\x00'):
        lines = conversations_in(io.BufferedReader(io.BytesIO(b"\n".join([one, odd, two]))))
        assert [line.text.strip() for line in lines] == [one, odd, two]


def test_nothing_is_nothing() -> None:
    assert names_in(b"") == names_in(b"\n \n") == names_in(b"\xef\xbb\xbf") == []


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"PK\x03\x04" + SECRET.encode(), "a zip archive"),
        (b"SQLite format 3\x00", "a SQLite database"),
        (gzip.compress(b"x", mtime=0), "gzip twice"),
        (b"BZh9", "bzip2 -dc"),
        (b"\xfd7zXZ\x00", "xz -dc"),
        (json.dumps(CHAT).encode("utf-16"), "UTF-16"),
        (json.dumps(CHAT).encode("utf-16-le"), "UTF-16"),
        (json.dumps(CHAT).encode("utf-16-be"), "UTF-16"),
        (json.dumps(CHAT).encode("utf-32"), "UTF-32"),
        (b"\x7fELF\x02\x01\x01\x00" + SECRET.encode(), "no text"),
        (b"role,content\nuser," + SECRET.encode() + b"\n", "looks like CSV"),
        (b"role\tcontent\nuser\t" + SECRET.encode() + b"\n", "tab-separated"),
        (b"<!doctype html>\n<p>" + SECRET.encode(), "HTML or XML"),
        (SECRET.encode(), "no JSON"),
        (f"{SECRET}\n".encode() * 5000, "no JSON in its first 10 lines"),
        ('{"id": "gr\u00fc\u00dfe", "messages": []}\n'.encode("latin-1"), "not UTF-8"),
        (pretty({"a": SECRET}), "without conversations"),
        (pretty([1, 2]), "without conversations"),
        (b"[]", "without conversations"),
        (b'{"id": "a",\n "messages": [', "damaged"),
        (pretty([{"title": SECRET, "mapping": {}}]), "ChatGPT"),
        (json.dumps([{"title": SECRET, "mapping": {}}]).encode(), "ChatGPT"),
        (pretty({"conversationId": "c", "messages": [{"text": SECRET}]}), "LibreChat"),
        (json.dumps({"conversationId": "c", "messages": [{"text": SECRET}]}).encode(), "LibreChat"),
        (json.dumps([{"id": "c", "chat": {"history": {}}}]).encode(), "Open WebUI"),
        (json.dumps([{"uuid": "c", "chat_messages": []}]).encode(), "Claude"),
    ],
)
def test_anything_else_is_told_in_one_sentence(raw: bytes, words: str) -> None:
    with pytest.raises(NotLines) as told:
        names_in(raw)
    assert words in str(told.value)
    assert str(told.value).startswith("the file ")
    assert "\n" not in str(told.value)
    assert SECRET not in str(told.value)


def test_a_bad_line_before_good_ones_is_one_bad_line() -> None:
    lines = conversations_in(io.BufferedReader(io.BytesIO(b"bad\n" + json.dumps(CHAT).encode())))
    assert [line.number for line in lines] == [1, 2]


def test_a_document_that_is_too_large_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_shapes, "LINE_BYTES_MAX", 100)
    with pytest.raises(NotLines, match="more than"):
        names_in(pretty([CHAT] * 10))
