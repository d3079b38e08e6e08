"""Strategies for JSON values as callers may send them: everything that must come back equal."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from hypothesis import strategies as st

from recountdb.domain.messages import Message

numbers = st.one_of(
    st.integers(),
    st.sampled_from([2**53 + 1, -(2**63), 2**64, 10**40, 10**4299]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e308, 1e23, 5e-324, -0.0, 0.1]),
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
leaves = st.one_of(st.none(), st.booleans(), numbers, texts)
moments = st.datetimes(timezones=st.just(UTC))
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


def documents() -> st.SearchStrategy[Any]:
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | members(inner), max_leaves=8)


def members(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    # Some keys that often meet, so that merging has something to do.
    return st.dictionaries(st.sampled_from(["a", "b"]) | texts, inner, max_size=3)


def objects() -> st.SearchStrategy[dict[str, Any]]:
    return members(documents())


def messages() -> st.SearchStrategy[Message]:
    return st.builds(
        Message,
        id=st.uuids(),
        role=texts.filter(bool),
        content=st.none() | texts | st.lists(documents(), max_size=3),
        name=st.none() | texts,
        user_id=st.none() | texts,
        timestamp=st.none() | moments,
        tool_calls=st.none() | st.lists(documents(), max_size=2),
        tool_call_id=st.none() | texts,
        metadata=st.none() | objects(),
        token_count=st.none() | st.integers(0, 2**53),
    )
