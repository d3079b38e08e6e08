"""What a chat endpoint as OpenAI's answers, whole or by parts: the words in it.

Endpoints add chunks of their own: what filters found, what was used, a sign of life. One without words is
passed over. What cannot be read at all fails, for there may have been words in it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any

from recountdb.api.protocols.event_stream import Event, Events
from recountdb.api.protocols.failures import Failed
from recountdb.api.transfer.cleaning import clean_text, loads, loads_bytes

DONE = "[DONE]"
PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,60}")
THOUGHTS = ("reasoning", "thinking", "redacted_thinking", "reasoning_text", "summary_text")
WORDS = ("text", "value", "refusal", "transcript")
"""The members of a part that hold words, the first that does."""

NO_CHAT = "the responder's answer is not that of a chat endpoint"


def whole_answer(raw: bytes) -> str:
    """The text of an answer that comes at once. Raises Failed."""
    document = parsed(raw)
    if not isinstance(document, dict):
        raise Failed(NO_CHAT, 502)
    refuse_error(document)
    choice = first_choice(document)
    message = None if choice is None else choice.get("message", choice if "text" in choice else None)
    if not isinstance(message, dict):
        raise Failed(NO_CHAT, 502)
    return clean_text(text_in(message))


class Answer:
    """Reads an answer that was asked for by parts; it comes as events, or whole where nobody streams."""

    def __init__(self) -> None:
        self._chunks = Chunks()
        self._whole: bytes | None = None
        self._has_begun = False

    def feed(self, part: bytes) -> Iterator[str]:
        """Yield the texts that ``part`` completes. Raises Failed."""
        if not self._has_begun:
            part = part.removeprefix(codecs.BOM_UTF8).lstrip()
            self._has_begun = bool(part)
            self._whole = b"" if part.startswith(b"{") else None  # no line of an event stream begins so
        if self._whole is None:
            yield from self._chunks.feed(part)
        else:
            self._whole += part

    def end(self) -> Iterator[str]:
        """Yield what is left. Raises Failed."""
        if self._whole is None:
            yield from self._chunks.end()
        elif text := whole_answer(self._whole):
            yield text


class Chunks:
    """Reads an answer that comes by parts, as a stream of events."""

    def __init__(self) -> None:
        self._events = Events()
        self._held = ""  # half a character, whose other half comes with the next chunk
        self._is_chat = False
        self._is_done = False

    def feed(self, part: bytes) -> Iterator[str]:
        """Yield the texts in the events that ``part`` completes. Raises Failed."""
        for event in self._events.feed(part):
            yield from self._take(event)

    def end(self) -> Iterator[str]:
        """Yield what is left. Raises Failed, also where nothing came that a chat endpoint sends."""
        for event in self._events.end():
            yield from self._take(event)
        if not self._is_chat:
            raise Failed(NO_CHAT, 502)
        if self._held:
            yield clean_text(self._held)

    def _take(self, event: Event) -> Iterator[str]:
        for document in () if self._is_done else self._documents_in(event):
            if document == DONE:
                self._is_chat = self._is_done = True
                return
            if event.name == "error":
                refuse_error({"error": document})
            if isinstance(document, dict):
                refuse_error(document)
                yield from self._text_in(document)

    def _documents_in(self, event: Event) -> list[Any]:
        """What an event holds; of another kind than messages it may be any text. Raises Failed."""
        try:
            return list(documents_in(event.data))
        except Failed:
            if event.name == "message":
                raise
            return [event.data]

    def _text_in(self, chunk: dict[str, Any]) -> Iterator[str]:
        self._is_chat |= "choices" in chunk
        choice = first_choice(chunk) or {}
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice.get("message") or choice
        text = self._held + (text_in(delta) if isinstance(delta, dict) else "")
        is_half = "\ud800" <= text[-1:] <= "\udbff"
        self._held = text[-1:] if is_half else ""
        text = text[:-1] if is_half else text
        if text:
            yield clean_text(text)


def documents_in(data: str) -> Iterator[Any]:
    """What an event holds: one JSON document, or one in each line where the empty lines were left out."""
    if data.strip() == DONE:
        yield DONE
        return
    try:
        yield loads(data)
    except ValueError:
        for line in data.split("\n"):
            if line.strip():
                yield DONE if line.strip() == DONE else parsed(line)


def parsed(text: str | bytes) -> Any:
    try:
        return loads_bytes(text) if isinstance(text, bytes) else loads(text)
    except ValueError:
        raise Failed(NO_CHAT, 502) from None


def refuse_error(document: dict[str, Any]) -> None:
    """Raise Failed where a document says that there is no answer; with its code, never its words."""
    error = document.get("error")
    if not error:
        return
    codes = [error.get(member) for member in ("code", "type")] if isinstance(error, dict) else []
    plain = [str(code) for code in codes if code is not None and PLAIN.fullmatch(str(code))]
    raise Failed(f"the responder answered with an error{f' ({plain[0]})' if plain else ''}", 502)


def first_choice(document: dict[str, Any]) -> dict[str, Any] | None:
    """The choice that counts, of which there may be several; None where there is none."""
    choices = document.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index") in (0, None):
            return choice
    return None


def text_in(message: dict[str, Any]) -> str:
    """The words of a message or a part of one; a refusal is what is said instead."""
    for member in ("content", "text", "refusal", "audio"):
        if text := text_of_parts(message.get(member)):
            return text
    return ""


def text_of_parts(content: Any) -> str:
    """The words of a content: a text, or a list of parts, whose texts belong together."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict) and content.get("type") not in THOUGHTS:
        return next((text for name in WORDS if (text := text_of_parts(content.get(name)))), "")
    return "".join(map(text_of_parts, content)) if isinstance(content, list) else ""
