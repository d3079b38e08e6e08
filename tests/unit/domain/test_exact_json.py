"""Reading JSON: what is read is equal to what was written, to the last digit, or it is refused."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recountdb.domain.errors import InvalidInput
from recountdb.domain.exact_json import LARGE_CHARACTERS, NotJson, read_json


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-0.0",
        "1.50",
        "0.1",
        "1e2",
        "1E-7",
        "1e23",
        "5e-324",
        "1.7976931348623157e308",
        "9007199254740992.0",
    ],
)
def test_numbers_that_a_double_holds(text: str) -> None:
    assert Decimal(repr(read_json(text))) == Decimal(text)


@pytest.mark.parametrize("digits", [17, 40, 4300])
def test_integers_are_kept_whatever_their_size(digits: int) -> None:
    assert read_json("-" + "9" * digits) == 1 - 10**digits


@pytest.mark.parametrize(
    "text",
    [
        "12345678901234567890.123456789",
        "3.14159265358979323846",
        "12345678901234567890.5",
        "9007199254740993.0",
        "9007199254740993e0",
        "1e-400",
        "-1e-99999999999999999999",
        "1e400",
        "1e99999999999999999999",
        "NaN",
        "-Infinity",
        "9" * 4301,
        "0." + "1" * 5000,
        "0." + "0" * 100_000 + "1",
    ],
)
def test_numbers_that_would_not_come_back_equal_are_refused_where_they_are(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_json(f'{{"a": [{{"b": 1.5, "c": {text}}}], "d": 1e400}}')
    assert refused.value.field == "a.0.c"
    with pytest.raises(InvalidInput) as refused:
        read_json(text)
    assert refused.value.field == "body"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_is_taken_as_programs_write_it(number: float) -> None:
    for text in (repr(number), json.dumps(number), f"{number:.17e}" if number == 0 else repr(number)):
        assert read_json(text) == number


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_equal_or_refused(number: Decimal) -> None:
    text = f"{number:e}"
    try:
        found = read_json(text)
    except InvalidInput:
        assert Decimal(repr(float(text))) != number
    else:
        assert Decimal(repr(found)) == number


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"a": 1, "b": 2, "a": 1}', "a"),
        ('{"x": [{}, {"a": {"b": 1, "b": 2}}]}', "x.1.a.b"),
        ('{"a": 1, "\\u0061": 2}', "a"),
        ('{"": 1, "": 2}', "body"),
    ],
)
def test_a_member_that_is_there_twice_is_refused(text: str, field: str) -> None:
    with pytest.raises(InvalidInput, match="is given twice") as refused:
        read_json(text)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "text", ["", "{", "[1,]", "{'a': 1}", "01", "1.", "+1", ".5", "nul", b'"\xff"', "[" * 10**6]
)
def test_what_is_no_json(text: str | bytes) -> None:
    with pytest.raises(NotJson):
        read_json(text)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read_json(b"\xef\xbb\xbf{}") == {}


LONG = " " * LARGE_CHARACTERS

json_texts = st.recursive(
    st.sampled_from(
        ["null", "true", "NaN", "1e400", "0.1", "-7", "9" * 4301, '"a"', '"\\u00e9"', '"\n"', "'a'"]
    ),
    lambda values: (
        st.lists(values, max_size=3).map(lambda several: f"[{','.join(several)}]")
        | st.lists(st.tuples(st.sampled_from(['"a"', '"b"', "c"]), values), max_size=3).map(
            lambda members: "{" + ", ".join(f"{name}: {value}" for name, value in members) + "}"
        )
    ),
)


def read(text: str, spaces: str = "") -> object:
    """Return the value, or the refusal with its place in the text after the ``spaces``."""
    try:
        return read_json(spaces + text)
    except InvalidInput as error:
        return str(error)
    except NotJson as error:
        return error.position and error.position - len(spaces)


@given(json_texts)
@example("[" * 5000)
@example("[1,]")
@example('{"a": 1, "a": 2, c')
@example('{"a" 1}')
@example('{"a": 1')
def test_long_texts_are_read_as_short_ones(text: str) -> None:
    assert read(text, LONG) == read(text)
