"""How much a process holds for readers who take their time, shared fairly between projects."""

from __future__ import annotations

from collections import Counter


class Shares:
    """Bytes of large answers that are under way, bounded in all and for each project.

    Of n projects that have some under way, each may have up to 1/(n + 1) of all: there is always room
    for one more project, however many answers the others wait for nobody to read. For one thread.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._taken: Counter[str] = Counter()

    def take(self, project: str, size: int) -> bool:
        """Return whether ``size`` bytes were set apart for the project; give them back later.

        A project that has nothing under way is always given its first answer while there is room, and one
        that is larger than all there is, while there is nothing else.
        """
        if not self._taken:
            self._taken[project] = size
            return True
        projects = len(self._taken.keys() | {project})
        mine = self._taken[project]
        is_fair = not mine or mine + size <= self._bytes_max // (projects + 1)
        if not is_fair or self._taken.total() + size > self._bytes_max:
            return False
        self._taken[project] += size
        return True

    def give_back(self, project: str, size: int) -> None:
        """Return what was set apart."""
        self._taken[project] -= size
        if not self._taken[project]:
            del self._taken[project]

    @property
    def taken(self) -> int:
        """How many bytes are under way now."""
        return self._taken.total()
