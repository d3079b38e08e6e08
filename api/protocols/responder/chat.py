"""An OpenAI-compatible chat endpoint, asked for the next message of a conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import SecretStr

from recountdb.api.protocols.responder.chat_answers import ChatAnswer, read_chat_answer
from recountdb.api.protocols.responder.client import open_client, refuse_failure
from recountdb.api.settings import Settings


class Turn(NamedTuple):
    """A message as chat endpoints take it, with the role ``user``, ``assistant`` or ``system``."""

    role: str
    content: str


@dataclass(frozen=True)
class Chat:
    """An OpenAI-compatible API at ``url``, such as ``https://api.example.org/v1``."""

    url: str
    model: str
    key: SecretStr | None
    seconds: float

    async def answer(self, turns: Sequence[Turn]) -> str:
        """Return the answer to ``turns``. Raises ResponderFailed."""
        async with open_client(self.seconds) as client:
            response = await client.post(**self._request(turns, stream=False))
            refuse_failure(response)
            return read_chat_answer(response.content)

    async def answer_by_parts(self, turns: Sequence[Turn]) -> AsyncIterator[str]:
        """Yield the answer to ``turns`` in parts as they come. Raises ResponderFailed."""
        request = self._request(turns, stream=True)
        async with open_client(self.seconds) as client, client.stream("POST", **request) as response:
            refuse_failure(response)
            answer = ChatAnswer()
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


def make_chat(settings: Settings) -> Chat | None:
    """Return the chat endpoint in the settings; None if there is none."""
    if settings.responder_url is None:
        return None
    return Chat(
        settings.responder_url, settings.responder_model, settings.responder_key, settings.responder_seconds
    )
