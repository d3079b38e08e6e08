"""Members of Langflow's messages, as the Python client sends them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from recount_client.plain import to_plain

ID = UUID("7a1d5b0c-3b2a-4d6e-9c64-0d8f5f2b7a22")


class State(StrEnum):
    DONE = "done"


class Usage(BaseModel):
    tokens: int = Field(7, alias="totalTokens")
    cost: float = float("nan")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (2**70, 2**70),
        ("Grüße", "Grüße"),
        (0.5, 0.5),
        (float("inf"), None),
        ({1: [float("nan")]}, {"1": [None]}),
        (MappingProxyType({"a": (1, 2)}), {"a": [1, 2]}),
        ({"one"}, ["one"]),
        (ID, str(ID)),
        (datetime(2026, 11, 20, 12, tzinfo=UTC), "2026-11-20T12:00:00+00:00"),
        (Decimal("0.10"), "0.10"),
        (PurePosixPath("f/x.png"), "f/x.png"),
        (State.DONE, "done"),
        ([Usage()], [{"totalTokens": 7, "cost": None}]),
    ],
)
def test_values_of_a_program_have_a_form_in_json(value: Any, plain: Any) -> None:
    assert to_plain(value) == plain
    assert type(to_plain(value)) is type(plain)


def test_what_has_none_is_refused_by_its_type() -> None:
    with pytest.raises(ValueError, match="a generator has no form in JSON"):
        to_plain({"a": (part for part in "abc")})
