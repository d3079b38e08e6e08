"""Who answers: a chat endpoint as OpenAI's, or the very server that a protocol stands in for.

Recount keeps conversations and has no model. A protocol whose clients want an answer, not just a store,
asks one of these; which, the settings say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx2
from pydantic import JsonValue, SecretStr
from pydantic_core import from_json

from api.settings import Settings
from domain.errors import RecountError

CONNECT_SECONDS_MAX = 10
RELAYED = (400, 404, 422)
"""Statuses of the server behind us that are about the request; with any other it is at fault."""


class Failed(RecountError):
    """There is no answer; ``status`` is what HTTP calls the reason."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class NotConfigured(Failed):
    """Nobody is there to answer."""

    def __init__(self, upstream: str) -> None:
        super().__init__(
            "nobody answers here: set RECOUNT_RESPONDER_URL to an OpenAI-compatible API, or "
            f"{upstream} to the server that runs the flows",
            501,
        )


class Turn(NamedTuple):
    """What was said before, as chat endpoints have it: by ``user``, ``assistant`` or ``system``."""

    role: str
    content: str


@asynccontextmanager
async def client(seconds: float) -> AsyncIterator[httpx2.AsyncClient]:
    """A client whose failures are ours. ``seconds``: how long the other side may keep silent."""
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
    """An OpenAI-compatible API at ``url``, as ``https://api.example.org/v1``."""

    url: str
    model: str
    key: SecretStr | None
    seconds: float

    async def answer(self, turns: Sequence[Turn]) -> str:
        """What is said next. Raises Failed."""
        async with client(self.seconds) as asking:
            response = await asking.post(**self._request(turns, stream=False))
            refuse_failure(response)
            return content_in(response.content, "message")

    async def answer_by_parts(self, turns: Sequence[Turn]) -> AsyncIterator[str]:
        """As ``answer``, as it comes."""
        request = self._request(turns, stream=True)
        async with client(self.seconds) as asking, asking.stream("POST", **request) as response:
            refuse_failure(response)
            async for line in response.aiter_lines():
                data = line.removeprefix("data:").strip()
                if not line.startswith("data:") or data == "[DONE]":
                    continue
                part = content_in(data.encode(), "delta")
                if part:
                    yield part

    def _request(self, turns: Sequence[Turn], *, stream: bool) -> dict[str, Any]:
        messages = [turn._asdict() for turn in turns]
        key = self.key.get_secret_value() if self.key is not None else None
        return {
            "url": f"{self.url.rstrip('/')}/chat/completions",
            "json": {"model": self.model, "messages": messages, "stream": stream},
            "headers": {"Authorization": f"Bearer {key}"} if key else {},
        }


def content_in(raw: bytes, member: str) -> str:
    """The text of the first choice; of parts of an answer some have none. Raises Failed."""
    try:
        document = from_json(raw)
        choices = document["choices"]
        content = choices[0][member].get("content") if choices else None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Failed("the responder's answer is not that of a chat endpoint", 502) from None
    return content if isinstance(content, str) else ""


def refuse_failure(response: httpx2.Response) -> None:
    if not response.is_success:
        raise Failed(f"the responder answered {response.status_code}", 502)


@dataclass(frozen=True)
class Upstream:
    """The server that the protocol stands in for, which gets the requests as they came.

    ``headers``: with the key that it knows us by.
    """

    url: str
    headers: Mapping[str, str]
    seconds: float

    async def forward(self, path: str, body: JsonValue, query: Mapping[str, str] | None = None) -> Relayed:
        """Its answer, JSON. Raises Failed, unless the answer tells what is wrong with the request."""
        async with client(self.seconds) as asking:
            return relayed(await asking.post(**self._request(path, body, query)))

    async def look_up(self, path: str) -> Relayed:
        """What it has at ``path``, JSON. Raises Failed as ``forward`` does."""
        async with client(self.seconds) as asking:
            url = f"{self.url.rstrip('/')}{path}"
            return relayed(await asking.get(url, headers=dict(self.headers)))

    async def forward_by_parts(
        self, path: str, body: JsonValue, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[bytes]:
        """Its answer, an event stream, as it comes. Raises Failed."""
        request = self._request(path, body, query)
        async with client(self.seconds) as asking, asking.stream("POST", **request) as response:
            refuse_failure(response)
            async for part in response.aiter_bytes():
                yield part

    def _request(self, path: str, body: JsonValue, query: Mapping[str, str] | None) -> dict[str, Any]:
        return {
            "url": f"{self.url.rstrip('/')}{path}",
            "json": body,
            "params": dict(query or {}),
            "headers": dict(self.headers),
        }


class Relayed(NamedTuple):
    """What the server behind us answered."""

    status: int
    body: Any


def relayed(response: httpx2.Response) -> Relayed:
    """Raises Failed, unless the answer tells what is wrong with the request."""
    if response.status_code not in RELAYED:
        refuse_failure(response)
    try:
        return Relayed(response.status_code, from_json(response.content))
    except ValueError:
        raise Failed("the responder's answer is not JSON", 502) from None


def chat_in(settings: Settings) -> Chat | None:
    """The chat endpoint that is configured."""
    if settings.responder_url is None:
        return None
    return Chat(
        settings.responder_url, settings.responder_model, settings.responder_key, settings.responder_seconds
    )


def langflow_in(settings: Settings) -> Upstream | None:
    """The Langflow that is configured."""
    if settings.langflow_upstream is None:
        return None
    key = settings.langflow_upstream_key
    headers = {} if key is None else {"x-api-key": key.get_secret_value()}
    return Upstream(settings.langflow_upstream, headers, settings.responder_seconds)


def langflux_in(settings: Settings) -> Upstream | None:
    """The Flowise that is configured."""
    if settings.langflux_upstream is None:
        return None
    key = settings.langflux_upstream_key
    headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
    return Upstream(settings.langflux_upstream, headers, settings.responder_seconds)
