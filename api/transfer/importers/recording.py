"""Recording of a source's conversations as sessions. A repeated import adds only what is new.

Where a source's messages have ids, those are kept. Where they have none, a message is recognized by its
content and its place: the messages imported before are compared with those there now (see alignment). A bad
message is left out and reported by its position, never by its words; the rest of its conversation is taken.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import to_json

from recountdb.api.schemas.requests import NewMessage
from recountdb.api.transfer.chat_format import message_members, usable_name
from recountdb.api.transfer.chat_import import Intake, Report
from recountdb.api.transfer.chat_lines import (
    MESSAGE_WEIGHT,
    MESSAGES_MAX,
    NAMESPACE,
    SCOPE_LENGTH_MAX,
    Conversation,
    Line,
    Skipped,
    reason_of,
)
from recountdb.api.transfer.cleaning import clean
from recountdb.api.transfer.importers.alignment import Fingerprints, align
from recountdb.api.transfer.importers.source import SOURCE, Entry, Talk
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.messages import Message
from recountdb.domain.sessions import Session
from recountdb.projections.queries.existing_sessions import (
    ExistingMessage,
    ExistingSession,
    find_existing_messages,
)

FINGERPRINT_LENGTH = 32
ID_CAME_BEFORE = "an id that came before in its conversation; the message has one made here"


@dataclass
class Account:
    """An account of what became of one conversation. ``skipped``: positions in the source, and why.

    ``reason`` says why none of it was taken; None means that it was.
    """

    number: int
    kind: str
    key: str
    session_id: str
    scope: str
    read: int = 0
    added: int = 0
    known: int = 0
    skipped: list[tuple[int, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    reason: str | None = None


@dataclass
class StoreReport(Report):
    messages_skipped: int = 0
    generations_begun: int = 0
    warnings: int = 0


@dataclass(frozen=True)
class _Readable:
    """A message that can be taken, and the fingerprint of what it says."""

    entry: Entry
    message: NewMessage
    fingerprint: str


@dataclass(frozen=True)
class _TakenTalk(Conversation):
    """A conversation of a source that was understood."""

    talk: Talk = field(kw_only=True)
    readable: Sequence[_Readable] = field(kw_only=True)
    account: Account = field(kw_only=True)

    @cached_property
    def weight(self) -> int:
        return sum(MESSAGE_WEIGHT + len(one.message.content or "") for one in self.readable)

    @property
    def fingerprints(self) -> Fingerprints:
        """Return the fingerprints by position; None where a message cannot be read."""
        fingerprints: list[str | None] = [None] * len(self.talk.entries)
        for one in self.readable:
            fingerprints[one.entry.position] = one.fingerprint
        return fingerprints


class StoreImporter(Intake[Talk, _TakenTalk]):
    """An import of a source's conversations. ``on_account`` is called with the account of each when done."""

    report: StoreReport

    def __init__(self, *arguments: Any, on_account: Callable[[Account], None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.report = StoreReport()
        self._accounts: dict[int, Account] = {}
        self._on_account = on_account

    def _parse(self, told: Iterable[Talk]) -> Iterator[_TakenTalk]:
        for number, talk in enumerate(told, 1):
            self.report.conversations += 1
            self.report.messages += len(talk.entries)
            account = Account(number, talk.kind, talk.key, talk.name, talk.scope, read=len(talk.entries))
            account.warnings += talk.warnings
            self._accounts[number] = account
            try:
                _check_talk(talk)
            except Skipped as reason:
                self._skip(Line(number, b""), reason)
                continue
            changes = _Changes(account)
            yield self._taken(_usable(talk, changes), account, changes)

    def _taken(self, talk: Talk, account: Account, changes: _Changes) -> _TakenTalk:
        readable = list(_readable_in(talk, account, changes))
        changes.end()
        account.session_id, account.scope = talk.name, talk.scope
        owner = talk.user_id or self._user_id
        command = AddMessages(
            kind=Session.KIND,
            name=talk.name,
            scope=talk.scope,
            messages=(),
            hidden_ids="pass_over",
            user_id=owner,
            metadata=talk.metadata | {SOURCE: {"kind": talk.kind, "key": talk.key} | talk.details},
            existing_metadata="merge" if talk.renews_metadata else "keep",
        )
        taken = _TakenTalk(
            Line(account.number, b""),
            command,
            talk.has_own_ids,
            talk=talk,
            readable=readable,
            account=account,
        )
        return self._with_messages(taken, readable)

    def _with_messages(
        self, taken: _TakenTalk, readable: Iterable[_Readable], *, generation: int = 0, start: int = 0
    ) -> _TakenTalk:
        """Return ``taken`` with the messages ``readable``, marked with where they came from.

        Their generation began ``start`` messages before the source's present beginning.
        """
        talk = taken.talk
        messages = []
        for one in readable:
            position = one.entry.position + start
            source = {"kind": talk.kind, "key": talk.key, "position": position}
            source |= {} if talk.has_own_ids else {"generation": generation}
            source |= one.entry.details | {"fingerprint": one.fingerprint}
            metadata = (one.message.metadata or {}) | {SOURCE: source}
            members = dict(one.message) | {"id": self._id_of(talk, one, position, generation)}
            messages.append(Message.model_construct(**members | {"metadata": metadata}))
        ids = frozenset(message.id for message in messages)
        return replace(taken, command=replace(taken.command, messages=messages, given_ids=ids))

    def _id_of(self, talk: Talk, one: _Readable, position: int, generation: int) -> UUID:
        """Return the message's own id, or one that is the same in every import of the same message."""
        if isinstance(one.entry.id, UUID):
            return one.entry.id
        conversation = [self._project, talk.scope, talk.name, talk.kind, talk.key]
        place = one.entry.id or [generation, position, one.fingerprint]
        name = NAMESPACE.bytes + to_json([conversation, place])
        return UUID(bytes=hashlib.sha1(name, usedforsecurity=False).digest()[:16], version=5)

    def _known(
        self, chunk: Sequence[_TakenTalk], sessions: dict[tuple[str, str], ExistingSession]
    ) -> dict[UUID, list[ExistingMessage]]:
        assert self._database is not None
        return find_existing_messages(
            self._database, [presence.stream_id for presence in sessions.values()], SOURCE
        )

    def _rest(
        self, conversation: _TakenTalk, presence: ExistingSession, known: Sequence[ExistingMessage]
    ) -> _TakenTalk:
        if presence.is_deleted:
            raise Skipped("the session of this id is deleted: undelete or purge it first")
        here = replace(conversation, is_new=False)
        if conversation.has_own_ids:
            return self._rest_by_id(here, {one.id: one.source for one in known})
        return self._rest_by_place(here, known)

    def _rest_by_id(self, conversation: _TakenTalk, known: dict[UUID, Any]) -> _TakenTalk:
        pairs = zip(conversation.readable, conversation.command.messages, strict=True)
        rest = []
        for one, message in pairs:
            if message.id not in known:
                rest.append(one)
            elif _changed(known[message.id], one.fingerprint):
                self._warn(conversation, "a message was changed there since it was imported; here it was not")
        return self._with_messages(conversation, rest)

    def _rest_by_place(self, conversation: _TakenTalk, known: Sequence[ExistingMessage]) -> _TakenTalk:
        talk = conversation.talk
        marks = [one.source for one in known if _is_mark(one.source, talk)]
        if known and not marks:
            raise Skipped("the session of this id holds messages that did not come from there")
        generation = max((mark["generation"] for mark in marks), default=0)
        old = _imported_before([mark for mark in marks if mark["generation"] == generation])
        if not old or not conversation.readable:
            return self._with_messages(conversation, conversation.readable, generation=generation)
        start = align(old, conversation.fingerprints)
        if start is None:
            self.report.generations_begun += 1
            self._warn(
                conversation, f"nothing there is what was imported: generation {generation + 1} begins"
            )
            return self._with_messages(conversation, conversation.readable, generation=generation + 1)
        if start:
            self._warn(conversation, f"its first {start} messages are no longer there; they stay here")
        rest = [one for one in conversation.readable if one.entry.position + start >= len(old)]
        return self._with_messages(conversation, rest, generation=generation, start=start)

    def _warn(self, conversation: _TakenTalk, warning: str) -> None:
        if warning not in conversation.account.warnings:
            conversation.account.warnings.append(warning)

    def _skip(self, line: Line, reason: Exception) -> None:
        super()._skip(line, reason)
        account = self._accounts[line.number]
        account.reason = str(reason)
        self._close(account)

    def _count(self, conversation: _TakenTalk, *, added: int, is_new: bool) -> None:
        super()._count(conversation, added=added, is_new=is_new)
        account = conversation.account
        account.added = added
        account.known = len(conversation.readable) - added
        self._close(account)

    def _close(self, account: Account) -> None:
        del self._accounts[account.number]
        self.report.messages_skipped += len(account.skipped)
        self.report.warnings += len(account.warnings)
        self._on_account(account)


class _Changes:
    """Counter of the changes by kind, which end up as one warning for each kind in the account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._counts: Counter[str] = Counter()

    def tell(self, kind: str) -> None:
        self._counts[kind] += 1

    def end(self) -> None:
        self._account.warnings += [f"{kind} ({count:,}×)" for kind, count in self._counts.items()]


def _check_talk(talk: Talk) -> None:
    """Raise Skipped where a conversation cannot be a session."""
    if talk.refusal:
        raise Skipped(talk.refusal)
    if len(talk.entries) > MESSAGES_MAX:
        raise Skipped(f"its messages are more than {MESSAGES_MAX}")
    if not talk.name:
        raise Skipped("its id is empty")


def _usable(talk: Talk, changes: _Changes) -> Talk:
    """Return the conversation with valid names, and with metadata that can be stored."""
    return replace(
        talk,
        key=clean(talk.key, changes.tell),
        name=usable_name(str(talk.name), changes.tell),
        scope=talk.scope and usable_name(talk.scope, changes.tell, length_max=SCOPE_LENGTH_MAX),
        user_id=usable_name(str(talk.user_id), changes.tell) if talk.user_id else None,
        metadata=clean(talk.metadata, changes.tell),
        details=clean(talk.details, changes.tell),
    )


def _readable_in(talk: Talk, account: Account, changes: _Changes) -> Iterator[_Readable]:
    """Yield the messages that can be taken; the others are entered in the account."""
    ids = set()
    for entry in talk.entries:
        account.warnings += [f"message {entry.position}: {warning}" for warning in entry.warnings]
        said = entry.said
        if said is None:
            account.skipped.append((entry.position, entry.reason))
            continue
        if entry.id is not None and entry.id in ids:
            changes.tell(ID_CAME_BEFORE)
            again = entry.details | {"id": str(entry.id)}
            entry = replace(entry, id=f"{entry.id} at {entry.position}", details=again)
        ids.add(entry.id)
        try:
            message = _message_from(said, changes)
        except ValidationError as error:
            account.skipped.append((entry.position, reason_of(error)))
            continue
        entry = replace(entry, details=clean(entry.details, changes.tell))
        yield _Readable(entry, message, _fingerprint_of(message))


def _message_from(said: dict[str, Any], changes: _Changes) -> NewMessage:
    """Return the message as it is, or if that is invalid as close as can be. Raises ValidationError."""
    try:
        return NewMessage.model_validate(said)
    except ValidationError:
        return NewMessage.model_validate(message_members(said, changes.tell) or {})


def _fingerprint_of(message: NewMessage) -> str:
    """Return a hash of the role, the content and the tool calls, to recognize the message by."""
    words = to_json([message.role, message.content, message.tool_calls])
    return hashlib.sha256(words).hexdigest()[:FINGERPRINT_LENGTH]


def _is_mark(source: Any, talk: Talk) -> bool:
    """Return whether a message's mark says that it came from that conversation, by place."""
    if not isinstance(source, dict) or (source.get("kind"), source.get("key")) != (talk.kind, talk.key):
        return False
    return isinstance(source.get("position"), int) and isinstance(source.get("generation"), int)


def _imported_before(marks: Sequence[dict[str, Any]]) -> Fingerprints:
    """Return the fingerprints by position; None where a message was erased, or could not be read then."""
    fingerprints: list[str | None] = [None] * max((mark["position"] + 1 for mark in marks), default=0)
    for mark in marks:
        fingerprints[mark["position"]] = mark.get("fingerprint")
    return fingerprints


def _changed(source: Any, fingerprint: str) -> bool:
    return isinstance(source, dict) and source.get("fingerprint", fingerprint) != fingerprint
