"""The path under which a proxy shows the server, removed from addresses and put before links."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from recountdb.api.settings.values import ROOT_PATH


class WithoutPrefix:
    """Middleware that removes the configured path from addresses, for proxies that pass them on unchanged.

    Behind a proxy that has removed it already, this does no harm.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self.app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, raw_path = scope["path"], scope.get("raw_path") or b""
            raw_prefix = self._root_path.encode()
            if raw_path == raw_prefix or raw_path.startswith(raw_prefix + b"/"):
                scope["path"] = path[len(self._root_path) :] or "/"
                scope["raw_path"] = raw_path[len(raw_prefix) :] or b"/"
        await self.app(scope, receive, send)


def prefix_of(request: Request, root_path: str) -> str:
    """Return the prefix of links to this server: the configured path, or the header of a proxy, or "".

    The header is for links only. If it changed which route is found, a caller could send it to evade the
    rules that a proxy has for paths.
    """
    if root_path:
        return root_path
    told = request.headers.get("x-forwarded-prefix", "").rstrip("/")
    return told if ROOT_PATH.fullmatch(told) else ""
