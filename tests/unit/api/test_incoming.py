"""Bodies are counted before they are parsed, whatever their strings hold."""

from __future__ import annotations

import json

import pytest
from starlette.exceptions import HTTPException

from recountdb.api.http.incoming import Intake
from recountdb.api.http.turns import Neighbours


@pytest.mark.parametrize(
    ("document", "is_taken"),
    [
        ({f"{n}": ",[{" * 50 for n in range(90)}, True),
        ({f"{n}": '"\\,' for n in range(90)}, True),
        ({f"{n}": ",[{" for n in range(101)}, False),
        ([[]] * 51, False),
        (",[{" * 10_000, True),
    ],
)
def test_members_and_elements_are_counted_outside_of_strings(document: object, is_taken: bool) -> None:
    intake = Intake(bytes_max=100_000, values_max=100, neighbours=Neighbours())
    raw = json.dumps(document).encode()
    if is_taken:
        intake.check_values(raw)
    else:
        with pytest.raises(HTTPException, match="100 members and elements at most"):
            intake.check_values(raw)
    intake.stop()
