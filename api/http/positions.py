"""The header ``Recount-Position``: where a write was recorded, and which writes a read must see.

Each write answers with the header, in every protocol. A native read that sends it back may be answered by
the replica, if that has everything up to the position in time; otherwise the primary answers.
"""

from __future__ import annotations

from contextvars import ContextVar

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recountdb.domain.errors import RecountError
from recountdb.eventlog.log.epoch import Epochs, LogPosition, OlderEpoch, read_position

HEADER = "Recount-Position"
_RAW_HEADER = HEADER.lower().encode()
READING = {"GET", "HEAD", "OPTIONS"}


class PositionInvalid(RecountError):
    """The header does not hold a position of the log."""


class Written:
    """The position of the last write of a request, as text; None before the first."""

    __slots__ = ("position",)

    def __init__(self) -> None:
        self.position: str | None = None


UNDER_WAY: ContextVar[Written | None] = ContextVar("recount_written", default=None)


def note_position(position: str | None) -> None:
    """Remember the position of a write for the answer to the request under way."""
    written = UNDER_WAY.get()
    if written is not None and position is not None:
        written.position = position


class Positions:
    """Middleware that adds the header to the answers of writes. ``scope["app"].state.store`` is the store."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        written = Written()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 300:
                if written.position is None and scope["method"] not in READING:
                    written.position = await scope["app"].state.store.newest_position()
                if written.position is not None:
                    header = (_RAW_HEADER, written.position.encode())
                    message["headers"] = [*message["headers"], header]
            await send(message)

        token = UNDER_WAY.set(written)
        try:
            await self.app(scope, receive, answer)
        finally:
            UNDER_WAY.reset(token)


def position_in(request: Request) -> LogPosition | None:
    """Return the position that a read must see, or None if it names none. Raises PositionInvalid."""
    text = request.headers.get(HEADER)
    if text is None:
        return None
    try:
        return read_position(text)
    except ValueError:
        raise PositionInvalid(f"{HEADER}: must be a position, as the answer to a write has it") from None


def refuse_lost(epochs: Epochs, place: LogPosition) -> None:
    """Raise OlderEpoch if the log has since been set back to before ``place``."""
    shared = epochs.shared_through(place.epoch)
    if shared is not None and place.position > shared:
        raise OlderEpoch(epochs, shared, place.position)
