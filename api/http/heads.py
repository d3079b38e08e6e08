"""HEAD for every route with GET (RFC 9110, 9.1), as monitors and load balancers use it."""

from __future__ import annotations

from contextlib import suppress

from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send


class _HeadAnswered(Exception):
    """The headers were sent, which is all that a HEAD request wants."""


class HeadRoute(APIRoute):
    """Route that answers HEAD as well as GET, with the same headers and no body."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(self._as_get(scope))

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        got = self._as_get(scope)
        if got is scope:
            await super().handle(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send(message)
            await send({"type": "http.response.body"})
            raise _HeadAnswered  # otherwise a live stream would go on unseen

        with suppress(_HeadAnswered):
            await super().handle(got, receive, send_head)

    def _as_get(self, scope: Scope) -> Scope:
        methods = self.methods or ()
        is_head = scope.get("method") == "HEAD" and "GET" in methods and "HEAD" not in methods
        return {**scope, "method": "GET"} if is_head else scope
