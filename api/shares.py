"""The bytes that a process holds for slow readers, shared fairly between projects."""

from __future__ import annotations

from collections import Counter


class Shares:
    """The bytes of large answers that are under way, bounded in total and for each project.

    While n projects have answers under way, each may hold up to 1/(n + 1) of the total, so that there is
    always room for one more project, however many answers of the others nobody reads. Not thread-safe.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._taken: Counter[str] = Counter()

    def take(self, project: str, size: int) -> bool:
        """Set ``size`` bytes apart for the project, and return whether there was room; give them back later.

        A project that has nothing under way always gets room for its first answer while there is any. An
        answer that is larger than the total gets room while nothing else is under way.
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
        """Give back bytes that were set apart."""
        self._taken[project] -= size
        if not self._taken[project]:
            del self._taken[project]

    @property
    def taken(self) -> int:
        """Return how many bytes are under way now."""
        return self._taken.total()
