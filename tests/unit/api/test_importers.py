"""How other stores' messages are read, and how what was imported is found again. Needs no database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recountdb.api.transfer.exporters import envelopes
from recountdb.api.transfer.exporters.dynamodb import attribute_value
from recountdb.api.transfer.exporters.envelopes import Writer
from recountdb.api.transfer.importers import dynamodb, envelope, flowise, motorhead, source
from recountdb.api.transfer.importers.alignment import align
from recountdb.api.transfer.importers.source import SourceFailed, Unreadable
from recountdb.api.transfer.importers.tables import opened_tables, sqlite_address, without_driver
from recountdb.domain.messages import MessageState

SECRET = "rosebud"


def stored(kind: str, **data: Any) -> str:
    return json.dumps({"type": kind, "data": {"content": "hello", **data}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"type":"human","data":{"content":"hello"}}', {"role": "user", "content": "hello"}),
        (stored("human", additional_kwargs={}, example=False), {"role": "user", "content": "hello"}),
        ('{"type":"human","text":"hello"}', {"role": "user", "content": "hello"}),
        ('{"type":"generic","text":"hello","role":"judge"}', {"role": "judge", "content": "hello"}),
        (stored("ai", id=None, name=None, tool_calls=[]), {"role": "assistant", "content": "hello"}),
        (stored("AIMessageChunk"), {"role": "assistant", "content": "hello"}),
        (
            stored("ToolMessageChunk", tool_call_id="c1"),
            {"role": "tool", "content": "hello", "tool_call_id": "c1"},
        ),
        (stored("function", name="menu"), {"role": "function", "content": "hello", "name": "menu"}),
        (stored("chat", role="judge"), {"role": "judge", "content": "hello"}),
        (stored("ChatMessageChunk", role="judge"), {"role": "judge", "content": "hello"}),
        (stored("developer"), {"role": "developer", "content": "hello"}),
        (stored("ai", content=[{"type": "text"}]), {"role": "assistant", "content": [{"type": "text"}]}),
        (
            stored("ai", tool_calls=[{"id": "c", "name": "n", "args": {}, "type": "tool_call"}]),
            {
                "role": "assistant",
                "content": "hello",
                "tool_calls": [{"id": "c", "name": "n", "args": {}, "type": "tool_call"}],
            },
        ),
        (
            stored("ai", id="run-1", usage_metadata={"input_tokens": 3}, response_metadata={"model": "m"}),
            {
                "role": "assistant",
                "content": "hello",
                "metadata": {
                    "id": "run-1",
                    "usage_metadata": {"input_tokens": 3},
                    "response_metadata": {"model": "m"},
                },
            },
        ),
        (
            stored("ai", additional_kwargs={"tool_calls": [{"id": "c"}]}),
            {
                "role": "assistant",
                "content": "hello",
                "tool_calls": [{"id": "c"}],
                "metadata": {"additional_kwargs": {"tool_calls": [{"id": "c"}]}},
            },
        ),
        (
            stored("ai", additional_kwargs={"function_call": {"name": "n"}}),
            {
                "role": "assistant",
                "content": "hello",
                "tool_calls": [{"type": "function", "function": {"name": "n"}}],
                "metadata": {"additional_kwargs": {"function_call": {"name": "n"}}},
            },
        ),
        (
            stored("generic", additional_kwargs={"role": "judge"}),
            {"role": "judge", "content": "hello", "metadata": {"additional_kwargs": {"role": "judge"}}},
        ),
    ],
)
def test_envelopes_of_every_age(text: str, said: dict[str, Any]) -> None:
    told, details, warnings = envelope.read_text(text)
    assert told == said
    assert details == {"type": json.loads(text)["type"]}
    assert warnings == ()


def test_an_unknown_type_is_kept_with_a_warning() -> None:
    said, details, warnings = envelope.read_text(stored("oracle"))
    assert (said["role"], details, len(warnings)) == ("oracle", {"type": "oracle"}, 1)


@pytest.mark.parametrize(
    "text",
    [
        "rosebud",
        "[" * 100_000,
        "{}",
        '{"type":"human"}',
        '{"type":7,"data":{"content":"rosebud"}}',
        '{"type":"human","data":"rosebud"}',
        '{"type":"remove","data":{"content":"rosebud"}}',
    ],
)
def test_what_is_no_message_is_refused_without_a_word_of_it(text: str | bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        envelope.read_text(text)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "start"),
    [
        ("ab", "ab", 0),
        ("ab", "abcd", 0),  # it grew
        ("abcd", "cde", 2),  # its beginning went
        ("abcd", "cd", 2),
        ("abcd", "bc", 1),  # it lost both ends
        ("aab", "ab", 1),
        ("aaa", "aaaa", 0),  # equal neighbours are real
        ("abab", "abx", 2),
        ("ab", "cd", None),
        ("ab", "", None),
        ("", "ab", None),
        ("a?c", "abcd", 0),  # one was erased
        ("??", "xy", None),  # nothing is known to be the same
        ("ab?", "b?c", 1),
    ],
)
def test_where_the_present_content_begins_in_the_old(old: str, new: str, start: int | None) -> None:
    def fingerprints(text: str) -> list[str | None]:
        return [None if letter == "?" else letter for letter in text]

    assert align(fingerprints(old), fingerprints(new)) == start


@given(st.lists(st.sampled_from("ab"), min_size=1), st.lists(st.sampled_from("ab")), st.data())
def test_what_only_lost_its_beginning_and_grew_is_never_taken_for_another(
    old: list[str], more: list[str], data: st.DataObject
) -> None:
    lost = data.draw(st.integers(0, len(old) - 1))
    present = old[lost:] + more
    start = align(old, present)
    assert start is not None
    assert start <= lost  # the longest overlap
    overlap = old[start:][: len(present)]
    assert overlap == present[: len(overlap)]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"S": "a"}, "a"),
        ({"N": "3"}, 3),
        ({"N": "3.0"}, 3),
        ({"N": "0.25"}, 0.25),
        ({"N": "12345678901234567890"}, 12345678901234567890),
        ({"N": "1.2345678901234567890123456789"}, "1.2345678901234567890123456789"),
        ({"BOOL": False}, False),
        ({"NULL": True}, None),
        ({"L": [{"M": {"a": {"N": "1"}}}]}, [{"a": 1}]),
        ({"SS": ["b", "a"]}, ["a", "b"]),
    ],
)
def test_dynamodbs_values(value: dict[str, Any], plain: Any) -> None:
    assert dynamodb.to_plain_value(value) == plain


def test_dynamodbs_binary_data_is_base64() -> None:
    assert dynamodb.to_plain_value({"L": [{"B": b"rosebud"}, {"BS": [b"b", b"a"]}]}) == [
        "cm9zZWJ1ZA==",
        ["YQ==", "Yg=="],
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_values_written_to_dynamodb_come_back_equal(value: Any) -> None:
    assert dynamodb.to_plain_value(attribute_value(value)) == value


def test_motorheads_line_is_cut_at_the_first_separator() -> None:
    assert motorhead.to_entry(0, b"Human: at 9: 30").said == {"role": "Human", "content": "at 9: 30"}
    assert motorhead.to_entry(0, b"no role").said == {"content": "no role"}
    assert motorhead.to_entry(0, b": no role").said == {"content": ": no role"}
    odd = motorhead.to_entry(0, b"AI: \xff!")
    assert (odd.said, odd.warnings) == ({"role": "AI", "content": "\ufffd!"}, (envelope.NOT_UTF_8,))


def test_words_of_a_message_that_is_not_utf_8_are_read() -> None:
    said, _, warnings = envelope.read_text(b'{"type":"human","data":{"content":"gr\xfc\xdfe"}}')
    assert (said["content"], warnings) == ("gr\ufffd\ufffde", (envelope.NOT_UTF_8,))


def test_columns_that_flowise_exchanged_are_put_right() -> None:
    tools, files = [{"tool": "search"}], [{"fileName": "a.pdf"}]
    right = {"usedTools": tools, "fileAnnotations": files}
    assert flowise.undo_swap({"usedTools": files, "fileAnnotations": tools}) == right
    assert flowise.undo_swap(right) == right
    assert flowise.undo_swap({"usedTools": files})["fileAnnotations"] == files


def test_flowises_columns_are_taken_as_they_are_where_they_are_no_json() -> None:
    row = {
        "id": "m",
        "role": "guide",
        "content": "hi",
        "createdDate": "2024-01-02 03:04:05",
        "action": "{rosebud",
    }
    entry = flowise.to_rated_entry(0, row, [])
    assert entry.said is not None
    kept = {"action": "{rosebud", "chatType": "INTERNAL", "sessionId": None}
    assert entry.said["metadata"] == {"langflux": kept}
    assert entry.said["role"] == "guide"
    assert entry.said["timestamp"] == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2024-01-02 03:04:05", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02 03:04:05.123456", datetime(2024, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2024-01-02 03:04:05 UTC", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05+01:00", datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC)),
        ("yesterday", None),
        ("0000-01-01 00:00:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        (1714564800, None),
        (None, None),
    ],
)
def test_times_without_a_zone_are_utc(cell: Any, moment: datetime | None) -> None:
    assert source.parse_moment_cell(cell) == moment


def test_ids_with_and_without_hyphens_are_the_same() -> None:
    one = uuid4()
    assert source.own_id(one.hex) == source.own_id(str(one)) == source.own_id(one) == one
    assert source.own_id("run-1") == "run-1"
    assert source.own_id("") is None


def test_a_file_in_wal_mode_is_immutable_only_while_nobody_has_it_open(tmp_path: Path) -> None:
    path = tmp_path / "a ?#%.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE message (id)")
    assert sqlite_address(path).endswith("?mode=ro")
    connection.close()
    assert sqlite_address(path).endswith("?mode=ro&immutable=1")
    plain = tmp_path / "plain.db"
    with sqlite3.connect(plain) as other:
        other.execute("CREATE TABLE message (id)")
    other.close()
    assert sqlite_address(plain).endswith("?mode=ro")  # its writers leave no -wal to be seen


def test_an_address_as_sqlalchemy_writes_it() -> None:
    assert without_driver("postgresql+asyncpg://h/db") == "postgresql://h/db"
    assert without_driver("/a/file.db") == "/a/file.db"
    assert without_driver("/a/c++/file.db") == "/a/c++/file.db"
    assert without_driver("sqlite:////a/file.db") == "/a/file.db"
    assert without_driver("sqlite+aiosqlite:///file.db") == "file.db"


def test_a_file_whose_name_looks_like_an_address(tmp_path: Path) -> None:
    file = tmp_path / "host=c++ ?#%.db"
    with closing(sqlite3.connect(file)) as made:
        made.execute("CREATE TABLE message (id)")
    with opened_tables(str(file)) as tables:
        assert tables.columns("message") == {"id"}


def test_what_is_no_address_of_a_database_is_told() -> None:
    for place in ("host=", "postgresql://[", "colour=red"):
        with pytest.raises(SourceFailed, match=r"no address|cannot be reached"), opened_tables(place):
            pass


def state(role: str, content: Any = "hello", **members: Any) -> MessageState:
    nothing: dict[str, Any] = dict.fromkeys(MessageState._fields)
    return MessageState(**nothing | {"id": UUID(int=1), "role": role, "content": content} | members)


@pytest.mark.parametrize("writer", Writer)
@pytest.mark.parametrize(
    "message",
    [
        state("user", name="ana"),
        state("assistant", "", tool_calls=[{"id": "c", "name": "n", "args": {"a": 1}}]),
        state("assistant", [{"type": "text", "text": "hi"}], metadata={"response_metadata": {"model": "m"}}),
        state("tool", "17", tool_call_id="c"),
        state("system"),
        state("judge", metadata={"additional_kwargs": {"verdict": 1}}),
    ],
)
def test_what_is_exported_is_read_again(writer: Writer, message: MessageState) -> None:
    said, _, warnings = envelope.read(envelopes.envelope(message, writer))
    members = ("role", "content", "name", "tool_calls", "tool_call_id", "metadata")
    assert {name: said.get(name) for name in members} == {name: getattr(message, name) for name in members}
    assert warnings == ()


def test_calls_of_openais_form_go_where_both_readers_look() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "n", "arguments": "{}"}}]
    data = envelopes.envelope(state("assistant", None, tool_calls=calls), Writer.PYTHON)["data"]
    assert (data["content"], data["tool_calls"]) == ("", [])
    assert data["additional_kwargs"] == {"tool_calls": calls}
