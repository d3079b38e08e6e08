"""Answers that take long or are large: who may see them is asked again, and memory stays bounded.

One mechanism for all routes, whatever they answer and in whatever protocol. An answer is *long* once it
goes out in more than one part. As long as one is under way, each second it is asked again whether its key
still allows it; where it does not, the answer ends at once: a stream of server-sent events after a comment
that says so, anything else broken off, so that nobody takes what arrived for all there is.

A *large* answer goes out in small parts, so that what its reader has not taken yet is held once, not
several times; what all of them hold is bounded (see api.shares).
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

ASK_SECONDS = 1.0  # a key's end is to show within two seconds
STALL_SECONDS = 60.0  # so long may a reader take nothing
HOLD_SECONDS = 5.0  # so long may a list that is told whole wait for room, before it is read
HOLD_POLL_SECONDS = 0.05
LARGE_BYTES = 256 * 1024
PART_BYTES = 64 * 1024
CROWDED = "too many large answers wait to be read: read them to their end, or ask for less at a time"
FAREWELL = b": this key is no longer taken here\n\n"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Permission:
    """What a request was let in by: the key as it was sent, what it had to allow, and whose it was."""

    key: str | None
    scope: str
    caller: Caller

    def holds(self, caller: Caller | None) -> bool:
        """Return whether ``caller``, who has the key now, would be let in to the same."""
        return caller is not None and caller.project == self.caller.project and caller.may(self.scope)


class Stalled(Exception):
    """The reader takes nothing any more."""


class Crowded(Exception):
    """Too much is under way to readers who take their time. No error of the routes', which have answered."""


class LongAnswers:
    """The long answers of a process that are under way."""

    def __init__(self, keys: KeyRing, *, bytes_max: int) -> None:
        self.shares = Shares(bytes_max)
        self._keys = keys
        self._open: set[Answer] = set()
        self._asking: asyncio.Task[None] | None = None

    def add(self, answer: Answer) -> None:
        """Ask again for ``answer`` from now on."""
        self._open.add(answer)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._keep_asking())

    def remove(self, answer: Answer) -> None:
        """Ask no more for ``answer``."""
        self._open.discard(answer)

    async def _keep_asking(self) -> None:
        while self._open:
            await asyncio.sleep(ASK_SECONDS)
            try:
                await self._ask()
            except Unavailable:
                pass  # nothing new is read meanwhile either
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
        self._is_within = False  # a part that is larger than PART_BYTES
        self._is_added = False
        self._held = 0  # bytes that were set apart before they were read

    @property
    def permission(self) -> Permission | None:
        """What the request was let in by; None: it needed no key."""
        found: Permission | None = self._scope.get("permission")
        return found

    @property
    def _answers(self) -> LongAnswers:
        found: LongAnswers = self._scope["app"].state.store.answers
        return found

    async def send(self, message: Message) -> None:
        """Pass on what the application sends."""
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
        """Set ``size`` bytes apart before they are read. Raises Unavailable: there is no room for long."""
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
            raise Crowded
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
            raise Stalled from None

    def revoke(self) -> None:
        """End the answer: its key does not allow it any more."""
        self.is_revoked = True
        assert self._task is not None
        self._task.cancel()

    async def refuse(self, receive: Receive) -> None:
        """Say that the answer cannot be sent now; where it has begun, break off."""
        if self._start is not None:
            await problem_for(Unavailable(CROWDED))(self._scope, receive, self._send)
        else:
            await self.break_off(b"")

    async def break_off(self, farewell: bytes) -> None:
        """End a stream of server-sent events, and leave anything else unfinished: the server cuts it."""
        if self._is_stream and not self._is_within:
            with suppress(TimeoutError):
                end = {"type": "http.response.body", "body": farewell, "more_body": False}
                await asyncio.wait_for(self._send(end), ASK_SECONDS)

    def close(self) -> None:
        """Let go of what was set apart for it."""
        if self._held:
            self._answers.shares.give_back(self._project, self._held)
            self._held = 0
        if self._is_added:
            self._answers.remove(self)


class AskAgain:
    """Has all answers pass through here, as plain ASGI (see api.http.middleware)."""

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
        except Crowded:
            await answer.refuse(receive)
        except Stalled:
            pass  # nobody is there to be told
        finally:
            answer.close()


def _uncancel() -> None:
    """Have the running task go on after a cancellation that was meant for what it did."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
