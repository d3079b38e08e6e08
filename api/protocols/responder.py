"""Responders: an OpenAI-compatible chat endpoint, or the very server that a protocol stands in for.

Recount keeps conversations and has no model. A protocol whose clients want an answer, not just a store,
asks one of these responders; the settings determine which.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import httpx2
from pydantic import JsonValue, SecretStr

from recountdb.api.protocols.chat_answers import Answer, whole_answer
from recountdb.api.protocols.failures import Failed
from recountdb.api.settings import Settings
from recountdb.api.transfer.cleaning import clean, loads_bytes

CONNECT_SECONDS_MAX = 10
Route = Sequence[str]
"""The segments of a path, unencoded."""

RELAYED = (400, 404, 422)
"""Statuses by which the upstream server faults the request; with any other the server itself is at fault."""


class NotConfigured(Failed):
    """Error of a request for an answer when no responder is configured."""

    def __init__(self, upstream: str) -> None:
        super().__init__(
            "nobody answers here: set RECOUNT_RESPONDER_URL to an OpenAI-compatible API, or "
            f"{upstream} to the server that runs the flows",
            501,
        )


class Turn(NamedTuple):
    """A message as chat endpoints take it, with the role ``user``, ``assistant`` or ``system``."""

    role: str
    content: str


@asynccontextmanager
async def _client(seconds: float) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield an HTTP client whose errors are raised as Failed. ``seconds``: the read timeout."""
    timeout = httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS_MAX))
    try:
        async with httpx2.AsyncClient(timeout=timeout) as one:
            yield one
    except httpx2.TimeoutException:
        raise Failed("the responder did not answer in time", 504) from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Failed(f"the responder cannot be reached ({type(error).__name__})", 502) from None


@dataclass(frozen=True)
class Chat:
    """An OpenAI-compatible API at ``url``, such as ``https://api.example.org/v1``."""

    url: str
    model: str
    key: SecretStr | None
    seconds: float

    async def answer(self, turns: Sequence[Turn]) -> str:
        """Return the answer to ``turns``. Raises Failed."""
        async with _client(self.seconds) as asking:
            response = await asking.post(**self._request(turns, stream=False))
            _refuse_failure(response)
            return whole_answer(response.content)

    async def answer_by_parts(self, turns: Sequence[Turn]) -> AsyncIterator[str]:
        """Yield the answer to ``turns`` in parts as they come. Raises Failed."""
        request = self._request(turns, stream=True)
        async with _client(self.seconds) as asking, asking.stream("POST", **request) as response:
            _refuse_failure(response)
            answer = Answer()
            async for part in response.aiter_bytes():
                for text in answer.feed(part):
                    yield text
            for text in answer.end():
                yield text

    def _request(self, turns: Sequence[Turn], *, stream: bool) -> dict[str, Any]:
        messages = [turn._asdict() for turn in turns]
        key = self.key.get_secret_value() if self.key is not None else None
        return {
            "url": f"{self.url.rstrip('/')}/chat/completions",
            "json": {"model": self.model, "messages": messages, "stream": stream},
            "headers": {"Authorization": f"Bearer {key}"} if key else {},
        }


def _refuse_failure(response: httpx2.Response) -> None:
    if not response.is_success:
        raise Failed(f"the responder answered {response.status_code}", 502)


@dataclass(frozen=True)
class Upstream:
    """The server that the protocol stands in for, to which requests are passed on unchanged.

    ``headers``: sent with every request; they hold Recount's key at that server.
    """

    url: str
    headers: Mapping[str, str]
    seconds: float

    async def forward(self, route: Route, body: JsonValue, query: Mapping[str, str] | None = None) -> Relayed:
        """Post a request and return the JSON answer. Raises Failed unless the answer faults the request."""
        async with _client(self.seconds) as asking:
            return _relayed(await asking.post(**self._request(route, body, query)))

    async def look_up(self, route: Route) -> Relayed:
        """Return the JSON document at ``route``. Raises Failed as ``forward`` does."""
        async with _client(self.seconds) as asking:
            return _relayed(await asking.get(_address(self.url, route), headers=dict(self.headers)))

    async def forward_by_parts(
        self, route: Route, body: JsonValue, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[bytes]:
        """Post a request and yield the event stream that answers it, as it comes. Raises Failed."""
        request = self._request(route, body, query)
        async with _client(self.seconds) as asking, asking.stream("POST", **request) as response:
            _refuse_failure(response)
            async for part in response.aiter_bytes():
                yield part

    def _request(self, route: Route, body: JsonValue, query: Mapping[str, str] | None) -> dict[str, Any]:
        return {
            "url": _address(self.url, route),
            "json": body,
            "params": dict(query or {}),
            "headers": dict(self.headers),
        }


def is_segment(name: str) -> bool:
    """Return whether ``name`` is safe as one segment of a path, whatever server or proxy reads it.

    Some servers decode a segment before they look for slashes and dots, even more than once, or cut it at a
    semicolon, and would end up at another route.
    """
    if not name or any(c in "/\\" or not c.isprintable() for c in name):
        return False
    while (decoded := unquote(name)) != name:
        name = decoded
    return not any(part.partition(";")[0] in (".", "..") for part in re.split(r"[/\\]", name))


def _address(url: str, route: Route) -> str:
    """Return the URL of a route of the server at ``url``. Raises Failed if a segment leads elsewhere."""
    if not all(map(is_segment, route)):
        raise Failed("there is no such address at the responder", 404)
    return "/".join([url.rstrip("/"), *(quote(name, safe="") for name in route)])


class Relayed(NamedTuple):
    """An answer of the upstream server."""

    status: int
    body: Any


def _relayed(response: httpx2.Response) -> Relayed:
    """Return a response's status and JSON body. Raises Failed unless it succeeded or faults the request."""
    if response.status_code not in RELAYED:
        _refuse_failure(response)
    try:
        return Relayed(response.status_code, clean(loads_bytes(response.content)))
    except ValueError:
        raise Failed("the responder's answer is not JSON", 502) from None


def chat_in(settings: Settings) -> Chat | None:
    """Return the chat endpoint in the settings; None if there is none."""
    if settings.responder_url is None:
        return None
    return Chat(
        settings.responder_url, settings.responder_model, settings.responder_key, settings.responder_seconds
    )


def langflow_in(settings: Settings) -> Upstream | None:
    """Return the Langflow server in the settings; None if there is none."""
    if settings.langflow_upstream is None:
        return None
    key = settings.langflow_upstream_key
    headers = {} if key is None else {"x-api-key": key.get_secret_value()}
    return Upstream(settings.langflow_upstream, headers, settings.responder_seconds)


def langflux_in(settings: Settings) -> Upstream | None:
    """Return the Flowise server in the settings; None if there is none."""
    if settings.langflux_upstream is None:
        return None
    key = settings.langflux_upstream_key
    headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
    return Upstream(settings.langflux_upstream, headers, settings.responder_seconds)
