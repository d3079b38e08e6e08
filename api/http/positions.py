"""``Recount-Position``: where a write was recorded, and reads that are to see it.

Each write answers with the header, whatever its protocol. A native read that sends it back may be answered
by the replica, once that has what was recorded up to there; in time, or the primary answers.
"""

from __future__ import annotations

from contextvars import ContextVar

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recountdb.domain.errors import RecountError
from recountdb.eventlog.log.epoch import Epochs, LogPosition, OlderEpoch, read_position

HEADER = "Recount-Position"
READING = {"GET", "HEAD", "OPTIONS"}


class PositionInvalid(RecountError):
    """The header holds something else than a position of the log."""


class Written:
    """Where a request has written last, as it is spelled; None: nowhere yet."""

    __slots__ = ("position",)

    def __init__(self) -> None:
        self.position: str | None = None


UNDER_WAY: ContextVar[Written | None] = ContextVar("recount_written", default=None)


def note_position(position: str | None) -> None:
    """Remember, for the answer to the request under way, where it has written."""
    written = UNDER_WAY.get()
    if written is not None and position is not None:
        written.position = position


class Positions:
    """Adds the header to the answers of writes. ``scope["app"].state.store`` is the store."""

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
                    MutableHeaders(scope=message)[HEADER] = written.position
            await send(message)

        token = UNDER_WAY.set(written)
        try:
            await self.app(scope, receive, answer)
        finally:
            UNDER_WAY.reset(token)


def position_in(request: Request) -> LogPosition | None:
    """Return the position that a read is to see; None where it asks for none. Raises PositionInvalid."""
    text = request.headers.get(HEADER)
    if text is None:
        return None
    try:
        return read_position(text)
    except ValueError:
        raise PositionInvalid(f"{HEADER}: must be a position, as the answer to a write has it") from None


def refuse_lost(epochs: Epochs, place: LogPosition) -> None:
    """Raise OlderEpoch where the log has been set back to before ``place`` since."""
    shared = epochs.shared_through(place.epoch)
    if shared is not None and place.position > shared:
        raise OlderEpoch(epochs, shared, place.position)
