"""A prediction in Flowise's shapes: its question, its answer, and the events of its stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue
from pydantic_core import to_json

from recountdb.api.protocols.langflux.shapes.messages import JSON_COLUMNS
from recountdb.api.protocols.responder.chat import Turn
from recountdb.api.protocols.responder.chat_answers import join_parts
from recountdb.api.transfer.cleaning import loads

FAILED = "error"
"""The event by which a Flowise reports that there is no answer."""

ANSWERED = (*JSON_COLUMNS, "followUpPrompts", "memoryType", "executionId")
"""The members of an answer that are kept with its message."""


def read_history(body: Mapping[str, Any]) -> list[Turn]:
    """Return the earlier turns that a request includes."""
    history = body.get("history")
    turns = []
    for one in history if isinstance(history, list) else []:
        message = one.get("message", one.get("content")) if isinstance(one, dict) else None
        if isinstance(message, str):
            role = one.get("type", one.get("role"))
            turns.append(Turn("user" if role in ("userMessage", "user") else "assistant", message))
    return turns


def read_answer_text(answer: Mapping[str, Any]) -> str:
    """Return the text of an answer; for one without, its ``json`` as a text."""
    return join_parts(answer.get("text")) or to_json(answer.get("json", "")).decode().strip('"')


def encode_prediction_event(name: str, data: JsonValue) -> bytes:
    """Return a record of Flowise's event streams."""
    return b"message:\ndata:" + to_json({"event": name, "data": data}) + b"\n\n"


@dataclass
class StreamedPrediction:
    """The answer of a Flowise, collected from the events of its stream."""

    members: dict[str, Any] = field(default_factory=lambda: {"text": ""})

    def take(self, data: str) -> None:
        """Collect the part of the answer in an event."""
        try:
            record = loads(data)
        except ValueError:
            return
        if not isinstance(record, dict) or not isinstance(name := record.get("event"), str):
            return
        value = record.get("data")
        if name == "token":
            self.members["text"] += join_parts(value)
        elif name == "metadata" and isinstance(value, dict):
            self.members.update({key: value for key, value in value.items() if key != "text"})
        elif name in JSON_COLUMNS or name == FAILED:
            self.members[name] = value

    @property
    def is_answer(self) -> bool:
        """Return whether there is an answer: it may be without text, and failures come as events."""
        return FAILED not in self.members and bool(self.members["text"] or "chatMessageId" in self.members)
