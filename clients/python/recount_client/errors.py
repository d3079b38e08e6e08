"""Every error of a request to a Recount server.

RecountError
├─ Unavailable       the server is away, late, or cannot answer now; trying again later may help
└─ Refused           the server said no; ``status`` is that of its response
   ├─ InvalidInput   … to something in the request; a ValueError as well
   └─ Unauthorized   … to the API key
"""

from __future__ import annotations


class RecountError(Exception):
    """Root of every error of this package."""


class Unavailable(RecountError):
    """The server did not answer, or cannot answer now.

    A write may have been recorded nevertheless if the server was reached.
    """


class Refused(RecountError):
    """The server refused the request with the HTTP status ``status``; nothing was recorded."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class InvalidInput(Refused, ValueError):
    """The server refused a value in the request."""


class Unauthorized(Refused):
    """The API key is missing, unknown, or lacks a scope."""
