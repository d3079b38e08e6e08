"""Import of conversations in chat format, one JSON object a line, each recorded as a session.

``Intake`` has the steps of every import: read ahead, leave out existing messages, record, count.
``Importer`` does so for lines of chat format, api.transfer.importers for the contents of other stores.

A line is recorded whole or not at all, and may come again: each message has an id, its own or one made
from its place and its words, so existing messages are passed over. Hence an import can be repeated,
goes on where a killed one stopped, and adds only the tail of a conversation that has grown.

The content of a line never shows: a line that cannot be taken is reported by its number and the reason.
A bad value costs no words: the changes made for it are counted by kind (see api.transfer.chat_format).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from uuid import UUID

from recountdb.api.transfer.chat_lines import Conversation, Line, Skipped, parse_line
from recountdb.domain.aggregate import Started
from recountdb.domain.errors import RecountError, Unavailable
from recountdb.domain.events import Context
from recountdb.domain.messages import MessageAdded
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.write.ports import Outcome
from recountdb.projections.queries.existing_sessions import (
    ExistingSession,
    find_existing_sessions,
    find_message_ids,
)

# How far to read ahead: just enough that the writer always finds a full batch waiting.
CHUNK_LINES = 128
LINES_WAITING_MAX = 512
WEIGHT_WAITING_MAX = 64 * 2**20


@dataclass
class Report:
    """The counts of an import: of what was read, and of what became of it."""

    conversations: int = 0
    messages: int = 0
    conversations_added: int = 0
    conversations_grown: int = 0
    conversations_known: int = 0
    messages_added: int = 0
    messages_known: int = 0
    lines_skipped: int = 0

    def count(self, conversation: Conversation, *, added: int, is_new: bool) -> None:
        """Count a conversation of which ``added`` messages were new and the others existed already."""
        self.messages_added += added
        self.messages_known += len(conversation.command.messages) - added
        if is_new:
            self.conversations_added += 1
        elif added:
            self.conversations_grown += 1
        else:
            self.conversations_known += 1


@dataclass
class FileReport(Report):
    """The counts of an import of a file. ``warnings`` counts the changes by kind."""

    messages_skipped: int = 0
    warnings: Counter[str] = field(default_factory=Counter)


Told = TypeVar("Told")
"""A conversation as it comes: a line of a file, or a conversation of another store."""

Taken = TypeVar("Taken", bound=Conversation)


class Intake(Generic[Told, Taken]):
    """An import into ``application``, or with a ``database`` alone a dry run against it.

    Without either, it is a dry run against an empty store. ``context`` makes the context of each line's
    command, ``user_id`` is the user of sessions that name none, and ``on_skip`` is called with line number
    and reason.
    """

    def __init__(
        self,
        context: Callable[[], Context],
        *,
        user_id: str | None = None,
        database: Database | None = None,
        application: Recount | None = None,
        on_skip: Callable[[int, str], None] = lambda line, reason: None,
    ) -> None:
        self.report = Report()
        self._context = context
        self._project = context().project
        self._user_id = user_id
        self._application = application
        self._database = database if application is None else application.database
        self._on_skip = on_skip
        self._waiting: deque[tuple[Taken, Future[Outcome]]] = deque()
        self._weight = 0

    def run(self, told: Iterable[Told]) -> Iterator[Report]:
        """Import, and yield the growing report now and then. Raises Unavailable, and may be run again."""
        for chunk in chunks(self._parse(told)):
            if not self._keys_waiting().isdisjoint(conversation.key for conversation in chunk):
                self._wait_until(0)  # the second of one name must find the first recorded
            for conversation in self._triaged(chunk):
                self._submit(conversation)
            yield self.report
        self._wait_until(0)
        yield self.report

    def _parse(self, told: Iterable[Told]) -> Iterator[Taken]:
        """Yield the conversations that can be taken. Counts what was read, and what must be skipped."""
        raise NotImplementedError

    def _known(
        self, chunk: Sequence[Taken], sessions: dict[tuple[str, str], ExistingSession]
    ) -> dict[UUID, Any]:
        """Return, by stream, the facts about existing messages that ``_rest`` needs."""
        raise NotImplementedError

    def _rest(self, conversation: Taken, presence: ExistingSession, known: Any) -> Taken:
        """Return the conversation without the messages that exist already. Raises Skipped."""
        raise NotImplementedError

    def _skip(self, line: Line, reason: Exception) -> None:
        self.report.lines_skipped += 1
        self._on_skip(line.number, str(reason))

    def _count(self, conversation: Taken, *, added: int, is_new: bool) -> None:
        self.report.count(conversation, added=added, is_new=is_new)

    def _triaged(self, chunk: Sequence[Taken]) -> Iterator[Taken]:
        """Yield the conversations of the chunk that hold anything new, without existing messages."""
        sessions = self._sessions_of(chunk)
        known = self._known(chunk, sessions) if sessions else {}
        for conversation in chunk:
            presence = sessions.get(conversation.key)
            if presence is None:
                yield conversation
                continue
            try:
                rest = self._rest(conversation, presence, known.get(presence.stream_id, ()))
            except Skipped as reason:
                self._skip(conversation.line, reason)
                continue
            if rest.command.messages:
                self.report.messages_known += len(conversation.ids) - len(rest.ids)
                yield rest
            else:
                self._count(conversation, added=0, is_new=False)

    def _sessions_of(self, chunk: Sequence[Taken]) -> dict[tuple[str, str], ExistingSession]:
        if self._database is None:
            return {}
        return find_existing_sessions(self._database, self._project, [c.key for c in chunk])

    def _submit(self, conversation: Taken) -> None:
        if self._application is None:
            self._count(conversation, added=len(conversation.ids), is_new=conversation.is_new)
            return
        future = self._application.submit(conversation.command, self._context())
        self._waiting.append((conversation, future))
        self._weight += conversation.weight
        if len(self._waiting) >= LINES_WAITING_MAX or self._weight >= WEIGHT_WAITING_MAX:
            self._wait_until(len(self._waiting) // 2)

    def _keys_waiting(self) -> set[tuple[str, str]]:
        return {conversation.key for conversation, _ in self._waiting}

    def _wait_until(self, remaining: int) -> None:
        """Wait for the oldest commands until no more than ``remaining`` are in progress."""
        while len(self._waiting) > remaining:
            conversation, future = self._waiting.popleft()
            self._weight -= conversation.weight
            try:
                events = future.result().events
            except Unavailable:
                raise
            except RecountError as reason:
                self._skip(conversation.line, reason)
                continue
            added = sum(isinstance(event, MessageAdded) for event in events)
            is_new = any(isinstance(event, Started) for event in events)
            self._count(conversation, added=added, is_new=is_new)


class Importer(Intake[Line, Conversation]):
    """An import of lines of chat format.

    ``on_message_skipped`` is called with the line number and the message's place, which begins at 0.
    """

    report: FileReport

    def __init__(
        self,
        *arguments: Any,
        on_message_skipped: Callable[[int, int], None] = lambda line, place: None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.report = FileReport()
        self._on_message_skipped = on_message_skipped

    def _parse(self, told: Iterable[Line]) -> Iterator[Conversation]:
        for line in told:
            self.report.conversations += 1
            try:
                conversation = parse_line(line, self._project, self._user_id)
            except Skipped as reason:
                self._skip(line, reason)
            else:
                self._note(conversation)
                yield conversation

    def _note(self, conversation: Conversation) -> None:
        skipped = conversation.messages_skipped
        self.report.messages += len(conversation.command.messages) + len(skipped)
        self.report.messages_skipped += len(skipped)
        self.report.warnings.update(conversation.warnings)
        for place in skipped:
            self._on_message_skipped(conversation.line.number, place)

    def _known(
        self, chunk: Sequence[Conversation], sessions: dict[tuple[str, str], ExistingSession]
    ) -> dict[UUID, set[UUID]]:
        wanted = {sessions[c.key].stream_id: c.ids for c in chunk if c.key in sessions}
        return {} if self._database is None else find_message_ids(self._database, wanted)

    def _rest(self, conversation: Conversation, presence: ExistingSession, known: Any) -> Conversation:
        return tail(conversation, presence, set(known))


def tail(conversation: Conversation, presence: ExistingSession, known: set[UUID]) -> Conversation:
    """Return the conversation without the messages that exist already. Raises Skipped.

    Where all ids are the messages' own, all messages stay: the store compares what they say. Where some
    ids were made here, only a session that is the beginning of the conversation gets the rest.
    """
    if presence.is_deleted:
        raise Skipped("the session of this id is deleted: undelete or purge it first")
    if conversation.has_own_ids:
        return replace(conversation, is_new=False)
    rest = conversation.command.messages[len(known) :]
    if rest and (presence.message_count != len(known) or known != set(conversation.ids[: len(known)])):
        raise Skipped("the session of this id holds other messages")
    return replace(conversation, is_new=False, command=replace(conversation.command, messages=rest))


def chunks(conversations: Iterable[Taken]) -> Iterator[list[Taken]]:
    """Yield runs of conversations to look up together; no run has two of one name."""
    chunk: list[Taken] = []
    keys: set[tuple[str, str]] = set()
    weight = 0
    for conversation in conversations:
        is_full = len(chunk) == CHUNK_LINES or weight >= WEIGHT_WAITING_MAX
        if chunk and (is_full or conversation.key in keys):
            yield chunk
            chunk, keys, weight = [], set(), 0
        chunk.append(conversation)
        keys.add(conversation.key)
        weight += conversation.weight
    if chunk:
        yield chunk
