"""The errors of a responder that gives no answer."""

from __future__ import annotations

from recountdb.domain.errors import RecountError


class ResponderFailed(RecountError):
    """Error of a responder that gave no answer; ``status`` is the HTTP status for the reason."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class NoResponder(ResponderFailed):
    """Error of a request for an answer when no responder is configured."""

    def __init__(self, upstream: str) -> None:
        super().__init__(
            "nobody answers here: set RECOUNT_RESPONDER_URL to an OpenAI-compatible API, or "
            f"{upstream} to the server that runs the flows",
            501,
        )
