"""The error of a responder that gives no answer."""

from __future__ import annotations

from recountdb.domain.errors import RecountError


class Failed(RecountError):
    """Error of a responder that gave no answer; ``status`` is the HTTP status for the reason."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status
