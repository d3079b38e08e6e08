"""Requests to a Recount server, with its errors as exceptions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx2

from recount_client.errors import InvalidInput, Refused, Unauthorized, Unavailable

URL_DEFAULT = "http://127.0.0.1:8000"
CONNECT_SECONDS_MAX = 5.0


class Client:
    """A connection to a Recount server, for any number of threads.

    ``url``: the server's address; the default is RECOUNT_URL in the environment, else the server that
    ``recount serve`` starts on this machine. ``api_key``: the default is RECOUNT_API_KEY; a server without
    keys needs none. ``timeout_seconds``: how long the server may be silent before a call raises Unavailable.

    Raises ValueError for an invalid address. Use it in a ``with`` statement, or call ``close``.
    """

    def __init__(
        self, url: str | None = None, api_key: str | None = None, *, timeout_seconds: float = 30.0
    ) -> None:
        self.url = url or os.environ.get("RECOUNT_URL") or URL_DEFAULT
        key = api_key or os.environ.get("RECOUNT_API_KEY")
        self._http = httpx2.Client(
            base_url=_check_url(self.url),
            headers={"X-API-Key": key} if key else {},
            timeout=httpx2.Timeout(timeout_seconds, connect=min(timeout_seconds, CONNECT_SECONDS_MAX)),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def request(
        self, method: str, path: str, *, query: Mapping[str, str | int | None] | None = None, body: Any = None
    ) -> Any:
        """Send a request, and return the JSON of the response, or None if it has none.

        ``query``: parameters; those that are None are left out. ``body``: any JSON value; None for no body.
        Raises Unavailable, Unauthorized, InvalidInput or Refused.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            response = self._http.request(method, path, params=given, json=body)
        except httpx2.RequestError as error:
            raise Unavailable(_describe_failure(self.url, error)) from error
        if not response.is_success:
            raise _to_error(response)
        if not response.content:
            return None
        document = _read_json(response)
        if document is None:
            raise Refused(response.status_code, f"{self.url} is no Recount server; check the address")
        return document


def _check_url(url: str) -> str:
    """Return ``url``. Raises ValueError when it is not an address of an HTTP server."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ValueError(f"the address of Recount is invalid: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"the address of Recount must be as {URL_DEFAULT}; check RECOUNT_URL")
    return url


def _describe_failure(url: str, error: httpx2.RequestError) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return f"Recount at {url} did not answer in time; try again, or look at the server"
    return f"Recount at {url} cannot be reached: {error}; check RECOUNT_URL, and that the server runs"


def _to_error(response: httpx2.Response) -> Exception:
    """Return the error for a response that is no success."""
    status = response.status_code
    reason = _reason_in(_read_json(response)) or f"the server answered {status} {response.reason_phrase}"
    match status:
        case 401 | 403:
            return Unauthorized(status, f"{reason}; check RECOUNT_API_KEY")
        case 400 | 413 | 422:
            return InvalidInput(status, reason)
        case 408 | 429 | 500 | 502 | 503 | 504:
            return Unavailable(reason)
    return Refused(status, reason)


def _reason_in(document: Any) -> str | None:
    """Return what an error's document says, in the shape of the native API or of a protocol's."""
    detail = document.get("detail") if isinstance(document, dict) else None
    if isinstance(detail, list):
        texts = [f"{_place_of(one)}: {one.get('msg')}" for one in detail if isinstance(one, dict)]
        return "; ".join(texts) or None
    return detail if isinstance(detail, str) else None


def _place_of(error: Mapping[str, Any]) -> str:
    """Return where in the request an error is, as ``messages.0.sender``."""
    location = error.get("loc")
    return ".".join(map(str, location[1:] or location)) if isinstance(location, list) else "request"


def _read_json(response: httpx2.Response) -> Any:
    """Return the response's JSON; None if it is no JSON."""
    try:
        return response.json()
    except ValueError:
        return None
