"""Recognition of the file that an import is given: JSON lines, one document, or something else.

An import reads a conversation from each line. A single JSON document that holds conversations in chat
format is taken as well. For any other file, one sentence says what it is and what to do.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO, cast

from recountdb.api.transfer.chat_lines import LINE_BYTES_MAX, Line, lines_of
from recountdb.api.transfer.cleaning import loads, loads_all
from recountdb.domain.errors import RecountError

HEAD_BYTES = 4096
BAD_LINES_MAX = 10
"""The number of lines without JSON at the beginning that show that a file is not JSON lines."""

UNPACK = "unpack it first, or pipe it: {0} -dc FILE | recount import -"
CONVERT = "convert it to UTF-8, as with iconv -f {0} -t UTF-8"
MAGIC = {
    b"PK\x03\x04": "a zip archive: unpack it and import what is in it (ChatGPT's export: conversations.json)",
    b"PK\x05\x06": "an empty zip archive",
    b"SQLite format 3\x00": "a SQLite database: import it as 'recount import langflow FILE', or flowise",
    b"BZh": f"compressed with bzip2: {UNPACK.format('bzip2')}",
    b"\xfd7zXZ\x00": f"compressed with xz: {UNPACK.format('xz')}",
    b"\x28\xb5\x2f\xfd": f"compressed with zstd: {UNPACK.format('zstd')}",
    b"\x1f\x8b": "compressed with gzip twice: unpack it once more",
    b"PGDMP": "a dump of PostgreSQL's: restore it, and import from the database",
    b"PAR1": "a Parquet file: convert it to JSON lines",
    b"%PDF": "a PDF",
    codecs.BOM_UTF32_LE: f"UTF-32 text: {CONVERT.format('UTF-32')}",
    codecs.BOM_UTF16_LE: f"UTF-16 text: {CONVERT.format('UTF-16')}",
    codecs.BOM_UTF16_BE: f"UTF-16 text: {CONVERT.format('UTF-16')}",
}
MAKE_LINES = (
    'write a line for each conversation, {"id": …, "messages": [{"role": …, "content": …}]}, and import that'
)


class NotLines(RecountError):
    """The file holds no conversations that can be taken. The text says what it is and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(f"the file {sentence}")


def conversations_in(file: BinaryIO) -> Iterator[Line]:
    """Yield the lines of a buffered file, or the conversations of one document as lines. Raises NotLines."""
    _refuse_other_formats(cast(io.BufferedReader, file).peek(HEAD_BYTES)[:HEAD_BYTES])
    lines = lines_of(file)
    first = next(lines, None)
    if first is None:
        return
    if _begins_document(first.text):
        yield from _elements_in(chain([first], lines))
        return
    if _is_document(first.text):
        yield from _elements_in([first])
    else:
        lines = chain([first], lines)
    yield from _until_it_is_hopeless(lines)


def _refuse_other_formats(head: bytes) -> None:
    for magic, sentence in MAGIC.items():
        if head.startswith(magic):
            raise NotLines(f"is {sentence}")
    if 0 in head[:2] and any(head[:2]):
        raise NotLines(f"is {MAGIC[codecs.BOM_UTF16_LE]}")
    first, *_ = head.split(b"\n", 1)
    if b"\x00" in first and first.lstrip()[:1] != b"{":  # after "{" it is one bad line; others may be good
        raise NotLines(f"is no text: {MAKE_LINES}")


def _begins_document(text: bytes) -> bool:
    """Return whether a first line is not JSON by itself, but the beginning of a JSON document."""
    if len(text) > LINE_BYTES_MAX:
        return text.lstrip().startswith(b"[")  # an object could be a conversation, a list could not
    if text.lstrip()[:1] not in (b"{", b"["):
        return False
    try:
        loads(text.decode(errors="replace"))
    except json.JSONDecodeError as error:
        return error.pos >= len(error.doc.rstrip())  # only the end is missing
    except ValueError:
        return False
    return False


def _is_document(text: bytes) -> bool:
    """Return whether a line is a whole document: a list of conversations, or another program's export."""
    try:
        document = loads(text)
    except ValueError:
        return False
    if isinstance(document, list):
        return not document or not all(map(_is_message, document))
    is_wrapped = (
        isinstance(document, dict) and "messages" not in document and bool(_conversations_of(document))
    )
    return is_wrapped or _program_of(document) is not None


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and "messages" not in value and ("role" in value or "content" in value)


def _elements_in(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the conversations of one or more documents in ``lines``, each as a line. Raises NotLines."""
    parts, size = [], 0
    for line in lines:
        parts.append(line.text)
        size += len(line.text)
        if size > LINE_BYTES_MAX:
            raise NotLines(
                f"is one JSON document of more than {LINE_BYTES_MAX // 2**20} MiB: {MAKE_LINES}; of a list"
                " they are made by jq -c '.[]' FILE"
            )
    try:
        documents = loads_all(b"".join(parts).decode(errors="replace"))
    except ValueError:
        raise NotLines(f"looks like one JSON document, and is damaged: {MAKE_LINES}") from None
    if program := _program_of(documents[0]):
        raise NotLines(f"is an export of {program}, one JSON document, which is not read yet: {MAKE_LINES}")
    found = [one for document in documents for one in _conversations_of(document)]
    if not found:
        raise NotLines(f"is one JSON document without conversations in chat format: {MAKE_LINES}")
    for number, one in enumerate(found, 1):
        yield Line(number, json.dumps(one).encode())


def _conversations_of(document: Any) -> list[Any]:
    """Return the conversations in chat format that a document holds, or an empty list."""
    if isinstance(document, dict):
        if "messages" in document:
            return [document]
        lists = [value for value in document.values() if isinstance(value, list)]
        return _conversations_of(lists[0]) if len(lists) == 1 else []
    if not isinstance(document, list) or not document:
        return []
    if all(map(_is_message, document)):
        return [document]
    has_any = any(isinstance(one, dict) and isinstance(one.get("messages"), list) for one in document)
    return document if has_any else []


def _program_of(document: Any) -> str | None:
    """Return the program that wrote a document, or None where its form does not show it."""
    first = document[0] if isinstance(document, list) and document else document
    if not isinstance(first, dict):
        return None
    return next((program for program, is_of in PROGRAMS.items() if is_of(first)), None)


def _is_of_librechat(one: dict[str, Any]) -> bool:
    return "conversationId" in one and isinstance(one.get("messages"), list | dict)


PROGRAMS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "ChatGPT": lambda one: isinstance(one.get("mapping"), dict),
    "LibreChat": _is_of_librechat,
    "Open WebUI": lambda one: isinstance(one.get("chat"), dict) and "history" in one["chat"],
    "Claude": lambda one: isinstance(one.get("chat_messages"), list),
}


def _until_it_is_hopeless(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines. Raises NotLines if none of the first BAD_LINES_MAX, or of all lines, is JSON."""
    held: list[Line] = []
    rest = iter(lines)
    for line in rest:
        held.append(line)
        if _is_json(line.text):
            break
        if len(held) == BAD_LINES_MAX:
            raise NotLines(f"holds no JSON in its first {BAD_LINES_MAX} lines{_kind_of(held)}: {MAKE_LINES}")
    else:
        if held:
            raise NotLines(f"holds no JSON{_kind_of(held)}: {MAKE_LINES}")
    yield from chain(held, rest)


def _kind_of(lines: list[Line]) -> str:
    """Return a clause on what lines that are not JSON look like, or an empty text."""
    for separator, name in ((b",", "CSV"), (b"\t", "tab-separated values"), (b";", "CSV")):
        counts = {line.text.count(separator) for line in lines}
        if len(lines) > 1 and len(counts) == 1 and counts != {0}:
            return f" (it looks like {name})"
    if not all(map(_is_utf_8, lines)):
        return " (it is not UTF-8 text)"
    if lines[0].text.lstrip().startswith(b"<"):
        return " (it looks like HTML or XML)"
    return ""


def _is_utf_8(line: Line) -> bool:
    try:
        line.text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_json(text: bytes) -> bool:
    try:
        loads(text)
    except ValueError:
        return False
    return True
