"""The members of foreign objects without a counterpart in Recount, which are kept in metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def find_own_members(metadata: Mapping[str, Any] | None, key: str) -> dict[str, Any]:
    """Return the members that a protocol keeps under ``key``; empty if there are none.

    Anybody may write metadata, so what is there may be anything else than an object.
    """
    own = (metadata or {}).get(key)
    return own if isinstance(own, dict) else {}
