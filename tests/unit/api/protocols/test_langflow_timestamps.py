"""Times as Langflow's components give them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from recountdb.api.protocols.langflow.shapes.store import parse_timestamp
from recountdb.domain.errors import InvalidInput


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20 12:00:00.000000 UTC",
        "2026-11-20 12:00:00 UTC",
        "2026-11-20 12:00:00",
        "2026-11-20T12:00:00",
        "2026-11-20T12:00:00.000Z",
        "2026-11-20T14:00:00+02:00",
        "2026-11-20 14:00:00 +0200",
    ],
)
def test_times_as_they_come(text: str) -> None:
    assert parse_timestamp(text) == datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "UTC", "yesterday", "2026-13-01 00:00:00 UTC"])
def test_others_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="timestamp"):
        parse_timestamp(text)
