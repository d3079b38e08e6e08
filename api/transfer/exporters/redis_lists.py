"""Sessions as the Redis lists of LangChain: one for each, the newest message at its head."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from secrets import token_hex

from pydantic_core import to_json

from recountdb.api.transfer.exporters.envelopes import Writer, envelope
from recountdb.api.transfer.importers.redis_commands import Commands
from recountdb.domain.messages import MessageState
from recountdb.domain.sessions import Session

PREFIXES = {Writer.PYTHON: "message_store:", Writer.JS: ""}
HALF_DONE_SECONDS = 3600
ELEMENTS_AT_ONCE = 500


@dataclass(frozen=True)
class RedisLists:
    """The lists of a Redis to export to. With ``ttl_seconds`` None they never expire.

    With ``replaces``, an existing list of the same key is replaced.
    """

    send: Commands
    writer: Writer
    prefix: str
    ttl_seconds: int | None = None
    replaces: bool = False

    def key_of(self, session: Session) -> str:
        return self.prefix + session.name

    def write(self, session: Session, messages: Iterable[MessageState]) -> str | None:
        """Write a session, whole or not at all. Returns why not, or None. Raises SourceFailed."""
        # The list is built under another name, which expires by itself unless it is renamed.
        part = f"{self.key_of(session)}:recount-{token_hex(8)}"
        elements: list[bytes] = []
        length = 0
        for message in messages:
            elements.append(to_json(envelope(message, self.writer)))
            if len(elements) == ELEMENTS_AT_ONCE:
                length = self._push(part, elements)
                elements = []
        length = self._push(part, elements) if elements else length
        if not length:
            return "it has no messages, and Redis has no empty lists"
        return self._name(part, self.key_of(session))

    def _push(self, part: str, elements: list[bytes]) -> int:
        length = int(self.send("LPUSH", part, *elements))
        self.send("EXPIRE", part, HALF_DONE_SECONDS)
        return length

    def _name(self, part: str, key: str) -> str | None:
        if self.ttl_seconds is None:
            self.send("PERSIST", part)
        else:
            self.send("EXPIRE", part, self.ttl_seconds)
        if self.replaces:
            self.send("RENAME", part, key)
        elif not int(self.send("RENAMENX", part, key)):
            self.send("DEL", part)
            return "its key is taken: with --replace it would be replaced"
        return None
