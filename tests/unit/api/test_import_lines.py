"""What an import makes of single lines, and how it tells of those it cannot take. Needs no database."""

from __future__ import annotations

import io
import json
import math
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recountdb.api.transfer import chat_import as importing
from recountdb.api.transfer import chat_lines, cleaning
from recountdb.api.transfer.chat_format import describe_renamed_member
from recountdb.api.transfer.chat_import import CHUNK_LINES, chunks, tail
from recountdb.api.transfer.chat_lines import NO_ID, Conversation, Line, Skipped, lines_of, parse_line
from recountdb.projections.queries.existing_sessions import ExistingSession

SECRET = "rosebud"


def line(text: Any, number: int = 1) -> Line:
    return Line(number, text if isinstance(text, bytes) else json.dumps(text).encode())


def chat(*contents: str, **members: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": content} for content in contents]
    return {"id": "a", "messages": messages, **members}


def conversation(*contents: str, **members: Any) -> Conversation:
    return parse_line(line(chat(*contents, **members)), "default")


def reason(text: Any) -> str:
    with pytest.raises(Skipped) as skipped:
        parse_line(line(text), "default")
    return str(skipped.value)


def test_a_line_becomes_a_command_that_starts_or_continues_the_session() -> None:
    said = {
        "role": "assistant",
        "content": None,
        "name": "waiter",
        "user_id": "ana",
        "timestamp": "2026-11-20T20:00:00+01:00",
        "tool_calls": [{"id": "c1"}],
        "metadata": {"n": 10**30},
    }
    command = parse_line(line({"id": "a", "metadata": {"k": 1}, "messages": [said]}), "default").command
    (message,) = command.messages
    assert (command.kind, command.name, command.scope, command.metadata) == ("session", "a", "", {"k": 1})
    assert message.timestamp is not None
    assert message.timestamp.isoformat() == "2026-11-20T19:00:00+00:00"
    assert (message.content, message.tool_calls, message.metadata) == (None, [{"id": "c1"}], {"n": 10**30})
    assert command.given_ids == {message.id}


def test_the_user_of_the_command_line_is_for_lines_that_name_none() -> None:
    assert parse_line(line(chat("x")), "default", "ana").command.user_id == "ana"
    assert parse_line(line(chat("x", user_id="bo")), "default", "ana").command.user_id == "bo"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{", "is not JSON"),
        (b'{"id": "a", "messages": []} ' + SECRET.encode(), "is not JSON"),
        (b'{"id": "\xff"}', "is not UTF-8 text"),
        (b"[" * 100_000, "is not JSON"),
        (7, "the line: must be an object"),
        ([], "id: is missing"),
        ({"messages": []}, "id: is missing"),
        ({"id": [7], "messages": []}, "id: must be a text"),
        ({"id": "", "messages": []}, "id: must be a text"),
        ({"id": "a"}, "messages: is missing"),
        ({"id": "a", "messages": {}}, "messages: must be a list"),
    ],
)
def test_a_bad_line_is_told_by_place_and_reason(text: Any, expected: str) -> None:
    assert reason(text) == expected


ONE = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        # As OpenAI's client dumps them: null is passed over, what has no place goes into the metadata.
        (
            ONE
            | {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None},
            ONE | {"metadata": {"annotations": []}},
        ),
        (
            {"role": "assistant", "content": None, "refusal": "I cannot."},
            {"role": "assistant", "content": "I cannot.", "metadata": {"refusal": "I cannot."}},
        ),
        (
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {
                "role": "assistant",
                "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
        ),
        (
            {"role": "assistant", "audio": {"id": "a", "transcript": "Hello"}},
            {
                "role": "assistant",
                "content": "Hello",
                "metadata": {"audio": {"id": "a", "transcript": "Hello"}},
            },
        ),
        ({"role": "developer", "content": "Be brief."}, {"role": "developer", "content": "Be brief."}),
        (ONE | {"weight": 1, "metadata": {"weight": 2}}, ONE | {"metadata": {"weight": 2, "weight_": 1}}),
        (ONE | {"toolcalls": "x"}, ONE | {"metadata": {"toolcalls": "x"}}),
        # What is no such thing is kept in the metadata.
        (ONE | {"metadata": ["x"]}, ONE | {"metadata": {"metadata": ["x"]}}),
        (ONE | {"timestamp": 1714564800}, ONE | {"metadata": {"timestamp": 1714564800}}),
        (ONE | {"timestamp": "0000-01-01"}, ONE | {"metadata": {"timestamp": "0000-01-01"}}),
        (ONE | {"token_count": -1}, ONE | {"metadata": {"token_count": -1}}),
        (ONE | {"tool_calls": "x"}, ONE | {"metadata": {"tool_calls": "x"}}),
        (ONE | {"user_id": "x" * 513}, ONE | {"metadata": {"user_id": "x" * 513}}),
        (ONE | {"id": {"$oid": "x"}}, ONE | {"metadata": {"id": {"$oid": "x"}}}),
        (ONE | {"id": 1.5}, ONE | {"metadata": {"id": 1.5}}),
        # What is of another type, or cannot be stored, is what is closest to it.
        ({"role": "user", "content": math.nan}, {"role": "user", "content": "NaN"}),
        ({"role": "user", "content": 7}, {"role": "user", "content": "7"}),
        ({"role": "user", "content": {"type": "text"}}, {"role": "user", "content": [{"type": "text"}]}),
        (ONE | {"tool_calls": {"id": "c"}}, ONE | {"tool_calls": [{"id": "c"}]}),
        (ONE | {"tool_call_id": 7, "name": True}, ONE | {"tool_call_id": "7", "name": "True"}),
        ({"role": "user", "content": "a\0b"}, {"role": "user", "content": "a\ufffdb"}),
        (ONE | {"metadata": {"n": float("nan")}}, ONE | {"metadata": {"n": "NaN"}}),
        ({"content": "hi"}, {"role": "unknown", "content": "hi"}),
        ({"role": "", "content": "hi"}, {"role": "unknown", "content": "hi"}),
        ("hi", {"role": "unknown", "content": "hi"}),
        ({"role": "model", "parts": [{"text": "hi"}]}, {"role": "model", "content": [{"text": "hi"}]}),
    ],
)
def test_no_words_are_lost_for_what_is_beside_them(raw: Any, expected: dict[str, Any]) -> None:
    whole = parse_line(line({"id": "a", "messages": [ONE, raw, ONE]}), "default")
    _, message, _ = whole.command.messages
    said = message.model_dump(exclude_none=True, exclude={"id"})
    assert said == expected
    assert list(whole.messages_skipped) == []
    assert SECRET not in str(whole.warnings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"id": "a", "messages": [{"role": "b", "content": "one", "content": "two"}]}', ["two"]),
        ('{"id": "a", "messages": [{"role": "b", "content": "one", "metadata": {"c": 1, "c": 2}}]}', ["one"]),
        ('{"id": "a", "messages": [], "messages": [{"role": "b", "content": "one"}]}', ["one"]),
        ('{"id": "b", "id": "a", "messages": [{"role": "b", "content": "one"}]}', ["one"]),
    ],
)
def test_a_member_that_is_there_twice_is_told_and_kept(text: str, words: list[str]) -> None:
    whole = parse_line(Line(1, text.encode()), "default")
    assert [message.content for message in whole.command.messages] == words
    assert list(whole.warnings) == [cleaning.TWICE]
    metadata = [whole.command.metadata, *(message.metadata for message in whole.command.messages)]
    kept = {name for one in metadata if one for name in one if name.endswith("_")}
    assert kept <= {"content_", "c_", "messages_", "id_"}
    assert len(kept) == 1


@pytest.mark.parametrize("number", ["3.14159265358979323846", "9007199254740993.0", "1e-400"])
def test_a_number_that_would_be_rounded_is_kept_as_text(number: str) -> None:
    text = json.dumps(chat("x", metadata={"n": 0}) | {"messages": [ONE]}).replace('"n": 0', f'"n": {number}')
    whole = parse_line(line(text.encode()), "default")
    assert whole.command.metadata == {"n": number}
    assert list(whole.warnings) == [cleaning.INEXACT]


@pytest.mark.parametrize("metadata", [None, {}, {"n": 12345678901234567890}])
def test_a_line_with_a_long_number_is_read_as_one_without(metadata: Any) -> None:
    given = chat("x", metadata=metadata)
    given["messages"][0] |= {"metadata": metadata, "timestamp": "2026-11-20T20:00:00Z", "token_count": 3}
    short = parse_line(line(given), "default").command
    long = parse_line(line(given | {"scope": "1234567890123456789"}), "default").command
    members = {"id"}
    assert [m.model_dump(exclude=members) for m in short.messages] == [
        m.model_dump(exclude=members) for m in long.messages
    ]
    assert short.metadata == long.metadata


def test_what_has_nothing_to_take_is_skipped_alone() -> None:
    whole = parse_line(line({"id": "a", "messages": [ONE, 7, None, {}, [], {"id": "x"}, ONE]}), "default")
    assert (len(whole.command.messages), whole.messages_skipped) == (2, [1, 2, 3, 4, 5])


def test_what_else_is_known_of_a_conversation() -> None:
    given = {"session_id": "a", "title": "Tea", "metadata": {"k": 1}, "extra": None, "messages": [ONE]}
    command = parse_line(line(given), "default").command
    assert (command.name, command.metadata) == ("a", {"k": 1, "session_id": "a", "title": "Tea"})
    assert parse_line(line({"id": 7, "messages": [ONE]}), "default").command.name == "7"


def test_names_that_cannot_be_one_are_made_fit_and_stay_apart() -> None:
    names = [
        parse_line(line(chat("x", id=name)), "default").command.name for name in ("a\nb", "a\tb", "x" * 600)
    ]
    assert len({*names}) == 3
    assert all(len(name) <= 512 and name.isprintable() for name in names)
    assert parse_line(line(chat("x", id="a\nb")), "default").command.name == names[0]
    scopes = parse_line(line(chat("x", scope="s" * 200, user_id="u" * 600)), "default").command
    assert (len(scopes.scope), len(scopes.user_id or "")) == (100, 512)


@pytest.mark.parametrize("given", [{"messages": [ONE]}, [ONE]])
def test_a_line_without_an_id_is_named_after_what_it_says(given: Any) -> None:
    whole = parse_line(line(given), "default")
    assert whole.command.name == parse_line(line(given), "default").command.name
    assert whole.command.name != parse_line(line({"messages": [ONE, ONE]}), "default").command.name
    assert list(whole.warnings) == [chat_lines.NO_ID]


def test_ids_that_are_no_uuids() -> None:
    given = {"id": "a", "messages": [ONE | {"id": "msg_1"}, ONE | {"id": "msg_2"}, ONE | {"id": "msg_1"}]}
    whole = parse_line(line(given), "default")
    assert whole.has_own_ids
    assert len(set(whole.ids)) == 2  # the third is the first once more
    assert [message.metadata for message in whole.command.messages] == [{"id": "msg_1"}, {"id": "msg_2"}]
    assert whole.ids == parse_line(line(given), "default").ids


def test_more_messages_than_one_line_may_have() -> None:
    many = b'{"id":"a","messages":[' + b",".join([b'{"role":"u"}'] * 100_001) + b"]}"
    assert reason(many) == "messages: are more than 100000"


def test_the_same_message_id_twice() -> None:
    same = {"role": "user", "id": str(uuid4())}
    assert parse_line(line({"id": "a", "messages": [same, same]}), "default").ids == [UUID(same["id"])]
    other = same | {"content": "other"}
    first, second = parse_line(line({"id": "a", "messages": [same, other]}), "default").command.messages
    assert (first.id, second.id == first.id) == (UUID(same["id"]), False)
    assert second.metadata == {"id": same["id"]}


@given(st.recursive(st.none() | st.booleans() | st.text() | st.floats(), st.lists, max_leaves=5))
def test_whatever_a_line_holds_it_is_skipped_with_a_reason_of_ours(value: Any) -> None:
    for text in (value, {"id": value}, {"id": "a", "messages": value}, {"id": "a", "messages": [value]}):
        try:
            parse_line(line(text), "default")
        except Skipped as skipped:
            told = str(skipped)
        else:
            continue
        assert "cannot be taken" not in told


def test_message_ids_are_the_same_for_the_same_words_in_the_same_place_only() -> None:
    ids = conversation("one", "two", "two").ids
    assert ids == conversation("one", "two", "two").ids
    assert len(set(ids)) == 3
    assert all(message_id.version == 5 for message_id in ids)
    assert conversation("one", "three").ids[0] == ids[0]
    elsewhere = [
        parse_line(line(chat("one")), "other").ids[0],
        conversation("one", id="b").ids[0],
        conversation("one", scope="flow").ids[0],
    ]
    assert len({*elsewhere, ids[0]}) == 4


def test_made_message_ids_never_change() -> None:
    """Other ids would have the next import of an old file add everything again."""
    assert conversation("one Chai Latte please").ids == [UUID("9a7e8808-c2b2-563a-9851-4b773e223198")]


def test_metadata_of_a_message_is_no_part_of_its_words() -> None:
    def with_metadata(value: int) -> Conversation:
        message = {"role": "user", "content": "x", "metadata": {"n": value}}
        return parse_line(line({"id": "a", "messages": [message]}), "default")

    assert with_metadata(1).ids == with_metadata(2).ids


# What is here already


def here(message_count: int, *, is_deleted: bool = False) -> ExistingSession:
    return ExistingSession(uuid4(), is_deleted, message_count)


def test_only_the_tail_of_a_conversation_that_grew_is_new() -> None:
    grown = conversation("one", "two", "three")
    rest = tail(grown, here(2), set(grown.ids[:2]))
    assert rest.ids == grown.ids[2:]
    assert not rest.is_new


def test_a_session_that_went_on_by_other_means_has_the_whole_conversation() -> None:
    whole = conversation("one", "two")
    assert tail(whole, here(5), set(whole.ids)).ids == []


@pytest.mark.parametrize(("known", "message_count"), [([], 1), ([1], 1), ([0, 2], 2), ([0], 2)])
def test_a_session_with_other_messages_is_another_conversation(known: list[int], message_count: int) -> None:
    grown = conversation("one", "two", "three")
    with pytest.raises(Skipped, match="holds other messages"):
        tail(grown, here(message_count), {grown.ids[place] for place in known})


def test_a_session_without_messages_takes_all() -> None:
    assert len(tail(conversation("one"), here(0), set()).ids) == 1


def test_a_deleted_session_is_not_revived() -> None:
    with pytest.raises(Skipped, match="is deleted"):
        tail(conversation("one"), here(1, is_deleted=True), set())


def test_messages_with_ids_of_their_own_are_left_to_the_store() -> None:
    own = {"id": "a", "messages": [{"role": "user", "id": str(uuid4())}]}
    assert len(tail(parse_line(line(own), "default"), here(1), set()).ids) == 1


# Lines and chunks


def test_lines_keep_their_numbers_and_empty_ones_are_none() -> None:
    text = b'\xef\xbb\xbf{"a":1}\r\n\n   \n{"b":2}'
    assert list(lines_of(io.BytesIO(text))) == [(1, b'{"a":1}\r\n'), (4, b'{"b":2}')]


def test_a_line_that_is_too_long_is_skipped_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_lines, "LINE_BYTES_MAX", 2**20)
    long, short = list(lines_of(io.BytesIO(b" " * 5 + b"x" * 3 * 2**20 + b"\n[]\n")))
    assert len(long.text) == 2**20 + 1
    assert short == (2, b"[]\n")
    with pytest.raises(Skipped, match="is longer than 1 MiB"):
        parse_line(long, "default")


def test_a_line_of_just_the_greatest_length_is_not_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(chat("x")).encode()
    monkeypatch.setattr(chat_lines, "LINE_BYTES_MAX", len(text))
    (whole,) = lines_of(io.BytesIO(text))
    assert parse_line(whole, "default").command.name == "a"


def test_chunks_are_bounded_and_never_hold_a_name_twice() -> None:
    names = ["a", "b", "a", "a", *map(str, range(CHUNK_LINES + 1))]
    found = [
        [c.command.name for c in chunk] for chunk in chunks(conversation("x", id=name) for name in names)
    ]
    assert [name for chunk in found for name in chunk] == names
    assert all(len(set(chunk)) == len(chunk) <= CHUNK_LINES for chunk in found)


def test_chunks_end_when_they_weigh_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "WEIGHT_WAITING_MAX", conversation("x").weight)
    assert [len(chunk) for chunk in chunks(conversation("x", id=name) for name in "abc")] == [1, 1, 1]


def test_a_name_that_can_be_none_costs_no_words() -> None:
    said = [
        parse_line(line({"id": {"$oid": name}, "messages": [ONE]}), "default") for name in ("a", "b", "a")
    ]
    names = [one.command.name for one in said]
    assert names[0] == names[2] != names[1]
    assert said[0].command.metadata == {"id": {"$oid": "a"}}
    assert said[0].warnings == {describe_renamed_member("id"): 1, NO_ID: 1}
    elsewhere = parse_line(line({"id": "", "session_id": "s", "messages": [ONE]}), "default")
    assert elsewhere.command.name == "s"
