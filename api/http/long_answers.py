"""Long and large answers: their keys are checked again and again, and the memory they take is bounded.

One mechanism serves the routes of all protocols. An answer is *long* once it is sent in more than one
part. While it is under way, its key is checked again each second. If the key no longer allows it, the
answer ends at once: a stream of server-sent events ends after a comment that says so, and any other answer
is broken off, so that nobody takes the part that arrived for the whole.

A *large* answer is sent in small parts, so that the bytes its reader has not taken yet are held once, not
several times. The bytes held for all large answers are bounded (see api.shares).
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recountdb.api.http.problems import problem_for
from recountdb.api.services.keys import Caller, KeyRing
from recountdb.api.shares import Shares
from recountdb.domain.errors import RecountError, Unavailable

ASK_SECONDS = 1.0  # revoking a key must take effect within two seconds
STALL_SECONDS = 60.0  # how long a reader may take nothing
HOLD_SECONDS = 5.0  # how long a list that is sent whole may wait for room, before it is read
HOLD_POLL_SECONDS = 0.05
LARGE_BYTES = 256 * 1024
PART_BYTES = 64 * 1024
CROWDED = "too many large answers wait to be read: read them to their end, or ask for less at a time"
FAREWELL = b": this key is no longer taken here\n\n"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Permission:
    """The grounds on which a request was let in: the key as sent, the scope it needed, and its owner."""

    key: str | None
    scope: str
    caller: Caller

    def holds(self, caller: Caller | None) -> bool:
        """Return whether ``caller``, the present owner of the key, would be let in as well."""
        return caller is not None and caller.project == self.caller.project and caller.may(self.scope)


class _Stalled(Exception):
    """The reader has stopped taking the answer."""


class _Crowded(Exception):
    """Too many bytes are under way to slow readers. The routes did not fail: they have answered."""


class LongAnswers:
    """The long answers of a process that are under way."""

    def __init__(self, keys: KeyRing, *, bytes_max: int) -> None:
        self.shares = Shares(bytes_max)
        self._keys = keys
        self._open: set[Answer] = set()
        self._asking: asyncio.Task[None] | None = None

    def add(self, answer: Answer) -> None:
        """Check the key of ``answer`` again and again from now on."""
        self._open.add(answer)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._keep_asking())

    def remove(self, answer: Answer) -> None:
        """Stop checking the key of ``answer``."""
        self._open.discard(answer)

    async def _keep_asking(self) -> None:
        while self._open:
            await asyncio.sleep(ASK_SECONDS)
            try:
                await self._ask()
            except Unavailable:
                pass  # no new data is read meanwhile either
            except RecountError as error:
                logger.warning("keys could not be looked up: %s", error)

    async def _ask(self) -> None:
        keys = {answer.permission.key for answer in self._open if answer.permission}
        callers = await asyncio.to_thread(self._keys.look_up, keys)
        for answer in list(self._open):
            permission = answer.permission
            if permission and permission.key in callers and not permission.holds(callers[permission.key]):
                self.remove(answer)
                answer.revoke()


class Answer:
    """The answer to one request, on its way out."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.is_revoked = False
        self._scope = scope
        self._send = send
        self._task = asyncio.current_task()
        self._start: Message | None = None  # held back until the first part is there
        self._is_stream = False
        self._is_within = False  # whether a part larger than PART_BYTES is being sent
        self._is_added = False
        self._held = 0  # bytes that were set apart before they were read

    @property
    def permission(self) -> Permission | None:
        """Return the permission that let the request in, or None if it needed no key."""
        found: Permission | None = self._scope.get("permission")
        return found

    @property
    def _answers(self) -> LongAnswers:
        found: LongAnswers = self._scope["app"].state.store.answers
        return found

    async def send(self, message: Message) -> None:
        """Pass on a message that the application sends."""
        if message["type"] != "http.response.body":
            self._start = message
            return
        body = message.get("body", b"")
        is_long = message.get("more_body", False)
        if len(body) > LARGE_BYTES:
            await self._send_large(body, is_long)
        elif is_long:
            await self._begin(is_long)
            await self._send_in_time(message)
        else:
            await self._begin(is_long)
            await self._send(message)

    async def _begin(self, is_long: bool) -> None:
        if self._start is not None:
            start, self._start = self._start, None
            self._is_stream = any(
                name.lower() == b"content-type" and value.startswith(b"text/event-stream")
                for name, value in start["headers"]
            )
            await self._send(start)
        if is_long and not self._is_added:
            self._is_added = True
            self._answers.add(self)

    @property
    def _project(self) -> str:
        return self.permission.caller.project if self.permission else ""

    async def hold(self, size: int) -> None:
        """Set ``size`` bytes apart before they are read. Raises Unavailable if there is no room for long."""
        give_up = time.monotonic() + HOLD_SECONDS
        while not self._answers.shares.take(self._project, size):
            if time.monotonic() > give_up:
                raise Unavailable(CROWDED)
            await asyncio.sleep(HOLD_POLL_SECONDS)
        self._held += size

    async def _send_large(self, body: bytes, is_long: bool) -> None:
        project, shares = self._project, self._answers.shares
        more = max(0, len(body) - self._held)
        if more and not shares.take(project, more):
            raise _Crowded
        try:
            await self._begin(True)
            view = memoryview(body)
            self._is_within = True
            for place in range(0, len(body), PART_BYTES):
                part = bytes(view[place : place + PART_BYTES])
                has_more = is_long or place + PART_BYTES < len(body)
                await self._send_in_time({"type": "http.response.body", "body": part, "more_body": has_more})
            self._is_within = False
        finally:
            if more:
                shares.give_back(project, more)

    async def _send_in_time(self, message: Message) -> None:
        try:
            await asyncio.wait_for(self._send(message), STALL_SECONDS)
        except TimeoutError:
            raise _Stalled from None

    def revoke(self) -> None:
        """End the answer because its key no longer allows it."""
        self.is_revoked = True
        assert self._task is not None
        self._task.cancel()

    async def refuse(self, receive: Receive) -> None:
        """Answer that the response cannot be sent now; if it has begun, break it off."""
        if self._start is not None:
            await problem_for(Unavailable(CROWDED))(self._scope, receive, self._send)
        else:
            await self.break_off(b"")

    async def break_off(self, farewell: bytes) -> None:
        """End a stream of server-sent events; leave any other answer unfinished, for the server to cut."""
        if self._is_stream and not self._is_within:
            with suppress(TimeoutError):
                end = {"type": "http.response.body", "body": farewell, "more_body": False}
                await asyncio.wait_for(self._send(end), ASK_SECONDS)

    def close(self) -> None:
        """Give back the bytes that were set apart for the answer."""
        if self._held:
            self._answers.shares.give_back(self._project, self._held)
            self._held = 0
        if self._is_added:
            self._answers.remove(self)


class AskAgain:
    """Middleware that sends each response as an Answer, as plain ASGI (see api.http.middleware)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["answer"] = answer = Answer(scope, send)
        try:
            await self.app(scope, receive, answer.send)
        except asyncio.CancelledError:
            if not answer.is_revoked:
                raise
            _uncancel()
            logger.info("a long answer was ended: its key allows it no more")
            await answer.break_off(FAREWELL)
        except _Crowded:
            await answer.refuse(receive)
        except _Stalled:
            pass  # the caller is gone
        finally:
            answer.close()


def _uncancel() -> None:
    """Let the running task go on after a cancellation that was meant for what it was doing."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
