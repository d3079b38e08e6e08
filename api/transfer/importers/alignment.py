"""Alignment of a source without message ids with the messages that were imported from it before.

See docs/adr/0026 for the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence

Fingerprints = Sequence[str | None]
"""A fingerprint of each message's content, in order. None: it could not be read, or was erased since."""


def align(old: Fingerprints, new: Fingerprints) -> int | None:
    """Return the place in ``old`` where ``new`` begins: the first from which both agree as far as both go.

    0 means that the source has only grown, more that it lost its beginning, None that the two have nothing
    in common. A None in ``old`` agrees with anything, but at least one message must be the same.
    """
    for start in range(len(old)):
        if _agree(old, new, start):
            return start
    return None


def _agree(old: Fingerprints, new: Fingerprints, start: int) -> bool:
    has_same = False
    for place in range(min(len(old) - start, len(new))):
        before = old[start + place]
        if before is None:
            continue
        if before != new[place]:
            return False
        has_same = True
    return has_same
