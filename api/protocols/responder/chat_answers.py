"""Readers of the text in answers of OpenAI-compatible chat endpoints, complete or streamed.

Endpoints add chunks of their own, such as filter results, usage and keep-alives. A chunk without text is
skipped. A chunk that cannot be read fails the answer, because it may have held text.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any

from recountdb.api.protocols.responder.errors import ResponderFailed
from recountdb.api.protocols.responder.event_stream import EventReader, StreamEvent
from recountdb.api.transfer.cleaning import clean_text, loads, loads_bytes

DONE = "[DONE]"
PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,60}")
THOUGHTS = ("reasoning", "thinking", "redacted_thinking", "reasoning_text", "summary_text")
WORDS = ("text", "value", "refusal", "transcript")
"""The members of a part that may hold its text; the first that is not empty counts."""

NO_CHAT = "the responder's answer is not that of a chat endpoint"


def read_chat_answer(raw: bytes) -> str:
    """Return the text of an answer that was not streamed. Raises ResponderFailed."""
    document = _parse_document(raw)
    if not isinstance(document, dict):
        raise ResponderFailed(NO_CHAT, 502)
    _refuse_error(document)
    choice = _first_choice(document)
    message = None if choice is None else choice.get("message", choice if "text" in choice else None)
    if not isinstance(message, dict):
        raise ResponderFailed(NO_CHAT, 502)
    return clean_text(_read_text(message))


class ChatAnswer:
    """Reader of an answer that was asked for as a stream, and may come as events or as one document."""

    def __init__(self) -> None:
        self._chunks = _Chunks()
        self._whole: bytes | None = None
        self._has_begun = False

    def feed(self, part: bytes) -> Iterator[str]:
        """Yield the texts that ``part`` completes. Raises ResponderFailed."""
        if not self._has_begun:
            part = part.removeprefix(codecs.BOM_UTF8).lstrip()
            self._has_begun = bool(part)
            self._whole = b"" if part.startswith(b"{") else None  # no line of an event stream begins with {
        if self._whole is None:
            yield from self._chunks.feed(part)
        else:
            self._whole += part

    def end(self) -> Iterator[str]:
        """Yield the remaining text, if any. Raises ResponderFailed."""
        if self._whole is None:
            yield from self._chunks.end()
        elif text := read_chat_answer(self._whole):
            yield text


class _Chunks:
    """Reader of an answer that comes as a stream of events."""

    def __init__(self) -> None:
        self._events = EventReader()
        self._held = ""  # a high surrogate; its low one comes with the next chunk
        self._is_chat = False
        self._is_done = False

    def feed(self, part: bytes) -> Iterator[str]:
        """Yield the texts in the events that ``part`` completes. Raises ResponderFailed."""
        for event in self._events.feed(part):
            yield from self._take(event)

    def end(self) -> Iterator[str]:
        """Yield the remaining text, if any. Raises ResponderFailed, also when no chat endpoint answered."""
        for event in self._events.end():
            yield from self._take(event)
        if not self._is_chat:
            raise ResponderFailed(NO_CHAT, 502)
        if self._held:
            yield clean_text(self._held)

    def _take(self, event: StreamEvent) -> Iterator[str]:
        for document in () if self._is_done else self._documents_of(event):
            if document == DONE:
                self._is_chat = self._is_done = True
                return
            if event.name == "error":
                _refuse_error({"error": document})
            if isinstance(document, dict):
                _refuse_error(document)
                yield from self._text_of(document)

    def _documents_of(self, event: StreamEvent) -> list[Any]:
        """Return the documents in an event. Raises ResponderFailed if a message cannot be read.

        The data of any other kind of event may be arbitrary text, and is returned as it is.
        """
        try:
            return list(_read_documents(event.data))
        except ResponderFailed:
            if event.name == "message":
                raise
            return [event.data]

    def _text_of(self, chunk: dict[str, Any]) -> Iterator[str]:
        self._is_chat |= "choices" in chunk
        choice = _first_choice(chunk) or {}
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice.get("message") or choice
        text = self._held + (_read_text(delta) if isinstance(delta, dict) else "")
        is_half = "\ud800" <= text[-1:] <= "\udbff"
        self._held = text[-1:] if is_half else ""
        text = text[:-1] if is_half else text
        if text:
            yield clean_text(text)


def _read_documents(data: str) -> Iterator[Any]:
    """Yield the JSON document in an event. Raises ResponderFailed if it cannot be read.

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
                yield DONE if line.strip() == DONE else _parse_document(line)


def _parse_document(text: str | bytes) -> Any:
    try:
        return loads_bytes(text) if isinstance(text, bytes) else loads(text)
    except ValueError:
        raise ResponderFailed(NO_CHAT, 502) from None


def _refuse_error(document: dict[str, Any]) -> None:
    """Raise ResponderFailed if a document reports an error, with the error's code and never its text."""
    error = document.get("error")
    if not error:
        return
    codes = [error.get(member) for member in ("code", "type")] if isinstance(error, dict) else []
    plain = [str(code) for code in codes if code is not None and PLAIN.fullmatch(str(code))]
    raise ResponderFailed(f"the responder answered with an error{f' ({plain[0]})' if plain else ''}", 502)


def _first_choice(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the first choice, the only one that counts; None if there is none."""
    choices = document.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index") in (0, None):
            return choice
    return None


def _read_text(message: dict[str, Any]) -> str:
    """Return the text of a message or of a part of one; a refusal counts as its text."""
    for member in ("content", "text", "refusal", "audio"):
        if text := join_parts(message.get(member)):
            return text
    return ""


def join_parts(content: Any) -> str:
    """Return the text of a content, which is a text or a list of parts whose texts are joined."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict) and content.get("type") not in THOUGHTS:
        return next((text for name in WORDS if (text := join_parts(content.get(name)))), "")
    return "".join(map(join_parts, content)) if isinstance(content, list) else ""
