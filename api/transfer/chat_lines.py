"""The lines of chat format, one JSON object each: understood as a conversation, or skipped with a reason."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, BinaryIO, NamedTuple
from uuid import UUID, uuid5

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import to_json

from recountdb.api.schemas.requests import Incoming, NewMessage
from recountdb.api.transfer.chat_format import (
    ID_NO_UUID,
    describe_renamed_member,
    merged,
    message_members,
    own_id,
    usable_name,
)
from recountdb.api.transfer.cleaning import TWICE, Doubled, Tell, clean, clean_text, loads
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.errors import InvalidInput, RecountError
from recountdb.domain.exact_json import NotJson, read_json
from recountdb.domain.messages import SAID, Message
from recountdb.domain.sessions import Session
from recountdb.domain.values import NAME_LENGTH_MAX, Metadata, Name, check_text

LINE_BYTES_MAX = 64 * 2**20
MESSAGES_MAX = 100_000  # in one line
SCOPE_LENGTH_MAX = 100  # together with the longest name, it fits into an index of PostgreSQL
MESSAGE_WEIGHT = 2_000  # bytes of memory, besides the words

NAMES = ("id", "session_id", "conversation_id", "thread_id")
"""The members that may name a line's session; the first present one counts."""

NO_ID = "a conversation without an id is named after what it says"
CAME_TWICE = "a message that came twice with the same id was taken once"
ID_TAKEN = "an id of two messages is that of the first; the other has one made here"

NAMESPACE = UUID("7b1f6b1e-5d0c-5a39-9c55-0c6f2a4f6f7e")
"""The namespace of message ids made here. If it changed, every import would add everything again."""


class _ChatConversation(Incoming):
    """A line of chat format. ``scope`` and ``user_id`` extend the format, for sessions that have them."""

    id: Name
    scope: Annotated[str, Field(max_length=SCOPE_LENGTH_MAX), AfterValidator(check_text)] = ""
    user_id: Name | None = None
    metadata: Metadata | None = None
    messages: Annotated[list[NewMessage], Field(max_length=MESSAGES_MAX)]


class Skipped(RecountError):
    """A line cannot be taken. The text says why, and quotes nothing of the line."""


class Line(NamedTuple):
    number: int
    text: bytes


@dataclass(frozen=True)
class Conversation:
    """A line that was understood.

    ``has_own_ids``: all its messages came with ids. ``is_new``: no session of its name exists yet.
    ``messages_skipped``: the places of messages with nothing to take. ``warnings``: the number of changes
    of each kind.
    """

    line: Line
    command: AddMessages
    has_own_ids: bool
    is_new: bool = True
    messages_skipped: Sequence[int] = ()
    warnings: Mapping[str, int] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.command.scope, self.command.name

    @cached_property
    def weight(self) -> int:
        """Return about how many bytes of memory it takes."""
        return len(self.line.text) + MESSAGE_WEIGHT * len(self.command.messages)

    @property
    def ids(self) -> list[UUID]:
        return [message.id for message in self.command.messages]


def lines_of(file: BinaryIO) -> Iterator[Line]:
    """Yield the lines that are not blank, by number. One that is too long is cut one byte past the limit."""
    number = 0
    while text := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        rest = text
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(2**20)
        if number == 1:
            text = text.removeprefix(codecs.BOM_UTF8)
        if text.strip():
            yield Line(number, text)


def parse_line(line: Line, project: str, user_id: str | None = None) -> Conversation:
    """Return the conversation in a line. Raises Skipped."""
    if len(line.text) > LINE_BYTES_MAX:
        raise Skipped(f"is longer than {LINE_BYTES_MAX // 2**20} MiB")
    try:
        said = _ChatConversation.model_validate(read_json(line.text))
        messages = _with_ids(said, project)
    except (NotJson, InvalidInput, ValidationError, Skipped):
        return _parse_line_leniently(line, project, user_id)
    has_own_ids = all(message.id for message in said.messages)
    return Conversation(line, _command_for(said, messages, user_id), has_own_ids)


def _parse_line_leniently(line: Line, project: str, user_id: str | None) -> Conversation:
    """Return the conversation in a line that does not keep to the format. Raises Skipped."""
    warnings: Counter[str] = Counter()
    reader = _LenientReader(project, lambda kind: warnings.update([kind]))
    try:
        said = reader.read(line.text)
        messages = _with_ids(said, project)
    except ValidationError as error:
        raise Skipped(reason_of(error)) from None
    has_own_ids = bool(said.messages) and all(message.id for message in said.messages)
    command = _command_for(said, messages, user_id)
    return Conversation(line, command, has_own_ids, messages_skipped=reader.skipped, warnings=warnings)


def _command_for(said: _ChatConversation, messages: Sequence[Message], user_id: str | None) -> AddMessages:
    return AddMessages(
        kind=Session.KIND,
        name=said.id,
        scope=said.scope,
        messages=messages,
        given_ids=frozenset(message.id for message in messages),
        hidden_ids="pass_over",
        user_id=said.user_id or user_id,
        metadata=said.metadata,
    )


class _LenientReader:
    """Reader of lines that do not keep to the format. ``tell`` is called with each kind of change."""

    def __init__(self, project: str, tell: Tell) -> None:
        self._project = project
        self._tell = tell
        self.skipped: list[int] = []

    def read(self, text: bytes) -> _ChatConversation:
        """Return the line as chat format. Raises Skipped and ValidationError."""
        try:
            document = loads(text.decode())
        except UnicodeDecodeError:
            raise Skipped("is not UTF-8 text") from None
        except ValueError:
            raise Skipped("is not JSON") from None
        if isinstance(document, list):
            document = {"messages": document}
        if not isinstance(document, dict):
            raise Skipped("the line: must be an object")
        if isinstance(document, Doubled):
            self._tell(TWICE)
        left = {name: value for name, value in document.items() if value is not None}
        raw = self._messages_in(left)
        members: dict[str, Any] = {"id": self._name_in(left, raw)}
        for name, length_max in (("scope", SCOPE_LENGTH_MAX), ("user_id", NAME_LENGTH_MAX)):
            if isinstance(left.get(name), str) and left[name]:
                members[name] = usable_name(left.pop(name), self._tell, length_max=length_max)
        has_metadata = isinstance(left.get("metadata"), dict)
        metadata = merged(left.pop("metadata") if has_metadata else {}, left)
        if metadata or has_metadata:
            members["metadata"] = clean(metadata, self._tell)
        conversation = to_json([self._project, members.get("scope", ""), members["id"]])
        return _ChatConversation(**members, messages=list(self._read_messages(raw, conversation)))

    def _messages_in(self, left: dict[str, Any]) -> list[Any]:
        if "messages" not in left:
            raise Skipped("messages: is missing")
        raw = left.pop("messages")
        if not isinstance(raw, list):
            raise Skipped("messages: must be a list")
        if len(raw) > MESSAGES_MAX:
            raise Skipped(f"messages: are more than {MESSAGES_MAX}")
        return raw

    def _name_in(self, left: dict[str, Any], raw: list[Any]) -> str:
        """Return the session's name. Without an id that can be one, it is made from the line's content."""
        for alias in NAMES:
            if alias in left:
                given = left[alias]
                if isinstance(given, bool) or not isinstance(given, str | int) or given == "":
                    self._tell(describe_renamed_member(alias))
                    continue
                name = usable_name(str(given), self._tell)
                if alias == NAMES[0] and name == given:
                    del left[alias]
                return name
        odd = {alias: left[alias] for alias in NAMES if alias in left}  # tells lines of equal words apart
        if not raw:
            raise Skipped(f"{next(iter(odd))}: must be a text" if odd else "id: is missing")
        self._tell(NO_ID)
        words = json.dumps([odd, raw] if odd else raw, sort_keys=True)
        return str(uuid5(NAMESPACE, hashlib.sha256(words.encode()).hexdigest()))

    def _read_messages(self, raw: list[Any], conversation: bytes) -> Iterator[NewMessage]:
        seen: dict[UUID, dict[str, Any]] = {}
        for place, one in enumerate(raw):
            members = message_members(one, self._tell)
            if members is None:
                self.skipped.append(place)
                continue
            given = own_id(one)
            if given is None:
                yield NewMessage(**members)
                continue
            message_id = given if isinstance(given, UUID) else _id_from(conversation, given)
            if seen.get(message_id) == members:
                self._tell(CAME_TWICE)
                continue
            is_taken = message_id in seen
            seen.setdefault(message_id, members)
            if is_taken or not isinstance(given, UUID):
                self._tell(ID_TAKEN if is_taken else ID_NO_UUID)
                metadata = merged(members.get("metadata", {}), {"id": clean_text(str(given))})
                members = members | {"metadata": metadata}
            yield NewMessage(**members, id=None if is_taken else message_id)


def _with_ids(said: _ChatConversation, project: str) -> list[Message]:
    """Return the messages, each with an id. Raises Skipped where an id comes twice."""
    conversation = to_json([project, said.scope, said.id])
    messages = [
        Message.model_construct(
            **{**dict(message), "id": message.id or _made_id(conversation, place, message)}
        )
        for place, message in enumerate(said.messages)
    ]
    if len({message.id for message in messages}) < len(messages):
        raise Skipped("messages: the same id twice")
    return messages


def _id_from(conversation: bytes, text: str) -> UUID:
    """Return the id of a message whose own, ``text``, is no UUID."""
    return uuid5(NAMESPACE, to_json([conversation.decode(), text]).decode())


def _made_id(conversation: bytes, place: int, message: NewMessage) -> UUID:
    """Return an id for a message without one: the same for the same words in the same place."""
    words = hashlib.sha256(to_json([getattr(message, member) for member in SAID])).digest()
    name = NAMESPACE.bytes + b"%b %d " % (conversation, place) + words
    return UUID(bytes=hashlib.sha1(name, usedforsecurity=False).digest()[:16], version=5)


REASONS = {
    "missing": "is missing",
    "extra_forbidden": "is not a member of the format",
    "string_type": "must be a text",
    "too_short": "must not be empty",
    "string_too_long": "is too long",
    "too_long": f"are more than {MESSAGES_MAX}",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "datetime_type": "must be a time like 2026-11-20T19:50:25Z",
    "datetime_parsing": "must be a time like 2026-11-20T19:50:25Z",
    "datetime_from_date_parsing": "must be a time like 2026-11-20T19:50:25Z",
}


def reason_of(error: ValidationError) -> str:
    """Return the first thing that is wrong, in our own words, for pydantic's may quote content."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "is not JSON"
    place = ".".join(map(_shown, first["loc"][:3])) or "the line"
    if first["type"] == "value_error":  # a rule of ours, in our words
        return f"{place}: {first['msg'].removeprefix('Value error, ')}"
    return f"{place}: {REASONS.get(first['type'], 'cannot be taken')}"


def _shown(part: str | int) -> str:
    """Return a part of a path as text. One that is no ordinary name is hidden: it may be content."""
    is_ordinary = isinstance(part, int) or (part.isidentifier() and len(part) <= 40)
    return str(part) if is_ordinary else "(a member)"
