"""The rules that texts, names, moments and documents keep, and how documents merge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from recountdb.domain.messages import Message
from recountdb.domain.values import (
    DEPTH_MAX,
    INTEGER_DIGITS_MAX,
    Content,
    Document,
    Metadata,
    Moment,
    Name,
    NonEmptyText,
    Text,
    is_same,
    merge,
)
from tests.support.documents import documents, objects

ASTRAL = "\N{GRINNING FACE}"


def is_valid(type_: Any, value: Any) -> bool:
    try:
        TypeAdapter(type_).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ("", True),
        ("Grüße, 世界 " + ASTRAL, True),
        ("tab\tand line\nfeed", True),
        ("\x01\x7f\ufeff\uffff", True),
        ("NUL \x00", False),
        ("\ud800", False),
        ("half of a pair: \udfff", False),
    ],
    ids=ascii,
)
def test_texts(text: str, is_taken: bool) -> None:
    assert is_valid(Text, text) == is_taken
    assert is_valid(Document, text) == is_taken
    assert is_valid(Metadata, {"a": [text]}) == is_taken
    assert is_valid(Metadata, {text: 1}) == is_taken
    assert is_valid(Content, [{"text": text}]) == is_taken


def test_a_non_empty_text_has_a_character() -> None:
    assert not is_valid(NonEmptyText, "")
    assert is_valid(NonEmptyText, " ")


@pytest.mark.parametrize(
    ("name", "is_taken"),
    [
        ("", False),
        ("x", True),
        (" a / b ? ", True),
        ("x" * 512, True),
        (ASTRAL * 512, True),
        ("x" * 513, False),
        ("a\nb", False),
        ("a\x00b", False),
        ("a\x7fb", False),
        ("a\x85b", False),
        ("\ud800", False),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_names(name: str, is_taken: bool) -> None:
    assert is_valid(Name, name) == is_taken


class TestDocuments:
    @pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
    def test_numbers_are_finite(self, number: float) -> None:
        assert not is_valid(Document, number)
        assert not is_valid(Metadata, {"a": [number]})

    @pytest.mark.parametrize("leaf", [1, [], {}], ids=repr)
    @pytest.mark.parametrize(
        "wrap", [lambda inner: [inner], lambda inner: {"a": inner}], ids=["array", "object"]
    )
    def test_nesting_ends_at_the_stated_depth(self, leaf: Any, wrap: Any) -> None:
        document = leaf
        for _ in range(DEPTH_MAX - isinstance(leaf, list | dict)):
            document = wrap(document)
        assert is_valid(Document, document)
        assert not is_valid(Document, wrap(document))

    def test_endless_nesting_is_refused_like_any_other(self) -> None:
        document: Any = []
        for _ in range(100_000):
            document = [document]
        assert not is_valid(Document, document)

    @pytest.mark.parametrize("sign", [1, -1])
    def test_integers_are_as_long_as_can_be_read_again(self, sign: int) -> None:
        longest = sign * (10**INTEGER_DIGITS_MAX - 1)
        assert is_valid(Metadata, {"a": longest})
        assert from_json(to_json(longest)) == longest
        assert not is_valid(Metadata, {"a": longest + sign})

    @given(documents())
    def test_what_is_taken_comes_back_equal(self, document: JsonValue) -> None:
        taken = TypeAdapter[Any](Document).validate_python(document)
        assert is_same(from_json(to_json(taken)), document)

    def test_metadata_is_an_object(self) -> None:
        assert not is_valid(Metadata, [])
        assert not is_valid(Metadata, None)

    @pytest.mark.parametrize(
        ("content", "is_taken"),
        [(None, True), ("", True), ([], True), ([1, {}], True), ({}, False), (1, False)],
    )
    def test_content_is_text_parts_or_nothing(self, content: Any, is_taken: bool) -> None:
        assert is_valid(Content, content) == is_taken


class TestMoments:
    def test_a_time_without_zone_is_utc(self) -> None:
        assert TypeAdapter(Moment).validate_python("2026-03-01T12:00:00") == datetime(
            2026, 3, 1, 12, tzinfo=UTC
        )

    def test_an_instant_is_kept_in_utc(self) -> None:
        moment = TypeAdapter(Moment).validate_python("2026-03-01T12:00:00+05:30")
        assert moment.utcoffset() == timedelta(0)
        assert moment == datetime(2026, 3, 1, 6, 30, tzinfo=UTC)

    @pytest.mark.parametrize(
        "moment",
        [
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
            datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-1))),
        ],
    )
    def test_an_instant_outside_of_the_calendar_is_refused(self, moment: datetime) -> None:
        assert not is_valid(Moment, moment)


def test_a_message_keeps_what_it_was_given() -> None:
    said: dict[str, Any] = {
        "id": "01890a5d-0000-7000-8000-000000000001",
        "role": "assistant",
        "content": [{"type": "text", "text": ASTRAL}],
        "tool_calls": [{"id": "1", "arguments": "{}"}],
        "metadata": {"a": None},
        "token_count": 2**53,
    }
    message = Message.model_validate(said)
    assert message.model_dump(mode="json", exclude_none=True) == said


@pytest.mark.parametrize(
    "wrong", [{"token_count": -1}, {"token_count": 2**53 + 1}, {"role": None}, {"other": 1}]
)
def test_a_message_with_wrong_members_is_refused(wrong: dict[str, Any]) -> None:
    said = {"id": "01890a5d-0000-7000-8000-000000000001", "role": "user", **wrong}
    assert not is_valid(Message, said)


class TestMerge:
    @given(objects(), objects())
    def test_the_same_patch_again_changes_nothing(self, old: JsonValue, patch: JsonValue) -> None:
        once = merge(old, patch)
        assert is_same(merge(once, patch), once)

    @given(objects())
    def test_merging_with_itself_or_nothing_changes_nothing(self, old: JsonValue) -> None:
        assert is_same(merge(old, old), old)
        assert is_same(merge(old, {}), old)
        assert is_same(merge({}, old), old)

    @given(documents(), documents())
    def test_every_member_of_the_patch_is_there_afterwards(self, old: JsonValue, patch: JsonValue) -> None:
        merged = merge(old, patch)
        assert holds(merged, patch)

    @given(objects(), objects())
    def test_members_the_patch_does_not_name_stay(
        self, old: dict[str, JsonValue], patch: dict[str, JsonValue]
    ) -> None:
        merged = merge(old, patch)
        assert isinstance(merged, dict)
        assert merged.keys() == old.keys() | patch.keys()
        assert all(is_same(merged[key], old[key]) for key in old.keys() - patch.keys())

    @given(objects(), objects())
    def test_neither_side_is_touched(self, old: JsonValue, patch: JsonValue) -> None:
        before = to_json([old, patch])
        merge(old, patch)
        assert to_json([old, patch]) == before

    @given(objects(), documents())
    def test_anything_but_two_objects_replaces(self, old: JsonValue, new: JsonValue) -> None:
        merged = merge({"a": old, "b": [old]}, {"a": [new], "b": old})
        assert is_same(merged, {"a": [new], "b": old})

    def test_null_is_a_value_and_removes_nothing(self) -> None:
        assert merge({"a": {"b": 1}}, {"a": {"b": None}}) == {"a": {"b": None}}
        assert merge({"a": {"b": 1}}, {"a": None}) == {"a": None}
        assert merge({"a": None}, {"a": {"b": 1}}) == {"a": {"b": 1}}


def holds(document: JsonValue, patch: JsonValue) -> bool:
    if isinstance(patch, dict) and isinstance(document, dict):
        return all(key in document and holds(document[key], patch[key]) for key in patch)
    return is_same(document, patch)


class TestSameness:
    @given(documents())
    def test_a_document_is_the_same_as_its_copy(self, document: JsonValue) -> None:
        assert is_same(document, from_json(to_json(document)))

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (1, True),
            (0, False),
            (None, False),
            (None, 0),
            ("1", 1),
            ([], {}),
            ([1], [1, 1]),
            ({"a": 1}, {"b": 1}),
        ],
    )
    def test_different_values_are_not_the_same(self, one: JsonValue, other: JsonValue) -> None:
        for wrap in (lambda x: x, lambda x: [x], lambda x: {"k": [x]}):
            assert not is_same(wrap(one), wrap(other))
            assert not is_same(wrap(other), wrap(one))

    def test_numbers_are_the_same_by_value(self) -> None:
        assert is_same([1, {"a": 2.0}], [1.0, {"a": 2}])
