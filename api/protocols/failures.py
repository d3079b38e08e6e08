"""Why a responder gave no answer."""

from __future__ import annotations

from recountdb.domain.errors import RecountError


class Failed(RecountError):
    """There is no answer; ``status`` is what HTTP calls the reason."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status
