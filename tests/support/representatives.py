"""Choose one route or request of each kind, where the same test runs for many of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from typing import Any, Protocol

import pytest


class _Kinded(Protocol):
    @property
    def kind(self) -> Hashable: ...


def mark_repeats(items: list[pytest.Item], of: type[_Kinded]) -> None:
    """Mark ``thorough`` what repeats a test for another parameter of type ``of`` of the same kind.

    The first of each kind by name stays unmarked, and so does every test marked ``every``.
    """
    tests: dict[Hashable, list[tuple[str, pytest.Item]]] = defaultdict(list)
    for item in items:
        parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        for value in parameters.values():
            if isinstance(value, of) and not item.get_closest_marker("every"):
                others = str([other for other in parameters.values() if other is not value])
                tests[item.nodeid.partition("[")[0], others, value.kind].append((str(value), item))
    for repeats in tests.values():
        for _, item in sorted(repeats, key=lambda pair: pair[0])[1:]:
            item.add_marker("thorough")
