"""What others hold is made fit for the store, and each kind of change is told."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recountdb.api.transfer import cleaning
from recountdb.api.transfer.cleaning import clean, clean_text, loads
from recountdb.domain.values import check_document

ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(ANY)
def test_whatever_it_is_it_can_be_stored(value: Any) -> None:
    check_document(clean(value))


@given(ANY)
def test_what_can_be_stored_stays_as_it_is(value: Any) -> None:
    once = clean(value)
    told: list[str] = []
    assert clean(once, told.append) == once
    assert told == []


@pytest.mark.parametrize(
    ("value", "expected", "kind"),
    [
        (math.nan, "NaN", cleaning.NOT_FINITE),
        (-math.inf, "-Infinity", cleaning.NOT_FINITE),
        ("a\x00b", "a\ufffdb", cleaning.NUL),
        ("a\ud800b", "a\ufffdb", cleaning.SURROGATE),
        pytest.param(10**5000, hex(10**5000), cleaning.TOO_LONG, id="a long integer"),
        (b"\xffa", "\ufffda", cleaning.NO_JSON_TYPE),
        ({"\x00": 1, "\ufffd": 2}, {"\ufffd": 2}, cleaning.DUPLICATE),
    ],
)
def test_what_becomes_of_it(value: Any, expected: Any, kind: str) -> None:
    told: list[str] = []
    assert clean(value, told.append) == expected
    assert kind in told


def test_halves_that_stand_together_are_one_character() -> None:
    told: list[str] = []
    assert clean_text("\ud83d\ude00", told.append) == "\U0001f600"
    assert told == []


def test_what_is_nested_too_deep_is_text_from_there_on() -> None:
    deep: Any = "core"
    for _ in range(150):
        deep = [deep]
    told: list[str] = []
    check_document(clean(deep, told.append))
    assert told == [cleaning.TOO_DEEP]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[NaN, -Infinity]", ["NaN", "-Infinity"]),
        ("1e400", "1e400"),
        ("1e-99999999999999999999", "1e-99999999999999999999"),
        ("1.50", 1.5),
        ("3.14159265358979323846", "3.14159265358979323846"),
        ("0.5", 0.5),
        ("9" * 5000, "9" * 5000),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"a\tb\nc"', "a\tb\nc"),
        ("\ufeff[1]", [1]),
    ],
)
def test_json_as_others_write_it(text: str, expected: Any) -> None:
    assert clean(loads(text)) == expected


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "nan", "'a'"])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its words are the library's
        loads(text)


def test_no_member_is_lost_that_was_given_twice() -> None:
    told: list[str] = []
    text = '{"a": 1, "a": 2, "a_": 3, "b": {"c": "x", "c": "y", "c": "z"}}'
    assert clean(loads(text), told.append) == {
        "a": 2, "a_": 3, "a__": 1, "b": {"c": "z", "c_": "x", "c__": "y"}
    }  # fmt: skip
    assert told == [cleaning.TWICE] * 2
