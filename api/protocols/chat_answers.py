"""Readers of the text in answers of OpenAI-compatible chat endpoints, complete or streamed.

Endpoints add chunks of their own, such as filter results, usage and keep-alives. A chunk without text is
skipped. A chunk that cannot be read fails the answer, because it may have held text.
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
"""The members of a part that may hold its text; the first that is not empty counts."""

NO_CHAT = "the responder's answer is not that of a chat endpoint"


def whole_answer(raw: bytes) -> str:
    """Return the text of an answer that was not streamed. Raises Failed."""
    document = _parsed(raw)
    if not isinstance(document, dict):
        raise Failed(NO_CHAT, 502)
    _refuse_error(document)
    choice = _first_choice(document)
    message = None if choice is None else choice.get("message", choice if "text" in choice else None)
    if not isinstance(message, dict):
        raise Failed(NO_CHAT, 502)
    return clean_text(_text_in(message))


class Answer:
    """Reader of an answer that was asked for as a stream, and may come as events or as one document."""

    def __init__(self) -> None:
        self._chunks = _Chunks()
        self._whole: bytes | None = None
        self._has_begun = False

    def feed(self, part: bytes) -> Iterator[str]:
        """Yield the texts that ``part`` completes. Raises Failed."""
        if not self._has_begun:
            part = part.removeprefix(codecs.BOM_UTF8).lstrip()
            self._has_begun = bool(part)
            self._whole = b"" if part.startswith(b"{") else None  # no line of an event stream begins with {
        if self._whole is None:
            yield from self._chunks.feed(part)
        else:
            self._whole += part

    def end(self) -> Iterator[str]:
        """Yield the remaining text, if any. Raises Failed."""
        if self._whole is None:
            yield from self._chunks.end()
        elif text := whole_answer(self._whole):
            yield text


class _Chunks:
    """Reader of an answer that comes as a stream of events."""

    def __init__(self) -> None:
        self._events = Events()
        self._held = ""  # a high surrogate; its low one comes with the next chunk
        self._is_chat = False
        self._is_done = False

    def feed(self, part: bytes) -> Iterator[str]:
        """Yield the texts in the events that ``part`` completes. Raises Failed."""
        for event in self._events.feed(part):
            yield from self._take(event)

    def end(self) -> Iterator[str]:
        """Yield the remaining text, if any. Raises Failed, also when the answer was not a chat endpoint's."""
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
                _refuse_error({"error": document})
            if isinstance(document, dict):
                _refuse_error(document)
                yield from self._text_in(document)

    def _documents_in(self, event: Event) -> list[Any]:
        """Return the documents in an event. Raises Failed if a message cannot be read.

        The data of any other kind of event may be arbitrary text, and is returned as it is.
        """
        try:
            return list(_documents_in(event.data))
        except Failed:
            if event.name == "message":
                raise
            return [event.data]

    def _text_in(self, chunk: dict[str, Any]) -> Iterator[str]:
        self._is_chat |= "choices" in chunk
        choice = _first_choice(chunk) or {}
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice.get("message") or choice
        text = self._held + (_text_in(delta) if isinstance(delta, dict) else "")
        is_half = "\ud800" <= text[-1:] <= "\udbff"
        self._held = text[-1:] if is_half else ""
        text = text[:-1] if is_half else text
        if text:
            yield clean_text(text)


def _documents_in(data: str) -> Iterator[Any]:
    """Yield the JSON document in an event. Raises Failed if it cannot be read.

    If the blank lines between events are missing, yield the document in each line.
    """
    if data.strip() == DONE:
        yield DONE
        return
    try:
        yield loads(data)
    except ValueError:
        for line in data.split("\n"):
            if line.strip():
                yield DONE if line.strip() == DONE else _parsed(line)


def _parsed(text: str | bytes) -> Any:
    try:
        return loads_bytes(text) if isinstance(text, bytes) else loads(text)
    except ValueError:
        raise Failed(NO_CHAT, 502) from None


def _refuse_error(document: dict[str, Any]) -> None:
    """Raise Failed if a document reports an error, with the error's code and never its text."""
    error = document.get("error")
    if not error:
        return
    codes = [error.get(member) for member in ("code", "type")] if isinstance(error, dict) else []
    plain = [str(code) for code in codes if code is not None and PLAIN.fullmatch(str(code))]
    raise Failed(f"the responder answered with an error{f' ({plain[0]})' if plain else ''}", 502)


def _first_choice(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the first choice, the only one that counts; None if there is none."""
    choices = document.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index") in (0, None):
            return choice
    return None


def _text_in(message: dict[str, Any]) -> str:
    """Return the text of a message or of a part of one; a refusal counts as its text."""
    for member in ("content", "text", "refusal", "audio"):
        if text := text_of_parts(message.get(member)):
            return text
    return ""


def text_of_parts(content: Any) -> str:
    """Return the text of a content, which is a text or a list of parts whose texts are joined."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict) and content.get("type") not in THOUGHTS:
        return next((text for name in WORDS if (text := text_of_parts(content.get(name)))), "")
    return "".join(map(text_of_parts, content)) if isinstance(content, list) else ""
