"""Where the present content of a source that has no message ids begins in what was imported of it before.

See docs/adr/0026 for why it is so.
"""

from __future__ import annotations

from collections.abc import Sequence

Fingerprints = Sequence[str | None]
"""What each message says, in order. None: one that could not be read, or was erased since."""


def aligned(old: Fingerprints, new: Fingerprints) -> int | None:
    """The place in ``old`` where ``new`` begins: the first from which both agree as far as both go.

    0: only ever grown. More: the source lost its beginning. None: they have nothing in common. A None in
    ``old`` agrees with anything, yet at least one message must be the same.
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
